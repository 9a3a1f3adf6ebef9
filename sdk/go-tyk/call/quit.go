package call

import (
	"bytes"
	"runtime"
)

// Quit ends the calling goroutine once its deferred functions have run: what a fatal line does outside of a
// call, in place of ending the process. Where init functions run it comes back, and loading is to fail.
func Quit() {
	if !Loading() {
		runtime.Goexit()
	}
}

// Loading says whether the calling goroutine is the one that runs the init functions.
func Loading() bool {
	var room [16]byte
	return bytes.HasPrefix(room[:runtime.Stack(room[:], false)], []byte("goroutine 1 "))
}
