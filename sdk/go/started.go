package gantry

import (
	"sync"
	"sync/atomic"

	"gantry.example/sdk/go/layer"
)

// started are the functions that the host has started and not stopped, by the numbers that it has for
// them.
var started functions

// functions is a table that is read without a lock. A place in it changes only while the host does not
// have its number: before it is given out, and after the stop, which the host never does during a call.
type functions struct {
	places  atomic.Pointer[[]layer.Function]
	writing sync.Mutex
	free    []uintptr
}

// get gives what has the number.
func (f *functions) get(number uintptr) layer.Function { return (*f.places.Load())[number] }

// put gives out a number, never 0.
func (f *functions) put(function layer.Function) uintptr {
	f.writing.Lock()
	defer f.writing.Unlock()
	if last := len(f.free) - 1; last >= 0 {
		number := f.free[last]
		f.free = f.free[:last]
		(*f.places.Load())[number] = function
		return number
	}
	places := []layer.Function{nil}
	if now := f.places.Load(); now != nil {
		places = *now
	}
	// Behind what readers see, or in a larger copy: what they hold stays as it is.
	places = append(places, function)
	f.places.Store(&places)
	return uintptr(len(places) - 1)
}

func (f *functions) remove(number uintptr) {
	f.writing.Lock()
	defer f.writing.Unlock()
	(*f.places.Load())[number] = nil
	f.free = append(f.free, number)
}
