// Package gantry is for authors of Gantry plugins in Go.
//
// A plugin is a package main that registers its functions while it is initialised and is built with
// -buildmode=c-shared:
//
//	package main
//
//	import gantry "gantry.example/sdk/go"
//
//	//go:generate go run gantry.example/sdk/go/cmd/gantry-note
//
//	func init() {
//		gantry.Register(gantry.Plugin{
//			Name: "greeter", Version: "1.0.0",
//			Functions: []gantry.Function{
//				{Name: "Greet", Hooks: []gantry.Hook{gantry.Pre}, Request: greet},
//			},
//		})
//	}
//
//	func greet(call *gantry.RequestCall) error {
//		call.SetResponseHeader("x-greeting", "hello "+call.Header("x-name"))
//		return nil
//	}
//
//	func main() { gantry.Main() }
//
// A function runs on threads of the gateway, several at once. One that may wait for network, disk or
// locks says so with [Function.Detached], and then runs on a goroutine of its own. A panic in it fails
// the request and nothing else; one in a goroutine that was started with [Go] ends that goroutine. In libraries that
// gantry build builds, os.Exit, and with it log.Fatal, does the same. What ends the gateway's worker, since Go lets
// nobody contain it: a panic in a goroutine that was started otherwise, runtime.Goexit in a function that is not
// detached, concurrent writes to a map, running out of stack or memory. Signals belong to the gateway: do not use
// os/signal.
package gantry

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"

	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// Hook is a place in a request at which functions run.
type Hook uint32

// Hooks, in the order of a request.
const (
	Pre      Hook = abi.HookPre
	Auth     Hook = abi.HookAuth
	PostAuth Hook = abi.HookPostAuth
	Post     Hook = abi.HookPost
	Response Hook = abi.HookResponse
)

// String gives the hook's name in API definitions.
func (h Hook) String() string { return abi.HookName(uint32(h)) }

// Plugin is what a library offers.
type Plugin struct {
	// Name of the plugin, 1 to 128 bytes.
	Name string
	// Version of the plugin, 1 to 128 bytes.
	Version string
	// Functions that API definitions may name, 1 to 256.
	Functions []Function
	// Release, for layers over this package only, takes back a frame's Carry when the request has ended.
	// It must not wait.
	Release func(carry uint64)
}

// Function is one function that API definitions may name. Exactly one of Request, Response, StartRequest,
// StartResponse and Layer is set.
type Function struct {
	// Name in API definitions: letters, digits and underscores.
	Name string
	// Hooks at which it may run. Empty with Response and StartResponse: they run at the hook Response.
	Hooks []Hook
	// MayBlock says that it may wait for network, disk or locks; it then runs on a thread of a pool, where
	// it holds up no other request. Detached costs less.
	MayBlock bool
	// Detached says that it runs on a goroutine of its own, so that it may wait for as long as the gateway
	// lets it (30 s unless configured) and holds up nothing; thousands may at once. It reads from a copy.
	// The body is asked for when it is first read, so WantsBody is not needed.
	Detached bool
	// WantsBody says that it reads or replaces the body: at request hooks the request's, at the hook
	// Response the response's. The gateway then has the body whole before the function runs, and
	// refuses one beyond its limit (1 MiB unless configured).
	WantsBody bool
	// Request runs on a request. An error fails the call.
	Request func(*RequestCall) error
	// Response runs on the upstream's answer. An error fails the call.
	Response func(*ResponseCall) error
	// StartRequest makes a Request function for one place in an API definition, with its
	// configuration. An error refuses the definition.
	StartRequest func(Start) (func(*RequestCall) error, error)
	// StartResponse makes a Response function in the same way.
	StartResponse func(Start) (func(*ResponseCall) error, error)
	// Layer makes a function of a layer over this package, which may always answer later.
	Layer layer.Start
	// Parts are what snapshots for Layer hold, as bits.
	Parts uint64
	// Inline says of a Layer's function, for the note, that it does not answer later as a rule.
	Inline bool
}

// Start is what a function is started with.
type Start struct {
	// APIID names the API definition.
	APIID string
	// Hook is where the function will run.
	Hook Hook
	// Config is the definition's config_data: JSON, {} if it has none.
	Config []byte
}

var registered struct {
	sync.Mutex
	plugin Plugin
}

// Register says what the library offers. To be called once, from an init function or a variable's
// initialiser. It panics if the plugin breaks a rule; `go generate` shows that first.
func Register(plugin Plugin) {
	if err := plugin.check(); err != nil {
		panic("gantry: register plugin " + plugin.Name + ": " + err.Error())
	}
	registered.Lock()
	defer registered.Unlock()
	if registered.plugin.Name != "" {
		panic("gantry: one library is one plugin, and " + registered.plugin.Name + " is registered already")
	}
	plugin.Functions = append([]Function{}, plugin.Functions...)
	registered.plugin = plugin
}

func theRegistered() Plugin {
	registered.Lock()
	defer registered.Unlock()
	return registered.plugin
}

// Main is a plugin's main function. It never runs in a gateway: it is how gantry-note asks an
// ordinary build of the plugin for its note.
func Main() {
	if len(os.Args) == 2 && os.Args[1] == "gantry-note" {
		source, err := theRegistered().noteSource(os.Getenv("GANTRY_GATEWAY_VERSION"))
		if err == nil {
			_, err = os.Stdout.Write(source)
		}
		if err == nil {
			return
		}
		fmt.Fprintln(os.Stderr, "gantry-note:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "this is a plugin; build it with -buildmode=c-shared and give it to a gateway")
	os.Exit(2)
}

const (
	nameBytesMax = 128
	functionsMax = 256
)

var functionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (p Plugin) check() error {
	if p.Name == "" || p.Version == "" || len(p.Name) > nameBytesMax || len(p.Version) > nameBytesMax {
		return fmt.Errorf("name and version must have 1 to %d bytes", nameBytesMax)
	}
	if len(p.Functions) == 0 || len(p.Functions) > functionsMax {
		return fmt.Errorf("%d functions; expected 1 to %d", len(p.Functions), functionsMax)
	}
	seen := make(map[string]bool)
	for _, function := range p.Functions {
		if err := function.check(); err != nil {
			return fmt.Errorf("function %q: %w", function.Name, err)
		}
		if seen[function.Name] {
			return fmt.Errorf("function %q: registered twice", function.Name)
		}
		seen[function.Name] = true
	}
	return nil
}

func (f Function) check() error {
	if !functionName.MatchString(f.Name) || len(f.Name) > nameBytesMax {
		return errors.New("a name has letters, digits and underscores")
	}
	forms := 0
	for _, set := range []bool{f.Request != nil, f.Response != nil, f.StartRequest != nil, f.StartResponse != nil, f.Layer != nil} {
		if set {
			forms++
		}
	}
	if forms != 1 {
		return errors.New("exactly one of Request, Response, StartRequest, StartResponse must be set")
	}
	if f.Inline && f.Layer == nil {
		return errors.New("Inline is for layers: leave Detached and MayBlock out instead")
	}
	if f.Detached && f.MayBlock {
		return errors.New("Detached and MayBlock are two answers to one question; Detached is enough")
	}
	if len(f.hooks()) == 0 {
		return errors.New("no hook")
	}
	for _, hook := range f.hooks() {
		if hook > Response || (hook == Response) != f.isResponse() {
			return fmt.Errorf("it cannot run at %v", hook)
		}
	}
	return nil
}

func (f Function) isResponse() bool {
	if f.Layer != nil {
		return len(f.Hooks) > 0 && f.Hooks[0] == Response
	}
	return f.Response != nil || f.StartResponse != nil
}

func (f Function) mayPend() bool { return f.Detached || f.Layer != nil }

func (f Function) hooks() []Hook {
	if len(f.Hooks) == 0 && f.isResponse() {
		return []Hook{Response}
	}
	return f.Hooks
}

func (f Function) hookBits() (bits uint32) {
	for _, hook := range f.hooks() {
		bits |= 1 << hook
	}
	return bits
}

// flags gives the properties of the function in the contract's order: bits, and names in notes.
func (f Function) flags() (bits []uint32, names []string) {
	body, bodyName := uint32(abi.FlagWantsRequestBody), "wants_request_body"
	if f.isResponse() {
		body, bodyName = abi.FlagWantsResponseBody, "wants_response_body"
	}
	names = []string{}
	for _, flag := range []struct {
		set  bool
		bit  uint32
		name string
	}{
		{f.MayBlock, abi.FlagMayBlock, "may_block"},
		// A detached function asks for the body when it reads it.
		{f.WantsBody && !f.Detached, body, bodyName},
		{f.mayPend(), abi.FlagMayPend, "may_pend"},
	} {
		if flag.set {
			bits, names = append(bits, flag.bit), append(names, flag.name)
		}
	}
	return bits, names
}

func (f Function) flagBits() (all uint32) {
	bits, _ := f.flags()
	for _, bit := range bits {
		all |= bit
	}
	return all
}

// snapshotParts gives what comes with every call without being asked for.
func (f Function) snapshotParts() uint64 {
	if f.Layer == nil && !f.Detached {
		return 0 // most read little
	}
	return f.wantParts()
}

// wantParts gives what snapshots hold. The rest is asked for when it is read.
func (f Function) wantParts() uint64 {
	if f.Layer != nil {
		return f.Parts
	}
	parts := uint64(1<<abi.PartMethod | 1<<abi.PartPath | 1<<abi.PartQuery | 1<<abi.PartRequestHeader)
	if f.isResponse() {
		parts |= 1<<abi.PartStatus | 1<<abi.PartResponseHeader
	}
	if f.Detached {
		// Whatever it may read has to be copied before it starts; the rest goes by Frame.Definition.
		parts |= 1<<abi.PartHost | 1<<abi.PartRemoteAddr | 1<<abi.PartSession | 1<<abi.PartAPIID |
			1<<abi.PartTraceID | 1<<abi.PartTraceparent | 1<<abi.PartAuthToken | 1<<abi.PartResponseHeader |
			1<<abi.PartTarget
	}
	return parts
}
