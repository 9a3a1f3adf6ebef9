package shim

import (
	"fmt"
	"runtime"
	"strings"

	"gantry.example/sdk/go-tyk/call"
	"gantry.example/sdk/go/abi"
)

// exit is what os.Exit does first: the call that it is called in fails, whatever the author recovers from,
// and any other goroutine ends. Where init functions run it comes back, and the process exits: loading has
// failed.
func exit(code int) {
	reason := fmt.Sprintf("os.Exit(%d) was called%s", code, exitPlace())
	if made := current(); made != nil {
		made.state.Fail(reason)
		panic(call.ErrFailed)
	}
	if call.Loading() {
		return
	}
	report(parent(), abi.LogError, reason+": the goroutine ends, and the worker goes on")
	runtime.Goexit()
}

// exitPlace is where an author's code ended the process, by whatever logger; else where it was ended.
func exitPlace() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	place := ""
	for {
		frame, more := frames.Next()
		isAuthors := strings.HasPrefix(frame.Function, "main.")
		if frame.Function != "os.Exit" && (place == "" || isAuthors) {
			place = fmt.Sprintf(" at %s:%d", frame.File, frame.Line)
		}
		if isAuthors || !more {
			return place
		}
	}
}
