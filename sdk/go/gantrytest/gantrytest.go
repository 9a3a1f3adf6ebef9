// Package gantrytest runs functions of a plugin without a gateway.
//
//	func TestGreet(t *testing.T) {
//		done := gantrytest.New(gantry.Pre).Header("X-Name", "ada").Run(t, "Greet")
//		if !done.Continued() || done.ResponseHeader("x-greeting") != "hello ada" {
//			t.Error(done)
//		}
//	}
//
// A function is run by the name that it was registered under: it is started with the configuration,
// called once, and waited for if it is detached. What it reads and changes passes through the encodings of the contract, as
// in a gateway; only the gateway's checks of names, values, sizes and hooks are not made here.
package gantrytest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	gantry "gantry.example/sdk/go"
	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// outBytes is how much a gateway takes with a call's return.
const outBytes = 4 << 10

// Call is a request or response in memory, before a function ran on it.
type Call struct {
	hook   gantry.Hook
	config string
	after  Finished
}

// Finished is what a function made of a call.
type Finished struct {
	verdict int32
	message abi.Message
	log     []string
	left    bool // the client leaves when the body is asked for
}

// New is GET / from 192.0.2.1:4711 to gateway.test; at the hook Response, the upstream's 200 to it.
func New(hook gantry.Hook) *Call {
	parts := map[uint32]string{
		abi.PartMethod: "GET", abi.PartPath: "/", abi.PartTarget: "/", abi.PartHost: "gateway.test",
		abi.PartRemoteAddr: "192.0.2.1:4711", abi.PartAPIID: "test", abi.PartAPIDefinition: "{}",
		abi.PartTraceID: strings.Repeat("0af76519", 4), abi.PartHook: hook.String(),
	}
	if hook == gantry.Response {
		parts[abi.PartStatus], parts[abi.PartResponseBody] = "200", ""
	} else {
		parts[abi.PartRequestBody] = ""
	}
	return &Call{hook: hook, config: "{}", after: Finished{message: abi.Message{Parts: parts}}}
}

// Method sets the request's method.
func (c *Call) Method(method string) *Call { return c.part(abi.PartMethod, method) }

// Path sets the request's path.
func (c *Call) Path(path string) *Call { return c.part(abi.PartPath, path).targeted() }

// Query sets the request's query, without "?".
func (c *Call) Query(query string) *Call { return c.part(abi.PartQuery, query).targeted() }

// Session sets the session, a JSON object.
func (c *Call) Session(session string) *Call { return c.part(abi.PartSession, session) }

// Status sets the status of the upstream's answer.
func (c *Call) Status(status int) *Call { return c.part(abi.PartStatus, fmt.Sprint(status)) }

// Body sets the body: at request hooks the request's, at the hook Response that of the upstream's answer.
func (c *Call) Body(body string) *Call {
	if c.hook == gantry.Response {
		return c.part(abi.PartResponseBody, body)
	}
	return c.part(abi.PartRequestBody, body)
}

// ClientLeaves makes the client leave when a detached function asks for the body: it gets none.
func (c *Call) ClientLeaves() *Call {
	c.after.left = true
	return c
}

// Config sets config_data, JSON.
func (c *Call) Config(config string) *Call {
	c.config = config
	return c.part(abi.PartConfigData, config)
}

// Header adds a request header.
func (c *Call) Header(name, value string) *Call {
	c.after.message.Request = append(c.after.message.Request, abi.Field{Name: strings.ToLower(name), Value: value})
	return c
}

// ResponseHeader adds a response header.
func (c *Call) ResponseHeader(name, value string) *Call {
	c.after.message.Response = append(c.after.message.Response, abi.Field{Name: strings.ToLower(name), Value: value})
	return c
}

// targeted says that the client asked for path and query as they are.
func (c *Call) targeted() *Call {
	parts := c.after.message.Parts
	parts[abi.PartTarget] = parts[abi.PartPath]
	if query, has := parts[abi.PartQuery]; has {
		parts[abi.PartTarget] += "?" + query
	}
	return c
}

func (c *Call) part(part uint32, value string) *Call {
	c.after.message.Parts[part] = value
	return c
}

// Run runs a registered function. A function that does not start ends the test.
func (c *Call) Run(t testing.TB, function string) *Finished {
	t.Helper()
	done, err := c.run(function)
	if err != nil {
		t.Fatalf("start %s: %v", function, err)
	}
	return done
}

// StartError gives why a registered function refuses to start with the call's configuration; nil if it
// starts.
func (c *Call) StartError(function string) error {
	_, err := c.run(function)
	return err
}

func (c *Call) run(function string) (*Finished, error) {
	done := &c.after
	made, err := layer.Open(function, layer.Place{APIID: "test", Hook: uint32(c.hook), Config: []byte(c.config)})
	if err != nil {
		return nil, err
	}
	host := &memory{after: done, function: made, resumed: make(chan ending, 1)}
	if err := host.run(); err != nil {
		return nil, fmt.Errorf("%s: %w", function, err)
	}
	return done, nil
}

// Continued says whether the request goes on.
func (f *Finished) Continued() bool { return f.verdict == abi.Continue }

// Answered says whether the function answered itself; [Finished.Status], [Finished.ResponseHeader] and
// [Finished.Body] are the answer's then.
func (f *Finished) Answered() bool { return f.verdict == abi.Respond }

// Failed says whether the call failed, by an error or a panic. [Finished.Log] says why.
func (f *Finished) Failed() bool { return f.verdict < 0 }

// Panicked says whether the call failed by a panic.
func (f *Finished) Panicked() bool { return f.verdict == abi.Panicked }

// Method gives the request's method.
func (f *Finished) Method() string { return f.message.Parts[abi.PartMethod] }

// Path gives the request's path.
func (f *Finished) Path() string { return f.message.Parts[abi.PartPath] }

// Query gives the request's query.
func (f *Finished) Query() string { return f.message.Parts[abi.PartQuery] }

// Session gives the session.
func (f *Finished) Session() string { return f.message.Parts[abi.PartSession] }

// AuthToken gives the consumer key of the session.
func (f *Finished) AuthToken() string { return f.message.Parts[abi.PartAuthToken] }

// Status gives the status of response or answer; empty if there is none.
func (f *Finished) Status() string { return f.message.Parts[abi.PartStatus] }

// Header gives the values of a request header, joined by ", ".
func (f *Finished) Header(name string) string { return join(f.message.Request, name) }

// ResponseHeader gives the values of a response header, joined by ", ".
func (f *Finished) ResponseHeader(name string) string { return join(f.message.Response, name) }

// Body gives the body of the answer.
func (f *Finished) Body() string { return f.message.Answer }

// RequestBody gives the request's body.
func (f *Finished) RequestBody() string { return f.message.Parts[abi.PartRequestBody] }

// ResponseBody gives the body of the upstream's answer.
func (f *Finished) ResponseBody() string { return f.message.Parts[abi.PartResponseBody] }

// Log gives what the function logged, line by line.
func (f *Finished) Log() []string { return f.log }

// String tells everything, for failures of tests.
func (f *Finished) String() string {
	return fmt.Sprintf("verdict %d, parts %v, request headers %v, response headers %v, answer %q, log %q",
		f.verdict, f.message.Parts, f.message.Request, f.message.Response, f.message.Answer, f.log)
}

func join(fields []abi.Field, name string) string {
	var values []string
	for _, field := range fields {
		if strings.EqualFold(field.Name, name) {
			values = append(values, field.Value)
		}
	}
	return strings.Join(values, ", ")
}

// memory is the host of a call in memory.
type memory struct {
	after    *Finished
	function layer.Function
	logging  sync.Mutex
	resumed  chan ending
}

// handle is the one call's; as in a gateway, it is not 0.
const handle = 1

type ending struct {
	verdict   int32
	mutations []byte
}

func (m *memory) run() error {
	frame := layer.Frame{
		Host: m, Call: handle, Snapshot: m.after.message.Encode(^uint64(0)), Out: make([]byte, outBytes), Definition: 1,
	}
	end := ending{verdict: m.function.Call(&frame)}
	end.mutations = frame.Out[:frame.Written]
	if end.verdict == abi.Pending {
		end = <-m.resumed
	}
	m.after.verdict = end.verdict
	if end.verdict >= 0 && m.after.message.Apply(end.mutations) != abi.OK {
		return errors.New("it left malformed changes")
	}
	return nil
}

func (m *memory) Get(part uint32) ([]byte, int32) {
	value, ok := m.after.message.Parts[part]
	if !ok {
		return nil, abi.EAbsent
	}
	return []byte(value), abi.OK
}

func (m *memory) Snapshot(wanted uint64) ([]byte, int32) {
	return m.after.message.Encode(wanted), abi.OK
}

func (m *memory) Apply(mutations []byte) int32 { return m.after.message.Apply(mutations) }

func (m *memory) Mutate(op uint8, value []byte) int32 {
	m.after.message.Change(abi.Mutation{Op: op, Value: string(value)})
	return abi.OK
}

func (m *memory) Resume(verdict int32, mutations []byte) int32 {
	m.resumed <- ending{verdict, append([]byte{}, mutations...)}
	return abi.OK
}

// Ask brings the body from another goroutine, as a gateway brings it from another thread; or says that
// nobody waits any more.
func (m *memory) Ask(part uint32) int32 {
	body, event := []byte(m.after.message.Parts[part]), uint32(abi.EventBody)
	if m.after.left {
		body, event = nil, abi.EventCancel
	}
	go m.function.Event(handle, event, body)
	return abi.OK
}

func (m *memory) Log(_ uint32, message string) {
	m.logging.Lock()
	defer m.logging.Unlock()
	m.after.log = append(m.after.log, message)
}
