package shim

import (
	"context"
	"net/http"
	"reflect"
	"unsafe"

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

// contextPlace is where requests keep their context; 0, where nothing of a request can be meant, if that is
// not where it was in any version so far.
var contextPlace = func() uintptr {
	field, found := reflect.TypeOf(http.Request{}).FieldByName("ctx")
	if !found || field.Type != reflect.TypeOf((*context.Context)(nil)).Elem() {
		return 0
	}
	return field.Offset
}()

// withContext gives a request that nobody else has yet its context. net/http offers that at the price of
// another request.
func withContext(request *http.Request, ctx context.Context) *http.Request {
	if contextPlace == 0 {
		return request.WithContext(ctx)
	}
	*(*context.Context)(unsafe.Add(unsafe.Pointer(request), contextPlace)) = ctx
	return request
}
