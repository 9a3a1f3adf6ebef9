package gantry

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// percentBecomes waits until collections are chosen so.
func percentBecomes(t *testing.T, want uint64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); heapNumber(percentPath) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the percentage is %d, not %d", heapNumber(percentPath), want)
		}
		runtime.GC()
	}
}

func TestHeapIsCollectedByHowMuchIsAlive(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(defaultPercent))
	tuneCollections()
	percentBecomes(t, smallPercent)
	kept := make([]byte, 2*largeMin)
	percentBecomes(t, largePercent)
	runtime.KeepAlive(kept)
	kept = nil
	percentBecomes(t, smallPercent)

	const ofAuthor = 123
	debug.SetGCPercent(ofAuthor)
	kept = make([]byte, 2*largeMin)
	for i := 0; i < 5; i++ {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	runtime.KeepAlive(kept)
	if got := heapNumber(percentPath); got != ofAuthor {
		t.Errorf("the author's percentage became %d", got)
	}
}

func TestCollectionsAreTheAuthorsOrTheOperatorsChoice(t *testing.T) {
	const chosen = 77
	defer debug.SetGCPercent(debug.SetGCPercent(chosen))
	tuneCollections()
	if got := heapNumber(percentPath); got != chosen {
		t.Errorf("the author's percentage became %d", got)
	}
	debug.SetGCPercent(defaultPercent)
	t.Setenv("GOGC", "100")
	tuneCollections()
	if got := heapNumber(percentPath); got != defaultPercent {
		t.Errorf("the operator's percentage became %d", got)
	}
}
