package shim

import (
	"runtime"

	"gantry.example/sdk/go-tyk/call"
	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

func init() { layer.Exit = exit }

// exit is what os.Exit does first: the call that it is called in fails, whatever the author recovers from,
// and any other goroutine ends. Where init functions run it comes back, and the process exits: loading has
// failed.
func exit(code int) {
	reason := layer.Exited(code)
	if made := current(); made != nil {
		made.state.Fail(reason)
		panic(call.ErrFailed)
	}
	if layer.Loading() {
		return
	}
	report(parent(), abi.LogError, reason+": the goroutine ends, and the worker goes on")
	runtime.Goexit()
}
