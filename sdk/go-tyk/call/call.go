// Package call is what Tyk's packages (ctx, log, trace, ...) and the shim under them share: the state of
// the gateway's call that a handler runs in. It knows neither the gateway nor Tyk's types: the shim tells
// it the facts of a call and asks it afterwards what became of the session; Tyk's packages keep their
// session object in it.
//
// The live session is one object for all functions of a library in a request, as it is in Tyk: what one
// function changes in it, the next one sees, unless somebody else has set another session meanwhile.
package call

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// ErrFailed is what a logger panics with after [State.Fail] to leave the handler: the call fails with the
// reason that Fail was given, and nothing is said of a panic.
var ErrFailed = errors.New("the call has failed")

// Host is what the gateway knows of a call. All of it can be asked for by several goroutines at once, also
// after the call has ended.
type Host interface {
	// APIID names the API definition.
	APIID() string
	// Function is the name of the function that runs.
	Function() string
	// Hook is where: pre, auth, post_auth, post or response.
	Hook() string
	// TraceID has 32 hexadecimal characters.
	TraceID() string
	// Traceparent is the W3C header for requests that the function makes itself.
	Traceparent() string
	// AuthToken is the consumer key of the session; empty before authentication.
	AuthToken() string
	// SessionJSON is the session, a JSON object; nil before authentication. Not to be changed.
	SessionJSON() []byte
	// Definition is the API definition, JSON; nil for one made from an OpenAPI document. Not to be changed.
	Definition() []byte
	// OpenAPI is the API's OpenAPI document, JSON; nil without one. Not to be changed.
	OpenAPI() []byte
	// Log writes a line with API, function and trace. Levels: error, warn, info, debug, trace; others count
	// as info.
	Log(level, message string)
}

// State is one call of one function. Its methods can be called by several goroutines at once, and do
// nothing once the call has ended.
type State struct {
	host Host

	mu      sync.Mutex
	session *live  // nil: none was set or kept
	token   string // the consumer key: the one that was set last, else the gateway's
	failed  string
}

// live is the session object of a call.
type live struct {
	object any
	encode func() ([]byte, error)
	base   []byte // how the object was encoded when it was last known to agree with the gateway
	seen   []byte // the gateway's session at that time
	set    bool   // it was set, not only kept
	key    string
	store  bool
}

// New makes the state of a call. Unit tests of plugins pass [Facts].
func New(host Host) *State {
	state := new(State)
	state.Init(host, host.AuthToken())
	return state
}

// Init is New in place, for a state that is part of something larger.
func (s *State) Init(host Host, authToken string) { s.host, s.token = host, authToken }

type contextKey struct{}

// Key is the context key under which Of looks, for contexts that answer for it themselves.
var Key any = contextKey{}

// With gives a context in which Of finds the state.
func With(ctx context.Context, state *State) context.Context {
	return context.WithValue(ctx, Key, state)
}

// Of gives the state of the call that a context belongs to; nil outside of a gateway's call.
func Of(ctx context.Context) *State {
	if ctx == nil {
		return nil
	}
	state, _ := ctx.Value(Key).(*State)
	return state
}

// APIID names the API definition.
func (s *State) APIID() string { return s.host.APIID() }

// Function is the name of the function that runs.
func (s *State) Function() string { return s.host.Function() }

// Hook is where it runs: pre, auth, post_auth, post or response.
func (s *State) Hook() string { return s.host.Hook() }

// TraceID has 32 hexadecimal characters.
func (s *State) TraceID() string { return s.host.TraceID() }

// Traceparent is the W3C header for requests that the function makes itself.
func (s *State) Traceparent() string { return s.host.Traceparent() }

// Definition is our API definition as JSON; nil for an API made from an OpenAPI document.
func (s *State) Definition() []byte { return s.host.Definition() }

// OpenAPI is the API's OpenAPI document as JSON; nil without one.
func (s *State) OpenAPI() []byte { return s.host.OpenAPI() }

// Log writes a line with API, function and trace. Levels: error, warn, info, debug, trace.
func (s *State) Log(level, message string) { s.host.Log(level, message) }

// SessionJSON is the session as the gateway has it; nil before authentication. Not to be changed. A live
// session may differ from it: ask for that first.
func (s *State) SessionJSON() []byte { return s.host.SessionJSON() }

// AuthToken is the consumer key of the session: the one that was set last, else the gateway's.
func (s *State) AuthToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// LiveSession is the session object that SetSession or KeepSession was given, in this function or an
// earlier one of the library in the same request; nil if there is none or the gateway has another session
// by now.
func (s *State) LiveSession() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil
	}
	return s.session.object
}

// KeepSession keeps an object that was decoded from SessionJSON. When the function returns it is encoded
// again, and sent if it changed. Encode may run on another goroutine.
func (s *State) KeepSession(object any, encode func() ([]byte, error)) {
	base, err := encode()
	if err != nil {
		base = nil // so that it counts as changed, and the error shows
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.own()
	kept.object, kept.encode, kept.base, kept.seen = object, encode, base, s.host.SessionJSON()
}

// own gives the session to change. Under the lock.
func (s *State) own() *live {
	if s.session == nil {
		s.session = new(live)
	}
	return s.session
}

// SetSession makes an object the session of this request, under a consumer key, which may be empty if it is
// not stored. With store it is also kept among the environment's consumer keys. It is encoded when the
// function returns.
func (s *State) SetSession(object any, key string, store bool, encode func() ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.own()
	set.object, set.encode, set.set = object, encode, true
	set.store = store || set.store
	if key != "" {
		set.key, s.token = key, key
	}
}

// Fail makes the call fail, whatever the function writes or returns. The first reason counts. It does not
// stop the function: panic(ErrFailed) does.
func (s *State) Fail(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == "" {
		s.failed = reason
	}
}

// Failed gives the reason given to Fail; empty without.
func (s *State) Failed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Inherit takes over the live session of an earlier call in the same request, if the gateway still has the
// session that it stood for.
func (s *State) Inherit(earlier *State) {
	earlier.mu.Lock()
	token := earlier.token
	var inherited live
	if earlier.session != nil {
		inherited = live{
			object: earlier.session.object, encode: earlier.session.encode,
			base: earlier.session.base, seen: earlier.session.seen,
		}
	}
	earlier.mu.Unlock()
	if inherited.object == nil || !bytes.Equal(inherited.seen, s.host.SessionJSON()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = &inherited
	if s.token == "" {
		s.token = token
	}
}

// Session is what a function left to be told to the gateway.
type Session struct {
	JSON  []byte
	Key   string // its consumer key; empty if it has none or keeps the one it has
	Store bool   // keep it for the environment
}

// Finish encodes the live session: nil if there is nothing to tell. Once per call, when the function has
// returned. With sent the gateway takes it, so that later calls know it by the new JSON.
func (s *State) Finish(sent bool) (*Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil || s.session.object == nil || s.session.encode == nil {
		return nil, nil
	}
	last := s.session
	encoded, err := last.encode()
	if err != nil {
		return nil, err
	}
	if !last.set && bytes.Equal(encoded, last.base) {
		return nil, nil
	}
	session := &Session{JSON: encoded, Key: last.key, Store: last.store}
	last.base, last.set, last.store = encoded, false, false
	if sent {
		last.seen = encoded
	}
	return session, nil
}

var (
	currentMu sync.RWMutex
	current   func() *State
)

// Current gives the state of the call that the calling goroutine runs, where that is known; else nil. It is
// meant for loggers, which have no request, and costs about a microsecond.
func Current() *State {
	currentMu.RLock()
	find := current
	currentMu.RUnlock()
	if find == nil {
		return nil
	}
	return find()
}

// SetCurrent says how Current finds its answer. The shim sets it.
func SetCurrent(find func() *State) {
	currentMu.Lock()
	defer currentMu.Unlock()
	current = find
}
