package call

import (
	"runtime"

	"gantry.example/sdk/go/layer"
)

// Quit ends the calling goroutine once its deferred functions have run: what a fatal line does outside of a
// call, in place of ending the process. Where init functions run it comes back, and loading is to fail.
func Quit() {
	if !layer.Loading() {
		runtime.Goexit()
	}
}
