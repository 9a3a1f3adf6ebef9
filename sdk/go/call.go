package gantry

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"gantry.example/sdk/go/abi"
)

// Call is what functions at every hook can do. It is good on the goroutine and for the time of the
// call: after that it reads as empty and changes nothing.
//
// Reading costs nothing that is not read: values lie in the gateway's memory until they are asked for.
// Changes are collected and given to the gateway together when the function returns, or before it reads
// what it changed. A change that the gateway refuses fails the call, even if it is found only then;
// [Call.Flush] finds it now. A detached function reads from a copy, and its changes are found good or bad
// when it has returned.
type Call struct {
	backend  abi.Backend
	own      native       // the backend of a call that the host made and that does not pend
	snapshot abi.Snapshot // the host's memory
	holds    uint64       // parts that the snapshot holds
	wants    uint64       // parts to ask for when a new one is needed
	changed  uint64       // parts that changes not yet given to the gateway touch
	out      []byte       // the host's memory: as long as there are changes in it
	ctx      context.Context
	err      error
	hook     Hook
	body     bool // the function declares that it wants the body
	answered bool
	over     bool // the function has returned
}

// RequestCall is a call at a request hook.
type RequestCall struct{ Call }

// ResponseCall is a call at the hook Response.
type ResponseCall struct{ Call }

// Header is the name and one value of a header.
type Header struct{ Name, Value string }

// Context ends when nobody waits for the call any more: the client has left, the time that the gateway
// gives a detached function has passed, or the function has returned. In functions that are not detached it
// never ends.
func (c *Call) Context() context.Context {
	if c.ctx == nil {
		return context.Background()
	}
	return c.ctx
}

// Hook says where the function runs.
func (c *Call) Hook() Hook { return c.hook }

// Method gives the request's method.
func (c *Call) Method() string { return c.text(abi.PartMethod) }

// Path gives the request's path; in response hooks without the listen path, if that is stripped.
func (c *Call) Path() string { return c.text(abi.PartPath) }

// Query gives the request's query without "?".
func (c *Call) Query() string { return c.text(abi.PartQuery) }

// Host gives the host that the client asked for, without port.
func (c *Call) Host() string { return c.text(abi.PartHost) }

// RemoteAddr gives the client's address and port.
func (c *Call) RemoteAddr() string { return c.text(abi.PartRemoteAddr) }

// Session gives the session, a JSON object; empty before authentication.
func (c *Call) Session() string { return c.text(abi.PartSession) }

// AuthToken gives the consumer key of the session; empty before authentication.
func (c *Call) AuthToken() string { return c.text(abi.PartAuthToken) }

// APIID gives the name of the API definition.
func (c *Call) APIID() string { return c.text(abi.PartAPIID) }

// APIDefinition gives the API definition, JSON.
func (c *Call) APIDefinition() string { return c.text(abi.PartAPIDefinition) }

// OpenAPI gives the definition's OpenAPI document, JSON; empty without one.
func (c *Call) OpenAPI() string { return c.text(abi.PartOpenAPI) }

// ConfigData gives the definition's config_data, JSON. [Function.StartRequest] reads it once instead of
// on every request.
func (c *Call) ConfigData() string { return c.text(abi.PartConfigData) }

// TraceID gives the trace of the request, 32 hexadecimal characters.
func (c *Call) TraceID() string { return c.text(abi.PartTraceID) }

// Traceparent gives the W3C header for requests that the function makes itself.
func (c *Call) Traceparent() string { return c.text(abi.PartTraceparent) }

// Header gives the first value of a request header; empty if there is none.
func (c *Call) Header(name string) string {
	value, _ := c.first(abi.PartRequestHeader, name)
	return value
}

// LookupHeader gives the first value of a request header, and whether there is one.
func (c *Call) LookupHeader(name string) (string, bool) { return c.first(abi.PartRequestHeader, name) }

// HeaderValues gives all values of a request header.
func (c *Call) HeaderValues(name string) []string { return c.all(abi.PartRequestHeader, name) }

// Headers calls yield with each request header, its name in lower case, until yield says false. From Go
// 1.23 on it can be ranged over.
func (c *Call) Headers(yield func(name, value string) bool) { c.each(abi.PartRequestHeader, yield) }

// ResponseHeader gives the first value of a response header; in request hooks, of those that functions
// have set so far. Empty if there is none.
func (c *Call) ResponseHeader(name string) string {
	value, _ := c.first(abi.PartResponseHeader, name)
	return value
}

// ResponseHeaderValues gives all values of a response header.
func (c *Call) ResponseHeaderValues(name string) []string {
	return c.all(abi.PartResponseHeader, name)
}

// ResponseHeaders is [Call.Headers] for the response.
func (c *Call) ResponseHeaders(yield func(name, value string) bool) {
	c.each(abi.PartResponseHeader, yield)
}

// SetResponseHeader replaces all values of a response header. Set in a request hook, it is on the final
// response, whoever gives it.
func (c *Call) SetResponseHeader(name, value string) { c.change(abi.OpSetResponseHeader, name, value) }

// AddResponseHeader adds a value to a response header.
func (c *Call) AddResponseHeader(name, value string) { c.change(abi.OpAddResponseHeader, name, value) }

// RemoveResponseHeader removes a response header.
func (c *Call) RemoveResponseHeader(name string) { c.change(abi.OpRemoveResponseHeader, name, "") }

// SetMethod changes the request's method.
func (c *RequestCall) SetMethod(method string) { c.change(abi.OpSetMethod, "", method) }

// SetPath changes the path of the request to the upstream. It never selects another API.
func (c *RequestCall) SetPath(path string) { c.change(abi.OpSetPath, "", path) }

// SetQuery changes the query, without "?"; empty removes it.
func (c *RequestCall) SetQuery(query string) { c.change(abi.OpSetQuery, "", query) }

// SetHeader replaces all values of a request header.
func (c *RequestCall) SetHeader(name, value string) { c.change(abi.OpSetRequestHeader, name, value) }

// AddHeader adds a value to a request header.
func (c *RequestCall) AddHeader(name, value string) { c.change(abi.OpAddRequestHeader, name, value) }

// RemoveHeader removes a request header.
func (c *RequestCall) RemoveHeader(name string) { c.change(abi.OpRemoveRequestHeader, name, "") }

// SetSession sets the session of this request, a JSON object of at most 16 KiB. At the hooks Auth, PostAuth
// and Post.
func (c *RequestCall) SetSession(session string) { c.change(abi.OpSetSession, "", session) }

// SetSessionOf is SetSession with the consumer key that the session belongs to.
func (c *RequestCall) SetSessionOf(key, session string) { c.change(abi.OpSetSession, key, session) }

// StoreSession is SetSessionOf, and keeps the session under its key for all gateways of the environment.
func (c *RequestCall) StoreSession(key, session string) { c.change(abi.OpStoreSession, key, session) }

// Body gives the whole body of the request, as the client sent it: a compressed one is compressed, as
// its Content-Encoding says. It is a copy, can be asked for any number of times, and is empty where
// there is none. Needs [Function.WantsBody] or [Function.Detached]; without them the call fails. A detached
// function waits here until the body has come; if nobody waits for the call any more, the call fails.
func (c *RequestCall) Body() []byte { return c.bodyOf(abi.PartRequestBody) }

// SetBody replaces the whole body, at most 16 MiB; the gateway makes the length right. The first time
// in a call it drops the headers that held for the old bytes only (Content-Encoding, digests, ETag, ...),
// so set headers of the new body after it. Content-Type stays. Needs [Function.WantsBody]
// or [Function.Detached].
func (c *RequestCall) SetBody(body []byte) { c.setBody(abi.OpSetRequestBody, body) }

// Body is [RequestCall.Body] for the upstream's answer.
func (c *ResponseCall) Body() []byte { return c.bodyOf(abi.PartResponseBody) }

// SetBody is [RequestCall.SetBody] for the upstream's answer.
func (c *ResponseCall) SetBody(body []byte) { c.setBody(abi.OpSetResponseBody, body) }

// Status gives the status of the upstream's answer.
func (c *ResponseCall) Status() int {
	status, _ := strconv.Atoi(c.text(abi.PartStatus))
	return status
}

// SetStatus changes the status of the response, 200 to 599.
func (c *ResponseCall) SetStatus(status int) { c.change(abi.OpSetStatus, "", strconv.Itoa(status)) }

// Answer is what a function answers itself.
type Answer struct {
	// Status is 200 to 599.
	Status int
	// Headers of the answer. Headers that functions set before stay, unless named here.
	Headers []Header
	// Body is at most 1 MiB.
	Body []byte
}

// Answer answers the request: no later function runs, and from a request hook no upstream is asked. At
// the hook Response the answer goes out in place of the upstream's. The first answer counts. The
// function is expected to return what Answer returns.
func (c *Call) Answer(answer Answer) error {
	if c.answered {
		return errors.New("answer given twice")
	}
	c.answered = true
	c.change(abi.OpAnswerStatus, "", strconv.Itoa(answer.Status))
	for i, header := range answer.Headers {
		op := uint8(abi.OpSetResponseHeader)
		for _, earlier := range answer.Headers[:i] {
			if equalFold(earlier.Name, header.Name) {
				op = abi.OpAddResponseHeader
			}
		}
		c.change(op, header.Name, header.Value)
	}
	c.change(abi.OpAnswerBody, "", string(answer.Body))
	return c.err
}

// Flush gives the changes so far to the gateway. The error is the first that any change of this call
// met; the call fails with it, whatever the function returns.
func (c *Call) Flush() error {
	c.flush()
	return c.err
}

// Logf writes a log line with API, function, hook and trace of the call.
func (c *Call) Logf(level Level, format string, arguments ...any) {
	c.backend.Log(uint32(level), fmt.Sprintf(format, arguments...))
}

// change collects a change.
func (c *Call) change(op uint8, key, value string) {
	if c.err != nil {
		return
	}
	if len(key) > 1<<16-1 {
		c.err = refusal("change "+key[:32]+"...", abi.ETooLarge)
		return
	}
	size := abi.MutationLen(key, value)
	if size > cap(c.out)-len(c.out) && !c.flush() {
		return
	}
	c.changed |= abi.Touches(op)
	if size > cap(c.out) {
		alone := make([]byte, size)
		abi.PutMutation(alone, op, key, value)
		c.apply(alone)
		return
	}
	written := len(c.out)
	c.out = c.out[:written+size]
	abi.PutMutation(c.out[written:], op, key, value)
}

// mayUseBody fails the call of a function that did not declare that it wants the body: it would take
// an unseen body for an empty one.
func (c *Call) mayUseBody() bool {
	if !c.body && c.err == nil {
		c.err = refusal("use the body without Function.WantsBody or Function.Detached", abi.ERefused)
	}
	return c.body
}

func (c *Call) bodyOf(part uint32) []byte {
	if !c.mayUseBody() || c.changed&(1<<part) != 0 && !c.flush() {
		return nil
	}
	body, code := c.host().Get(part)
	if code != abi.OK {
		if c.err == nil {
			c.err = refusal("read the body", code)
		}
		return nil
	}
	return append([]byte{}, body...)
}

// setBody collects a short body with other changes, and gives a long one to the host as it lies.
func (c *Call) setBody(op uint8, body []byte) {
	if !c.mayUseBody() {
		return
	}
	if abi.MutationHead+len(body) <= cap(c.out)-len(c.out) {
		c.change(op, "", string(body))
		return
	}
	if !c.flush() {
		return
	}
	c.snapshot, c.holds, c.changed = nil, 0, 0
	if code := c.host().Mutate(op, body); code != abi.OK {
		c.err = refusal(fmt.Sprintf("set the body to %d bytes", len(body)), code)
	}
}

// flush gives collected changes to the host; false if the call is bound to fail.
func (c *Call) flush() bool {
	if c.err == nil && len(c.out) > 0 {
		pending := c.out
		c.out = c.out[:0]
		c.apply(pending)
	}
	return c.err == nil
}

func (c *Call) apply(mutations []byte) {
	// Whether or not the host takes them, what it gave before is dead.
	c.snapshot, c.holds, c.changed = nil, 0, 0
	if code := c.host().Apply(mutations); code != abi.OK {
		c.err = refusal("apply changes", code)
	}
}

// prepare sees to it that the snapshot holds a part, as the function has left it.
func (c *Call) prepare(part uint32) {
	bit := uint64(1) << part
	if c.changed&bit != 0 {
		c.flush()
	}
	if c.holds&bit == 0 {
		snapshot, code := c.host().Snapshot(c.wants | bit)
		if code != abi.OK {
			snapshot = nil
		}
		c.snapshot, c.holds = snapshot, c.wants|bit
	}
}

func (c *Call) text(part uint32) string {
	bit := uint64(1) << part
	if c.wants&bit == 0 {
		if c.changed&bit != 0 {
			c.flush()
		}
		value, code := c.host().Get(part)
		if code != abi.OK {
			return ""
		}
		return string(value)
	}
	c.prepare(part)
	value, _ := c.snapshot.Get(part)
	return string(value)
}

func (c *Call) first(part uint32, name string) (string, bool) {
	if c.changed>>part&1 != 0 || c.holds>>part&1 == 0 {
		c.prepare(part)
	}
	bytes, found := c.snapshot.First(part, name)
	return string(bytes), found
}

func (c *Call) all(part uint32, name string) (values []string) {
	c.prepare(part)
	c.snapshot.Headers(part, func(n, v []byte) bool {
		if abi.IsName(n, name) {
			values = append(values, string(v))
		}
		return true
	})
	return values
}

// each copies before it yields: what it yields to may change headers.
func (c *Call) each(part uint32, yield func(name, value string) bool) {
	var headers []Header
	c.prepare(part)
	c.snapshot.Headers(part, func(name, value []byte) bool {
		headers = append(headers, Header{string(name), string(value)})
		return true
	})
	for _, header := range headers {
		if !yield(header.Name, header.Value) {
			return
		}
	}
}

// end takes the host's memory away from a call that the author may have kept.
func (c *Call) end() {
	c.snapshot, c.holds, c.out, c.over = nil, 0, nil, true
}

// host is whom the call reads from and changes.
func (c *Call) host() abi.Backend {
	if c.over {
		return nobody{}
	}
	return c.backend
}

// nobody is the backend of a call that is over. Log lines do not come here: the host still writes them, and
// leaves out what it no longer knows.
type nobody struct{}

func (nobody) Get(uint32) ([]byte, int32)      { return nil, abi.EDeadHandle }
func (nobody) Snapshot(uint64) ([]byte, int32) { return nil, abi.EDeadHandle }
func (nobody) Apply([]byte) int32              { return abi.EDeadHandle }
func (nobody) Mutate(uint8, []byte) int32      { return abi.EDeadHandle }
func (nobody) Log(uint32, string)              {}

func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if abi.ToLower(a[i]) != abi.ToLower(b[i]) {
			return false
		}
	}
	return true
}

func refusal(what string, code int32) error {
	meaning, known := map[int32]string{
		abi.EAbsent: "E_ABSENT: no value here", abi.EDeadHandle: "E_DEAD_HANDLE: the call is over, or this is another goroutine",
		abi.EUnknown: "E_UNKNOWN: no such operation", abi.EUnsupported: "E_UNSUPPORTED: not served by this gateway",
		abi.ERefused:  "E_REFUSED: not at this hook, or it belongs to the gateway",
		abi.EInvalid:  "E_INVALID: malformed name or value",
		abi.ETooLarge: "E_TOO_LARGE: beyond a limit", abi.EInternal: "E_INTERNAL: the gateway failed; its log says why",
	}[code]
	if !known {
		meaning = fmt.Sprintf("code %d", code)
	}
	return errors.New(what + ": " + meaning)
}
