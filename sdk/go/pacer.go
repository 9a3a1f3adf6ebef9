package gantry

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// pacer collects between two calls. Go collects beside its goroutines, and calls pay for that: as long as a
// collection lasts, each pointer that they write and all memory that they take cost more, and it lasts, because a
// thread of the host that enters again and again leaves Go's own threads little room. While next to nothing is
// alive, a collection that nobody disturbs takes a fraction of a millisecond. So a thread that calls waits for one
// before Go would begin its own, which stays as the net below.
type pacer struct {
	every    uint64        // bytes taken from the heap between two collections
	patience time.Duration // how long a call waits for one at most

	on    atomic.Bool
	calls atomic.Uint32 // since the heap was looked at
	due   atomic.Uint32 // at how many it is looked at again
	busy  atomic.Bool   // somebody does

	// For whoever is busy.
	counted       uint64 // calls since the last collection
	taken, cycles uint64 // bytes and collections until then
	skip          uint32 // collections that are left to Go
	slow          uint32 // grows by each that took too long, and shrinks by each that did not
}

const (
	lookMin = 16 // calls between two looks, more than that only as far as calls are known
	lookMax = 1 << 20
	skipMax = 1 << 10
)

// call is told of calls before they do anything.
func (p *pacer) call() {
	if p.on.Load() && p.calls.Add(1) >= p.due.Load() && p.busy.CompareAndSwap(false, true) {
		p.look()
		p.busy.Store(false)
	}
}

// look collects if it is time, and says when to look again.
func (p *pacer) look() {
	p.counted += uint64(p.calls.Swap(0)) + 1 // and one that another thread may have counted meanwhile
	taken, cycles := heapNumber(takenPath), heapNumber(cyclesPath)
	since := taken - p.taken
	each := since/p.counted + 1
	if cycles == p.cycles && since < p.every-p.every/8 {
		next := (p.every - since) / each
		if known := p.counted + lookMin; next > known {
			next = known
		}
		p.lookAfter(next)
		return
	}
	switch {
	case cycles != p.cycles: // Go was first
	case p.skip > 0:
		p.skip--
	default:
		p.collect()
		taken, cycles = heapNumber(takenPath), heapNumber(cyclesPath)
	}
	p.counted, p.taken, p.cycles = 0, taken, cycles
	p.lookAfter(p.every / each)
}

func (p *pacer) lookAfter(calls uint64) {
	if calls > lookMax {
		calls = lookMax
	}
	p.due.Store(uint32(calls))
}

// collect waits for a collection, but not for long. One may take longer, after a pause for example; where others
// want the processor, too, so does the next, and Go is left to collect by itself for a while.
func (p *pacer) collect() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.GC()
	}()
	patience := time.NewTimer(p.patience)
	defer patience.Stop()
	select {
	case <-done:
		p.slow /= 2
	case <-patience.C:
		p.skip = p.slow
		if p.slow = 2*p.slow + 1; p.slow > skipMax {
			p.slow = skipMax
		}
	}
}

// The runtime's numbers that are used here and in collect.go.
const (
	takenPath   = "/gc/heap/allocs:bytes"
	cyclesPath  = "/gc/cycles/total:gc-cycles"
	livePath    = "/gc/heap/live:bytes"
	percentPath = "/gc/gogc:percent"
)

// heapNumber reads one of the runtime's numbers; 0 if it has none by this name.
func heapNumber(path string) uint64 {
	sample := [...]metrics.Sample{{Name: path}}
	metrics.Read(sample[:])
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
