package shim

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gantry.example/sdk/go-tyk/goid"
)

// overrun is how long an inline call may take: it holds up every other request of its thread.
const overrun = 5 * time.Millisecond

// watchedCalls is how many calls after an overrun are watched for a second one.
const watchedCalls = 1000

// watch finds out that an inline function waits, or works for long. Its first overrun is seen by the clock
// alone; only calls that follow pay for knowing what made them late. A machine that is busy with other things
// keeps calls from their processor for longer than that, which is not their function's doing, so a watched
// call counts if its goroutine was seen waiting or has itself used that much of a processor. The zero value
// is ready.
type watch struct{ left atomic.Int32 }

// timed is a call that runs.
type timed struct {
	begun   time.Duration // since the library was loaded
	watched *watched      // nil for most
}

// watched is a call that is looked at when it is late.
type watched struct {
	worked time.Duration // by its thread, before it
	alarm  *time.Timer
	ended  atomic.Bool
	seen   atomic.Pointer[string]
}

var loaded = time.Now()

func (w *watch) begin() timed {
	call := timed{begun: time.Since(loaded)} // which asks one clock, where time.Now asks two
	if w.left.Load() <= 0 {
		return call
	}
	w.left.Add(-1)
	late := &watched{worked: worked()}
	number := goid.Current()
	late.alarm = time.AfterFunc(overrun, func() {
		if waits := waiting(number); waits != "" && !late.ended.Load() {
			late.seen.Store(&waits)
		}
	})
	call.watched = late
	return call
}

// ends gives what to say of a call that is its function's second overrun; else nothing.
func (w *watch) ends(call timed) string {
	took := time.Since(loaded) - call.begun
	late := call.watched
	if late != nil {
		late.ended.Store(true)
		late.alarm.Stop()
	}
	switch {
	case took <= overrun:
		return ""
	case late == nil:
		w.left.Store(watchedCalls)
		return ""
	}
	if waits := late.seen.Load(); waits != nil {
		return "took " + took.String() + ", waiting (" + *waits + ")"
	}
	if worked := worked() - late.worked; worked > overrun {
		return "worked for " + worked.String()
	}
	return ""
}

// tracesMax is how much of all goroutines' traces is looked at.
const tracesMax = 1 << 20

// waiting says what a goroutine waits for, and where in the author's code; empty if that does not wait. The
// runtime tells it in traces only.
func waiting(number uint64) string {
	traces := make([]byte, tracesMax)
	traces = traces[:runtime.Stack(traces, true)]
	_, trace, found := bytes.Cut(traces, []byte("\n\ngoroutine "+strconv.FormatUint(number, 10)+" ["))
	if !found {
		return ""
	}
	trace, _, _ = bytes.Cut(trace, []byte("\n\n"))
	state, _, _ := bytes.Cut(trace, []byte("]"))
	state, _, _ = bytes.Cut(state, []byte(","))
	if !ofAuthor(string(state), trace) {
		return ""
	}
	if _, frame, found := bytes.Cut(trace, []byte("\nmain.")); found {
		_, line, _ := bytes.Cut(frame, []byte("\n\t"))
		line, _, _ = bytes.Cut(line, []byte("\n"))
		line, _, _ = bytes.Cut(line, []byte(" "))
		return string(state) + " at " + string(line)
	}
	return string(state)
}

// ofAuthor says whether it is code that waits, and not Go itself, which also waits for its collector now and
// then, in one case with a semaphore: that package sync has a part in it shows in the trace.
func ofAuthor(state string, trace []byte) bool {
	switch state {
	case "IO wait", "sleep", "syscall":
		return true
	case "semacquire":
		return bytes.Contains(trace, []byte("\nsync.runtime_Semacquire"))
	}
	for _, kind := range []string{"chan ", "select", "sync."} {
		if strings.HasPrefix(state, kind) {
			return true
		}
	}
	return false
}
