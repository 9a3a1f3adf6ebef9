package gantry

import (
	"runtime"
	"sync/atomic"
	"time"
)

// turnEvery is how often a thread that calls gives its turn back to Go's scheduler: it must be clearly below
// the 10 ms after which Go's monitor thinks that a goroutine has run for too long.
const turnEvery = 5 * time.Millisecond

// askEvery is how many calls pass on average between looks at the clock, a power of two. Where there are fewer
// calls in turnEvery, what the monitor does about them costs little.
const askEvery = 8

var (
	loaded   = time.Now()
	lastTurn atomic.Int64 // nanoseconds since loaded
)

// turn is asked at the start of each call. It yields now and then, and lets one in askEvery calls count for the
// collector. To Go, all calls of a thread are one goroutine that was never scheduled anew, so from 10 ms on its
// monitor takes the processor (P) away whenever it finds the thread outside of Go, and stays awake every 20 µs to
// look; each later call has to get a P back, under a lock, and to wake the monitor. On one core that doubled what
// a call in Go costs a request. A turn takes two switches of threads, 200 times a second. Where several threads
// call, they take turns in it.
func turn(call uint64) {
	// Handles that are multiples of a number, too, are spread evenly by the fraction of the golden ratio.
	if spread := call * 0x9e3779b97f4a7c15; spread >= ^uint64(0)/askEvery {
		return
	}
	thePacer.call()
	now, last := int64(time.Since(loaded)), lastTurn.Load()
	if now-last > int64(turnEvery) && lastTurn.CompareAndSwap(last, now) {
		runtime.Gosched()
	}
}
