package shim

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// request is a request in a host of one function after the other: what each changes, the next one sees.
type request struct {
	t          *testing.T
	message    abi.Message
	carry      uint64
	definition uint64
	nextCall   uint64

	mu       sync.Mutex
	log      []string
	asked    int
	getting  bool // an inline call may read bodies
	function *started
	cancels  bool // asking for the body finds that the client has left
	resumed  chan ended
}

type ended struct {
	verdict   int32
	mutations []byte
}

const outBytes = 4 << 10

func newRequest(t *testing.T, lines ...string) *request {
	parts := map[uint32]string{
		abi.PartMethod: "POST", abi.PartPath: "/orders/1", abi.PartQuery: "a=1", abi.PartHost: "gateway.test", abi.PartTarget: "/orders/1?a=1",
		abi.PartRemoteAddr: "192.0.2.1:4711", abi.PartAPIID: "orders", abi.PartAPIDefinition: `{"name":"orders"}`,
		abi.PartConfigData: "{}", abi.PartTraceID: strings.Repeat("0af76519", 4), abi.PartTraceparent: "00-" + strings.Repeat("0af76519", 4) + "-00f067aa0ba902b7-01",
		abi.PartRequestBody: "", abi.PartResponseBody: "", abi.PartStatus: "200",
	}
	made := &request{t: t, message: abi.Message{Parts: parts}, definition: 1, nextCall: 1 << 63, resumed: make(chan ended, 8)}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		made.message.Request = append(made.message.Request, abi.Field{Name: strings.ToLower(name), Value: value})
	}
	return made
}

// upstream makes it the upstream's answer.
func (r *request) upstream(status, body string, lines ...string) *request {
	r.message.Parts[abi.PartStatus], r.message.Parts[abi.PartResponseBody] = status, body
	r.message.Added, r.message.Response = r.message.Response, nil
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.message.Response = append(r.message.Response, abi.Field{Name: strings.ToLower(name), Value: value})
	}
	return r
}

// body gives the request a body.
func (r *request) body(text string) *request {
	r.message.Parts[abi.PartRequestBody] = text
	return r
}

// begin calls a function and gives the verdict of the call itself.
func (r *request) begin(function Function, hook uint32) (int32, []byte) {
	return r.call(start(function, layer.Place{APIID: "orders", Hook: hook}))
}

func (r *request) call(function *started) (int32, []byte) {
	r.nextCall++
	r.function = function
	frame := layer.Frame{
		Host: r, Call: r.nextCall, Snapshot: r.message.Encode(responseParts), Out: make([]byte, outBytes),
		Carry: r.carry, Definition: r.definition,
	}
	r.getting = function.inline.Load()
	verdict := function.Call(&frame)
	r.getting = false
	r.carry = frame.Carry
	return verdict, frame.Out[:frame.Written]
}

// run calls a function, waits for its end and applies what it did.
func (r *request) run(function Function, hook uint32) int32 {
	r.t.Helper()
	verdict, mutations := r.begin(function, hook)
	if verdict == abi.Pending {
		verdict, mutations = r.end()
	}
	return r.conclude(verdict, mutations)
}

func (r *request) end() (int32, []byte) {
	r.t.Helper()
	select {
	case end := <-r.resumed:
		return end.verdict, end.mutations
	case <-time.After(20 * time.Second):
		r.t.Fatal("the call was not resumed")
		return 0, nil
	}
}

func (r *request) conclude(verdict int32, mutations []byte) int32 {
	r.t.Helper()
	if verdict < 0 && len(mutations) > 0 {
		r.t.Error("a failed call left changes")
	}
	if r.message.Apply(mutations) != abi.OK {
		r.t.Fatal("malformed changes")
	}
	return verdict
}

func (r *request) header(name string) string   { return join(r.message.Request, name) }
func (r *request) answered(name string) string { return join(r.message.Response, name) }
func (r *request) added(name string) string    { return join(r.message.Added, name) }
func (r *request) part(part uint32) string     { return r.message.Parts[part] }

func (r *request) lines() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.log, "\n")
}

func join(fields []abi.Field, name string) string {
	var values []string
	for _, field := range fields {
		if field.Name == name {
			values = append(values, field.Value)
		}
	}
	return strings.Join(values, ", ")
}

func (r *request) Get(part uint32) ([]byte, int32) {
	if (part == abi.PartRequestBody || part == abi.PartResponseBody) && !(r.getting && r.function.Body) {
		return nil, abi.ERefused
	}
	value, ok := r.message.Parts[part]
	if !ok {
		return nil, abi.EAbsent
	}
	return []byte(value), abi.OK
}

func (r *request) Snapshot(parts uint64) ([]byte, int32) { return r.message.Encode(parts), abi.OK }

func (r *request) Apply(mutations []byte) int32 { return r.message.Apply(mutations) }

func (r *request) Mutate(op uint8, value []byte) int32 {
	r.message.Change(abi.Mutation{Op: op, Value: string(value)})
	return abi.OK
}

func (r *request) Log(level uint32, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, message)
}

func (r *request) Resume(verdict int32, mutations []byte) int32 {
	r.resumed <- ended{verdict, append([]byte{}, mutations...)}
	return abi.OK
}

func (r *request) Ask(part uint32) int32 {
	r.mu.Lock()
	r.asked++
	r.mu.Unlock()
	body, event := []byte(r.message.Parts[part]), uint32(abi.EventBody)
	if r.cancels {
		body, event = nil, abi.EventCancel
	}
	go r.function.Event(r.nextCall, event, body)
	return abi.OK
}

var errTest = errors.New("no such luck")
