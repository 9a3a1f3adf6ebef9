package gantry

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// How often Go collects is a choice between two costs. A collection costs what is alive; and what a call takes
// from the heap was last used a collection ago, so the more lies between two of them, the less of it is still
// in the processor's cache. A plugin with next to nothing alive is collected cheaply, so its heap stays as small
// as a cache, and is collected between two calls. One with more would not fit there anyway and is collected
// seldom.
const (
	smallEvery   = 3 << 19 // bytes taken between two collections of a small heap
	smallWait    = 3 * time.Millisecond
	smallPercent = defaultPercent // Go itself collects at 4 MiB
	largePercent = 400
	smallMax     = 512 << 10 // bytes alive up to which a heap is small again
	largeMin     = 768 << 10 // and from which it is large
)

// tuneCollections chooses, and chooses again after collections, unless GOGC in the worker's environment or the
// author, with debug.SetGCPercent, has done so.
func tuneCollections() {
	if os.Getenv("GOGC") != "" || heapNumber(percentPath) != defaultPercent {
		return
	}
	thePacer.on.Store(true)
	afterCollection(&collected{percent: smallPercent})
}

const defaultPercent = 100

var thePacer = pacer{every: smallEvery, patience: smallWait}

// collected is what a collection finds unused.
type collected struct {
	percent int
	_       *byte // without a pointer it could share its place with something that lives on
}

func afterCollection(next *collected) {
	runtime.SetFinalizer(next, func(last *collected) {
		if heapNumber(percentPath) != uint64(last.percent) { // it is the author's
			thePacer.on.Store(false)
			return
		}
		if percent := last.chosen(heapNumber(livePath)); percent != last.percent {
			debug.SetGCPercent(percent)
			last.percent = percent
			thePacer.on.Store(percent == smallPercent)
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
