package gantry

import (
	"fmt"
	"runtime"
	"strings"
)

// Go runs work on a goroutine of its own. A panic in it is logged and ends that goroutine only; in a
// goroutine that a plain go statement starts, it ends the gateway's worker.
func Go(work func()) {
	go func() {
		defer func() {
			if recovered := recover(); recovered != nil {
				Logf(Error, "panic in a goroutine: %s", describe(recovered))
			}
		}()
		work()
	}()
}

// describe gives a panic's value and, when called while it is recovered, the author's line.
func describe(recovered any) string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	inPanic := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			inPanic = true
		case inPanic && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Sprintf("%v at %s:%d", recovered, frame.File, frame.Line)
		}
		if !more {
			return fmt.Sprint(recovered)
		}
	}
}
