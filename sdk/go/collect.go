package gantry

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How often Go collects is a choice between two costs. A collection costs what is alive; and what a call takes
// from the heap was last used a collection ago, so the more lies between two of them, the less of it is still
// in the processor's cache. A plugin with next to nothing alive is collected cheaply, so its heap stays as small
// as a cache. One with more would not fit there anyway and is collected seldom.
const (
	smallPercent = 50 // a heap of 2 MiB
	largePercent = 400
	smallMax     = 512 << 10 // bytes alive up to which a heap is small again
	largeMin     = 768 << 10 // and from which it is large
)

const livePath, percentPath = "/gc/heap/live:bytes", "/gc/gogc:percent"

// tuneCollections chooses, and chooses again after collections, unless GOGC in the worker's environment or the
// author, with debug.SetGCPercent, has done so.
func tuneCollections() {
	if os.Getenv("GOGC") != "" || heapNumber(percentPath) != defaultPercent {
		return
	}
	debug.SetGCPercent(smallPercent)
	afterCollection(&collected{percent: smallPercent})
}

const defaultPercent = 100

// collected is what a collection finds unused.
type collected struct {
	percent int
	_       *byte // without a pointer it could share its place with something that lives on
}

func afterCollection(next *collected) {
	runtime.SetFinalizer(next, func(last *collected) {
		if percent := last.chosen(heapNumber(livePath)); percent != last.percent {
			if heapNumber(percentPath) != uint64(last.percent) {
				return // it is the author's
			}
			debug.SetGCPercent(percent)
			last.percent = percent
		}
		afterCollection(last)
	})
}

// chosen is what suits so many bytes alive.
func (c *collected) chosen(live uint64) int {
	switch {
	case live > largeMin:
		return largePercent
	case live < smallMax:
		return smallPercent
	default:
		return c.percent
	}
}

// heapNumber reads one of the runtime's numbers; 0 if it has none by this name.
func heapNumber(path string) uint64 {
	sample := []metrics.Sample{{Name: path}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
