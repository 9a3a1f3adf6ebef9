package shim

import (
	"context"

	"gantry.example/sdk/go-tyk/call"
)

var background = context.Background()

// callContext is r.Context(): it ends with the call, finds the call's state, and has the values that
// earlier functions of the library left in the request's context, but not their cancellation.
type callContext struct {
	context.Context
	state   *call.State
	earlier context.Context // nil without
}

func (c *callContext) Value(key any) any {
	if key == call.Key {
		return c.state
	}
	if value := c.Context.Value(key); value != nil {
		return value
	}
	if value, own := call.Provided(c.state, key); own || c.earlier == nil {
		return value
	}
	return c.earlier.Value(key)
}
