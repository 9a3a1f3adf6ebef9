package shim

import (
	"sync"

	"gantry.example/sdk/go/abi"
)

// facts is an invocation as Tyk's packages see it.
type facts invocation

func (f *facts) APIID() string       { return f.function.apiID }
func (f *facts) Function() string    { return f.function.Name }
func (f *facts) Hook() string        { return abi.HookName(f.function.hook) }
func (f *facts) Traceparent() string { return f.traceparent }
func (f *facts) AuthToken() string   { return f.state.AuthToken() }
func (f *facts) SessionJSON() []byte { return f.sessionJSON }
func (f *facts) OpenAPI() []byte     { return f.documents.OpenAPI }

// TraceID is the second field of the traceparent.
func (f *facts) TraceID() string {
	const begin, end = len("00-"), len("00-") + 32
	if len(f.traceparent) < end {
		return ""
	}
	return f.traceparent[begin:end]
}

func (f *facts) Definition() []byte {
	if f.documents.OpenAPI != nil {
		return nil
	}
	return f.documents.Definition
}

var levels = map[string]uint32{
	"error": abi.LogError, "warn": abi.LogWarn, "info": abi.LogInfo, "debug": abi.LogDebug, "trace": abi.LogTrace,
}

func (f *facts) Log(level, message string) {
	number, known := levels[level]
	if !known {
		number = abi.LogInfo
	}
	// What a goroutine says of a call that has ended, the gateway cannot place any more.
	if f.writer.isClosed() {
		message += " api.id=" + f.APIID() + " function=" + f.Function() + " trace_id=" + f.TraceID()
	}
	f.host.Log(number, message)
}

// said remembers what a function has said once.
type said struct {
	mu   sync.Mutex
	what map[string]bool
}

func (i *invocation) sayOnce(message string) {
	said := &i.function.said
	said.mu.Lock()
	before := said.what[message]
	if said.what == nil {
		said.what = make(map[string]bool)
	}
	said.what[message] = true
	said.mu.Unlock()
	if !before {
		i.say(abi.LogWarn, i.function.Name+": "+message)
	}
}
