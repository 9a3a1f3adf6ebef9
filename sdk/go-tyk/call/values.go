package call

import (
	"context"
	"sync/atomic"
)

// Provider is what a package over this one (Tyk's ctx) knows of a request's context without anybody having
// put it there, as Tyk's gateway puts session, token and definition into it.
type Provider interface {
	// Value answers for one of the package's own keys, with nil where there is nothing; false for other keys.
	Value(state *State, key any) (any, bool)
	// Leave sees the context that a handler has put into its request, when it returns and before the session is
	// encoded: a plugin may have put a session there by hand.
	Leave(state *State, ctx context.Context)
}

var provider atomic.Pointer[Provider]

// Provide sets the provider, from an init function.
func Provide(of Provider) { provider.Store(&of) }

// Provided asks the provider. A call's context asks it for what nobody has put above it. If it says true,
// contexts of earlier functions are not asked: they answer for calls that have ended.
func Provided(state *State, key any) (any, bool) {
	if of := provider.Load(); of != nil && state != nil {
		return (*of).Value(state, key)
	}
	return nil, false
}

// Leave tells the provider that a handler has returned, with the context that its request has now. Only where
// the handler has replaced it: it costs a look for a session.
func Leave(state *State, ctx context.Context) {
	if of := provider.Load(); of != nil && state != nil {
		(*of).Leave(state, ctx)
	}
}
