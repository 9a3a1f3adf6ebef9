package call

import (
	"bytes"
	"runtime"
)

// Quit ends the calling goroutine once its deferred functions have run: what a fatal line does outside of a
// call, in place of ending the process. Where init functions run it comes back, and loading is to fail.
func Quit() {
	var room [16]byte
	if bytes.HasPrefix(room[:runtime.Stack(room[:], false)], []byte("goroutine 1 ")) {
		return
	}
	runtime.Goexit()
}
