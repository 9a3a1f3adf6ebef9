package gantry

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

var taken []byte

// callsUntil calls, each taking memory, until there were so many collections that were asked for; it gives how
// many calls that were.
func callsUntil(t *testing.T, p *pacer, forced uint64) int {
	t.Helper()
	const forcedPath = "/gc/cycles/forced:gc-cycles"
	goal := heapNumber(forcedPath) + forced
	for calls := 0; calls < 1<<20; calls++ {
		if heapNumber(forcedPath) >= goal {
			return calls
		}
		p.call()
		taken = make([]byte, 4<<10)
	}
	t.Fatal("nobody asks for a collection")
	return 0
}

// quiet lets nobody else collect.
func quiet(t *testing.T) {
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
}

func TestCallsWaitForACollectionEachTimeTheyTookSoMuch(t *testing.T) {
	quiet(t)
	p := &pacer{every: 1 << 20, patience: time.Minute}
	p.on.Store(true)
	callsUntil(t, p, 1) // what was taken before
	calls := callsUntil(t, p, 8)
	// 256 calls take as much; it is looked at a little earlier, and what calls take is not known to the byte.
	if calls < 8*180 || calls > 8*300 {
		t.Errorf("8 collections in %d calls that take 4 KiB each", calls)
	}
}

func TestCollectionsOfGoItselfCount(t *testing.T) {
	quiet(t)
	p := &pacer{every: 1 << 20, patience: time.Minute}
	p.on.Store(true)
	callsUntil(t, p, 1)
	for calls := 0; calls < 2000; calls++ {
		if calls%100 == 0 {
			runtime.GC()
		}
		p.call()
		taken = make([]byte, 4<<10)
	}
	if p.taken == 0 || p.skip != 0 {
		t.Fatalf("%+v", p)
	}
	before := heapNumber("/gc/cycles/forced:gc-cycles")
	for calls := 0; calls < 50; calls++ {
		p.call()
	}
	if after := heapNumber("/gc/cycles/forced:gc-cycles"); after != before {
		t.Errorf("%d collections although Go was first", after-before)
	}
}

func TestCollectionsAreLeftToGoWhereTheyTakeLong(t *testing.T) {
	quiet(t)
	p := &pacer{every: 1 << 20}
	p.on.Store(true)
	for _, skip := range []uint32{0, 1, 3, 7} {
		for before, calls := p.slow, 0; p.slow == before; calls++ {
			if calls > 1<<20 {
				t.Fatal("no collection is tried again")
			}
			p.call()
			taken = make([]byte, 4<<10)
		}
		if p.skip != skip {
			t.Fatalf("%d collections are left to Go, expected %d", p.skip, skip)
		}
	}
	p.patience = time.Minute
	for p.slow > 0 {
		p.call()
		taken = make([]byte, 4<<10)
	}
}

func TestNothingIsCollectedUntilItIsWanted(t *testing.T) {
	quiet(t)
	p := &pacer{every: 1 << 10, patience: time.Minute}
	before := heapNumber(cyclesPath)
	for calls := 0; calls < 1000; calls++ {
		p.call()
		taken = make([]byte, 4<<10)
	}
	if after := heapNumber(cyclesPath); after != before {
		t.Errorf("%d collections", after-before)
	}
}
