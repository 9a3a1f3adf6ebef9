package gantry

import "gantry.example/sdk/go/layer"

// Go runs work on a goroutine of its own. A panic in it is logged and ends that goroutine only; in a
// goroutine that a plain go statement starts, it ends the gateway's worker.
func Go(work func()) {
	go func() {
		defer func() {
			if recovered := recover(); recovered != nil {
				Logf(Error, "panic in a goroutine: %s", layer.Describe(recovered))
			}
		}()
		work()
	}()
}
