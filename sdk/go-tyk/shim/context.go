package shim

import (
	"context"
	"net/http"

	"gantry.example/sdk/go-tyk/call"
)

var background = context.Background()

// server is under http.ServerContextKey, by which code knows that a panic with http.ErrAbortHandler is
// understood: without it httputil.ReverseProxy passes a body that broke off for a whole one. A whole
// http.Server, which nobody could use, would make each library a third larger.
type server struct{}

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
	if key == http.ServerContextKey {
		return server{}
	}
	if value := c.Context.Value(key); value != nil {
		return value
	}
	if value, own := call.Provided(c.state, key); own || c.earlier == nil {
		return value
	}
	return c.earlier.Value(key)
}
