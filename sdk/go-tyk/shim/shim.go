// Package shim runs handlers of net/http as functions of a gateway's plugin: it is what the glue that
// gantry build generates registers an author's functions with.
//
//	func init() {
//		shim.Register(shim.Plugin{Name: "orders", Version: "1.0.0", Functions: []shim.Function{
//			{Name: "AddHeader", Request: AddHeader},
//			{Name: "Stamp", Response: Stamp, Inline: true},
//		}})
//	}
//
//	func main() { shim.Main() }
//
// A handler runs on a goroutine of its own, as in a Go server, and may wait; bodies are asked for when they
// are first read. One that is declared inline runs in the gateway's call and must not wait.
//
// What a handler did decides: if it wrote a status or a body, that is the answer and the chain ends; if
// not, what it changed of the request (or of the upstream's answer) is changed, and headers that it set on
// the writer are on the final response.
package shim

import (
	"net/http"
	"sync/atomic"

	gantry "gantry.example/sdk/go"
	"gantry.example/sdk/go-tyk/goid"
	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// Plugin is what a library offers.
type Plugin struct {
	Name, Version string
	Functions     []Function
}

// Function is one handler. Exactly one of Request and Response is set.
type Function struct {
	// Name in API definitions.
	Name string
	// Request runs at the hooks pre, auth, post_auth and post, and on single endpoints.
	Request func(http.ResponseWriter, *http.Request)
	// Response runs at the hook response.
	Response func(http.ResponseWriter, *http.Response, *http.Request)
	// Inline says that it does not wait: it runs in the gateway's call.
	Inline bool
	// Body says that an inline function reads the body.
	Body bool
}

// responses is how many functions for responses the library has, which may read what earlier ones read.
var responses atomic.Int32

// Register says what the library offers. Once, from an init function.
func Register(plugin Plugin) {
	registered := gantry.Plugin{Name: plugin.Name, Version: plugin.Version, Release: release}
	for _, function := range plugin.Functions {
		function := function
		entry := gantry.Function{
			Name:      function.Name,
			Hooks:     []gantry.Hook{gantry.Pre, gantry.Auth, gantry.PostAuth, gantry.Post},
			WantsBody: function.Inline && function.Body,
			Inline:    function.Inline,
			Parts:     requestParts,
			Layer:     func(place layer.Place) (layer.Function, error) { return start(function, place), nil },
		}
		if function.Response != nil {
			entry.Hooks, entry.Parts = []gantry.Hook{gantry.Response}, responseParts
			responses.Add(1)
		}
		registered.Functions = append(registered.Functions, entry)
	}
	gantry.Register(registered)
}

// Main is a plugin's main function. It never runs in a gateway: it is how gantry-note asks for the note.
func Main() { gantry.Main() }

const (
	requestParts = 1<<abi.PartMethod | 1<<abi.PartPath | 1<<abi.PartQuery | 1<<abi.PartHost | 1<<abi.PartRemoteAddr |
		1<<abi.PartRequestHeader | 1<<abi.PartSession | 1<<abi.PartTraceparent | 1<<abi.PartAuthToken |
		1<<abi.PartResponseHeader | 1<<abi.PartTarget
	responseParts = requestParts | 1<<abi.PartStatus | 1<<abi.PartAddedHeader
)

// started is a function at one place of an API definition.
type started struct {
	Function
	apiID     string
	hook      uint32
	inline    atomic.Bool
	watch     watch
	calls     layer.Calls
	documents layer.Documents
	said      said
}

func start(function Function, place layer.Place) *started {
	captureLog()
	made := &started{Function: function, apiID: place.APIID, hook: place.Hook}
	made.inline.Store(function.Inline)
	return made
}

// Event tells a detached call.
func (s *started) Event(call uint64, event uint32, detail []byte) { s.calls.Event(call, event, detail) }

// Call runs the handler, or starts the goroutine on which it runs.
func (s *started) Call(frame *layer.Frame) int32 {
	made := newInvocation(s, frame)
	if s.inline.Load() {
		return s.runInline(made, frame)
	}
	// What a handler starts with r.Context() may go on until the request has ended, as in a Go server.
	pending := &layer.Pending{Lasting: true}
	made.detached = pending
	made.scratch.keepIndex()
	pending.Begin(&s.calls, frame)
	made.carried = claim(frame)
	made.carried.lasts(pending.Cancel)
	pending.Run(func() (int32, []byte) {
		key := goid.Current()
		running.put(key, made)
		defer running.remove(key)
		made.build(pending.Context())
		verdict, changes := made.finish(made.handle(), nil)
		made.giveBack()
		return verdict, changes
	})
	return abi.Pending
}

func (s *started) runInline(made *invocation, frame *layer.Frame) (verdict int32) {
	entered.put(made)
	defer entered.remove(made)
	returned := false
	defer func() {
		// An author's code also runs when the handler has returned: readers that it left, sessions.
		if recovered := recover(); !returned {
			made.say(abi.LogError, "panic: "+layer.Describe(recovered))
			verdict, frame.Written = abi.Panicked, 0
		}
	}()
	timed := s.watch.begin()
	made.carried = find(frame.Carry)
	made.build(background)
	verdict, changes := made.finish(made.handle(), frame.Out[:0])
	if verdict >= 0 && made.keeps() {
		made.carried = claim(frame)
		made.keep()
	}
	if verdict >= 0 && len(changes) <= len(frame.Out) && made.scratch.large == nil {
		frame.Written = len(changes) // it lies in Out already
	} else if verdict >= 0 {
		verdict = made.apply(changes)
	}
	made.giveBack()
	if late := s.watch.ends(timed); late != "" && s.inline.CompareAndSwap(true, false) {
		layer.MakeRoom()
		made.say(abi.LogWarn, "inline function "+s.Name+" "+late+", and was over "+overrun.String()+
			" shortly before: it is detached from now on")
	}
	returned = true
	return verdict
}
