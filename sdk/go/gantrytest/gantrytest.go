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
// called once and stopped. What it reads and changes passes through the encodings of the contract, as
// in a gateway; only the gateway's checks of names, values, sizes and hooks are not made here.
package gantrytest

import (
	"fmt"
	"strings"
	"testing"

	gantry "gantry.example/sdk/go"
	"gantry.example/sdk/go/internal/abi"
)

// outBytes is how much a gateway takes with a call's return.
const outBytes = 4 << 10

// Call is a request or response in memory, before a function ran on it.
type Call struct {
	hook   gantry.Hook
	config string
	after  Finished
}

// ofOldBytes are the headers that go with the first replacement of a body.
var ofOldBytes = []string{
	"accept-ranges", "content-digest", "content-encoding", "content-length", "content-md5",
	"content-range", "digest", "etag", "last-modified", "repr-digest", "trailer",
}

// Finished is what a function made of a call.
type Finished struct {
	verdict           int32
	parts             map[uint32]string
	request, response []abi.Field
	answer            string
	replaced          bool // a body was replaced
	log               []string
}

// New is GET / from 192.0.2.1:4711 to gateway.test; at the hook Response, the upstream's 200 to it.
func New(hook gantry.Hook) *Call {
	parts := map[uint32]string{
		abi.PartMethod: "GET", abi.PartPath: "/", abi.PartHost: "gateway.test",
		abi.PartRemoteAddr: "192.0.2.1:4711", abi.PartAPIID: "test", abi.PartAPIDefinition: "{}",
		abi.PartTraceID: strings.Repeat("0af76519", 4), abi.PartHook: hook.String(),
	}
	if hook == gantry.Response {
		parts[abi.PartStatus], parts[abi.PartResponseBody] = "200", ""
	} else {
		parts[abi.PartRequestBody] = ""
	}
	return &Call{hook: hook, config: "{}", after: Finished{parts: parts}}
}

// Method sets the request's method.
func (c *Call) Method(method string) *Call { return c.part(abi.PartMethod, method) }

// Path sets the request's path.
func (c *Call) Path(path string) *Call { return c.part(abi.PartPath, path) }

// Query sets the request's query, without "?".
func (c *Call) Query(query string) *Call { return c.part(abi.PartQuery, query) }

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

// Config sets config_data, JSON.
func (c *Call) Config(config string) *Call {
	c.config = config
	return c.part(abi.PartConfigData, config)
}

// Header adds a request header.
func (c *Call) Header(name, value string) *Call {
	c.after.request = append(c.after.request, abi.Field{Name: strings.ToLower(name), Value: value})
	return c
}

// ResponseHeader adds a response header.
func (c *Call) ResponseHeader(name, value string) *Call {
	c.after.response = append(c.after.response, abi.Field{Name: strings.ToLower(name), Value: value})
	return c
}

func (c *Call) part(part uint32, value string) *Call {
	c.after.parts[part] = value
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
	verdict, left, err := abi.Drive(function, uint32(c.hook), c.config, memory{done}, make([]byte, outBytes))
	if err != nil {
		return nil, err
	}
	if code := done.apply(left); code != abi.OK {
		return nil, fmt.Errorf("%s left malformed changes", function)
	}
	done.verdict = verdict
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
func (f *Finished) Method() string { return f.parts[abi.PartMethod] }

// Path gives the request's path.
func (f *Finished) Path() string { return f.parts[abi.PartPath] }

// Query gives the request's query.
func (f *Finished) Query() string { return f.parts[abi.PartQuery] }

// Session gives the session.
func (f *Finished) Session() string { return f.parts[abi.PartSession] }

// Status gives the status of response or answer; empty if there is none.
func (f *Finished) Status() string { return f.parts[abi.PartStatus] }

// Header gives the values of a request header, joined by ", ".
func (f *Finished) Header(name string) string { return join(f.request, name) }

// ResponseHeader gives the values of a response header, joined by ", ".
func (f *Finished) ResponseHeader(name string) string { return join(f.response, name) }

// Body gives the body of the answer.
func (f *Finished) Body() string { return f.answer }

// RequestBody gives the request's body.
func (f *Finished) RequestBody() string { return f.parts[abi.PartRequestBody] }

// ResponseBody gives the body of the upstream's answer.
func (f *Finished) ResponseBody() string { return f.parts[abi.PartResponseBody] }

// Log gives what the function logged, line by line.
func (f *Finished) Log() []string { return f.log }

// String tells everything, for failures of tests.
func (f *Finished) String() string {
	return fmt.Sprintf("verdict %d, parts %v, request headers %v, response headers %v, answer %q, log %q",
		f.verdict, f.parts, f.request, f.response, f.answer, f.log)
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

func (f *Finished) apply(mutations []byte) int32 {
	read, ok := abi.ReadMutations(mutations)
	if !ok {
		return abi.EInvalid
	}
	for _, change := range read {
		f.change(change)
	}
	return abi.OK
}

func (f *Finished) change(change abi.Mutation) {
	name := strings.ToLower(change.Key)
	field := abi.Field{Name: name, Value: change.Value}
	switch change.Op {
	case abi.OpSetMethod:
		f.parts[abi.PartMethod] = change.Value
	case abi.OpSetPath:
		f.parts[abi.PartPath] = change.Value
	case abi.OpSetQuery:
		f.parts[abi.PartQuery] = change.Value
	case abi.OpSetSession:
		f.parts[abi.PartSession] = change.Value
	case abi.OpSetStatus, abi.OpAnswerStatus:
		f.parts[abi.PartStatus] = change.Value
	case abi.OpAnswerBody:
		f.answer = change.Value
	case abi.OpSetRequestBody:
		f.parts[abi.PartRequestBody] = change.Value
		f.request = f.withoutOld(f.request)
	case abi.OpSetResponseBody:
		f.parts[abi.PartResponseBody] = change.Value
		f.response = f.withoutOld(f.response)
	case abi.OpSetRequestHeader:
		f.request = append(without(f.request, name), field)
	case abi.OpAddRequestHeader:
		f.request = append(f.request, field)
	case abi.OpRemoveRequestHeader:
		f.request = without(f.request, name)
	case abi.OpSetResponseHeader:
		f.response = append(without(f.response, name), field)
	case abi.OpAddResponseHeader:
		f.response = append(f.response, field)
	case abi.OpRemoveResponseHeader:
		f.response = without(f.response, name)
	}
}

// withoutOld takes off what held for the old bytes, the first time.
func (f *Finished) withoutOld(fields []abi.Field) []abi.Field {
	if f.replaced {
		return fields
	}
	f.replaced = true
	for _, name := range ofOldBytes {
		fields = without(fields, name)
	}
	return fields
}

func without(fields []abi.Field, name string) (kept []abi.Field) {
	for _, field := range fields {
		if field.Name != name {
			kept = append(kept, field)
		}
	}
	return kept
}

// memory is the host of a call in memory.
type memory struct{ call *Finished }

func (m memory) Get(part uint32) ([]byte, int32) {
	value, ok := m.call.parts[part]
	if !ok {
		return nil, abi.EAbsent
	}
	return []byte(value), abi.OK
}

func (m memory) Snapshot(wanted uint64) ([]byte, int32) {
	parts := make(map[uint32]string)
	for part, value := range m.call.parts {
		if wanted>>part&1 == 1 {
			parts[part] = value
		}
	}
	var request, response []abi.Field
	if wanted>>abi.PartRequestHeader&1 == 1 {
		request = m.call.request
	}
	if wanted>>abi.PartResponseHeader&1 == 1 {
		response = m.call.response
	}
	return abi.Encode(parts, request, response), abi.OK
}

func (m memory) Apply(mutations []byte) int32 { return m.call.apply(mutations) }

func (m memory) Mutate(op uint8, value []byte) int32 {
	m.call.change(abi.Mutation{Op: op, Value: string(value)})
	return abi.OK
}

func (m memory) Log(_ uint32, message string) { m.call.log = append(m.call.log, message) }
