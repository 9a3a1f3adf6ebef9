package call

import "sync"

// Facts is a Host in memory, for unit tests of plugins without a gateway:
//
//	state := call.New(&call.Facts{API: "orders", Session: []byte(`{"alias":"ada"}`)})
//	r = r.WithContext(call.With(r.Context(), state))
//	AddUser(httptest.NewRecorder(), r)
type Facts struct {
	API, Func, At, Trace, Parent, Token string
	Session, APIDefinition, Document    []byte

	mu    sync.Mutex
	lines []string
}

// APIID gives API.
func (f *Facts) APIID() string { return f.API }

// Function gives Func.
func (f *Facts) Function() string { return f.Func }

// Hook gives At.
func (f *Facts) Hook() string { return f.At }

// TraceID gives Trace.
func (f *Facts) TraceID() string { return f.Trace }

// Traceparent gives Parent.
func (f *Facts) Traceparent() string { return f.Parent }

// AuthToken gives Token.
func (f *Facts) AuthToken() string { return f.Token }

// SessionJSON gives Session.
func (f *Facts) SessionJSON() []byte { return f.Session }

// Definition gives APIDefinition.
func (f *Facts) Definition() []byte { return f.APIDefinition }

// OpenAPI gives Document.
func (f *Facts) OpenAPI() []byte { return f.Document }

// Log keeps a line.
func (f *Facts) Log(level, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, level+": "+message)
}

// Lines gives what was logged: level, colon, message.
func (f *Facts) Lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.lines...)
}
