package gantry

import (
	"runtime"
	"strings"
	"sync/atomic"

	"gantry.example/sdk/go/layer"
)

func init() { layer.Exit = exit }

// exits counts calls of os.Exit in functions that are not detached. Such a call fails whatever the author
// recovers from, and with it those that run beside it: which of them it was, nobody knows then.
var exits atomic.Uint32

// exit is what os.Exit does first. A call that is not detached is left by a panic, since the host waits for its
// goroutine; any other goroutine ends, and a detached call fails by that. Where init functions run it comes back,
// and the process exits: loading has failed.
func exit(code int) {
	reason := layer.Exited(code)
	if isEntered() {
		exits.Add(1)
		panic(layer.Left(reason))
	}
	if layer.Loading() {
		return
	}
	Logf(Error, "%s: the goroutine ends, and the worker goes on", reason)
	runtime.Goexit()
}

// isEntered says whether the host called on this goroutine.
func isEntered() bool {
	room := make([]uintptr, 64)
	for skip := 1; ; skip += len(room) {
		found := runtime.Callers(skip, room)
		frames := runtime.CallersFrames(room[:found])
		for more := found > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			if strings.HasPrefix(frame.Function, "gantry.example/sdk/go.gantryGo") {
				return true
			}
		}
		if found < len(room) {
			return false
		}
	}
}
