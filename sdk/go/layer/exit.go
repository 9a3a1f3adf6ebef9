package layer

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"

	"gantry.example/sdk/go/abi"
)

// Exit is what os.Exit does first, in builds that catch it. Package gantry sets it, and a layer that knows more
// of its calls sets it anew.
var Exit = func(code int) {}

// Print takes a text that is printed to standard output or error; false leaves it to the system. Called in builds
// that catch it; a layer that knows its calls sets it.
var Print = func(text string) bool { return false }

// Left is what a call panics with to be left for a reason that has nothing of a panic.
type Left string

// Recovered gives what a call that was left comes to, and why, when called while it is recovered.
func Recovered(recovered any) (verdict int32, reason string) {
	if left, ok := recovered.(Left); ok {
		return abi.Failed, string(left)
	}
	return abi.Panicked, "panic: " + Describe(recovered)
}

// Exited says that the process was to end, and where an author's code did that, by whatever logger.
func Exited(code int) string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	place, inExit := "", false
	for {
		frame, more := frames.Next()
		isAuthors := isAuthors(&frame)
		if inExit && (place == "" || isAuthors) {
			place = fmt.Sprintf(" at %s:%d", frame.File, frame.Line)
		}
		inExit = inExit || frame.Function == "os.Exit"
		if isAuthors || !more {
			return fmt.Sprintf("os.Exit(%d) was called%s", code, place)
		}
	}
}

// isAuthors says whether a frame is of the plugin's package main. What the compiler inlined there is called so, too.
func isAuthors(frame *runtime.Frame) bool {
	isOther := strings.Contains(frame.File, "@") || strings.Contains(frame.File, "/vendor/")
	return strings.HasPrefix(frame.Function, "main.") && !isOther
}

// Loading says whether the calling goroutine is the one that runs the init functions.
func Loading() bool {
	var room [16]byte
	return bytes.HasPrefix(room[:runtime.Stack(room[:], false)], []byte("goroutine 1 "))
}
