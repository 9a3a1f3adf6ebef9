// Package layer is for layers over the contract: package gantry itself, and the net/http shim for
// handlers written for other gateways. Authors of plugins do not need it.
//
// A layer gives package gantry something that makes functions ([Start]); it is entered for each call with
// a [Frame], and answers at once or, through a [Pending], later.
package layer

import (
	"fmt"
	"runtime"
	"strings"

	"gantry.example/sdk/go/abi"
)

// Host is what the host does for one call. Resume, Ask and Log work on every goroutine while the call
// pends; the rest only on the one that was called, until Call returns.
type Host interface {
	abi.Backend
	// Resume ends a call that pends. The bytes are the host's during the callback only.
	Resume(verdict int32, mutations []byte) int32
	// Ask asks for the body of the hook's side, once.
	Ask(part uint32) int32
}

// Frame is one call. Snapshot and Out are the host's memory, until Call returns.
type Frame struct {
	Host       Host
	Call       uint64 // the handle
	Snapshot   abi.Snapshot
	Out        []byte // takes flat mutations ...
	Written    int    // ... of so many bytes
	Carry      uint64 // the library's own, from one call of a request to the next; may be set until Call returns
	DeadlineMS uint32 // how long the call may pend; 0 where nobody says
	Definition uint64 // another number whenever definition, configuration or OpenAPI document may be others
}

// Put appends a mutation to Out; false if it does not fit.
func (f *Frame) Put(op uint8, key, value string) bool {
	if len(key) > 1<<16-1 || abi.MutationLen(key, value) > len(f.Out)-f.Written {
		return false
	}
	abi.PutMutation(f.Out[f.Written:], op, key, value)
	f.Written += abi.MutationLen(key, value)
	return true
}

// Function is a function started for one place in an API definition.
type Function interface {
	// Call runs it on the goroutine that was entered and gives the verdict: abi.Continue, abi.Respond, a
	// negative number, or abi.Pending. It does not panic.
	Call(frame *Frame) int32
	// Event tells of a call that pends. It does not wait.
	Event(call uint64, event uint32, detail []byte)
}

// Place is where a function runs.
type Place struct {
	APIID  string
	Hook   uint32
	Config []byte
}

// Start makes functions.
type Start func(Place) (Function, error)

// Open starts a registered function by its name; package gantry sets it, for tests that are the host.
var Open func(function string, place Place) (Function, error)

// Current gives the handle of the call that the calling goroutine was entered with, if a layer's function
// was called; 0 on any other, so also in goroutines that such a call started. Package gantry sets it.
var Current = func() uint64 { return 0 }

// MakeRoom gives goroutines of calls a processor beside the one of the thread that calls. Package gantry sets it.
var MakeRoom = func() {}

// Describe gives a panic's value and, when called while it is recovered, the author's line.
func Describe(recovered any) string {
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
