package gantry

import (
	"context"
	"fmt"
	"strconv"

	"gantry.example/sdk/go/abi"
)

// Call is what functions at every hook can do. It is good on the goroutine of the call and until the function
// returns; kept beyond that, it reads as empty and changes nothing. Another goroutine must not use it at all,
// unless the function is detached and waits for it: copy what it needs before it starts.
//
// Reading costs nothing that is not read: values lie in the gateway's memory until they are asked for.
// Changes are collected and given to the gateway together when the function returns, or before it reads
// what it changed. A change that the gateway refuses fails the call, even if it is found only then;
// [Call.Flush] finds it now. A detached function reads from a copy, and its changes are found good or bad
// when it has returned.
type Call struct {
	of   *work
	turn uint64 // which of the calls of that
	hook Hook
}

// ended is the context of calls that are over.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// use gives what the call works on; once it is over, what knows nothing and takes nothing.
func (c *Call) use() *work {
	if c.of.turn == c.turn {
		return c.of
	}
	return &work{backend: nobody{}, ctx: ended, body: true, err: refusal("use a call that is over", abi.EDeadHandle)}
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
	if ctx := c.use().ctx; ctx != nil {
		return ctx
	}
	return context.Background()
}

// Hook says where the function runs.
func (c *Call) Hook() Hook { return c.hook }

// Method gives the request's method.
func (c *Call) Method() string { return c.use().text(abi.PartMethod) }

// Path gives the request's path; in response hooks without the listen path, if that is stripped.
func (c *Call) Path() string { return c.use().text(abi.PartPath) }

// Query gives the request's query without "?".
func (c *Call) Query() string { return c.use().text(abi.PartQuery) }

// Host gives the host that the client asked for, without port.
func (c *Call) Host() string { return c.use().text(abi.PartHost) }

// Target gives path and query as the client sent them, whatever functions have changed.
func (c *Call) Target() string { return c.use().text(abi.PartTarget) }

// RemoteAddr gives the client's address and port.
func (c *Call) RemoteAddr() string { return c.use().text(abi.PartRemoteAddr) }

// Session gives the session, a JSON object; empty before authentication.
func (c *Call) Session() string { return c.use().text(abi.PartSession) }

// AuthToken gives the consumer key of the session; empty before authentication.
func (c *Call) AuthToken() string { return c.use().text(abi.PartAuthToken) }

// APIID gives the name of the API definition.
func (c *Call) APIID() string { return c.use().text(abi.PartAPIID) }

// APIDefinition gives the API definition, JSON.
func (c *Call) APIDefinition() string { return c.use().text(abi.PartAPIDefinition) }

// OpenAPI gives the definition's OpenAPI document, JSON; empty without one.
func (c *Call) OpenAPI() string { return c.use().text(abi.PartOpenAPI) }

// ConfigData gives the definition's config_data, JSON. [Function.StartRequest] reads it once instead of
// on every request.
func (c *Call) ConfigData() string { return c.use().text(abi.PartConfigData) }

// TraceID gives the trace of the request, 32 hexadecimal characters.
func (c *Call) TraceID() string { return c.use().text(abi.PartTraceID) }

// Traceparent gives the W3C header for requests that the function makes itself.
func (c *Call) Traceparent() string { return c.use().text(abi.PartTraceparent) }

// Header gives the first value of a request header; empty if there is none.
func (c *Call) Header(name string) string {
	value, _ := c.use().first(abi.PartRequestHeader, name)
	return value
}

// LookupHeader gives the first value of a request header, and whether there is one.
func (c *Call) LookupHeader(name string) (string, bool) {
	return c.use().first(abi.PartRequestHeader, name)
}

// HeaderValues gives all values of a request header.
func (c *Call) HeaderValues(name string) []string { return c.use().all(abi.PartRequestHeader, name) }

// Headers calls yield with each request header, its name in lower case, until yield says false. From Go
// 1.23 on it can be ranged over.
func (c *Call) Headers(yield func(name, value string) bool) {
	c.use().each(abi.PartRequestHeader, yield)
}

// ResponseHeader gives the first value of a response header; in request hooks, of those that functions
// have set so far. Empty if there is none.
func (c *Call) ResponseHeader(name string) string {
	value, _ := c.use().first(abi.PartResponseHeader, name)
	return value
}

// ResponseHeaderValues gives all values of a response header.
func (c *Call) ResponseHeaderValues(name string) []string {
	return c.use().all(abi.PartResponseHeader, name)
}

// ResponseHeaders is [Call.Headers] for the response.
func (c *Call) ResponseHeaders(yield func(name, value string) bool) {
	c.use().each(abi.PartResponseHeader, yield)
}

// SetResponseHeader replaces all values of a response header. Set in a request hook, it is on the final
// response, whoever gives it.
func (c *Call) SetResponseHeader(name, value string) {
	c.use().change(abi.OpSetResponseHeader, name, value)
}

// AddResponseHeader adds a value to a response header.
func (c *Call) AddResponseHeader(name, value string) {
	c.use().change(abi.OpAddResponseHeader, name, value)
}

// RemoveResponseHeader removes a response header.
func (c *Call) RemoveResponseHeader(name string) {
	c.use().change(abi.OpRemoveResponseHeader, name, "")
}

// SetMethod changes the request's method.
func (c *RequestCall) SetMethod(method string) { c.use().change(abi.OpSetMethod, "", method) }

// SetPath changes the path of the request to the upstream. It never selects another API.
func (c *RequestCall) SetPath(path string) { c.use().change(abi.OpSetPath, "", path) }

// SetQuery changes the query, without "?"; empty removes it.
func (c *RequestCall) SetQuery(query string) { c.use().change(abi.OpSetQuery, "", query) }

// SetRemoteAddr changes what later functions see as the client's address. The upstream's X-Forwarded-For and
// the gateway's records have the connection's.
func (c *RequestCall) SetRemoteAddr(address string) { c.use().change(abi.OpSetRemoteAddr, "", address) }

// SetHeader replaces all values of a request header.
func (c *RequestCall) SetHeader(name, value string) {
	c.use().change(abi.OpSetRequestHeader, name, value)
}

// AddHeader adds a value to a request header.
func (c *RequestCall) AddHeader(name, value string) {
	c.use().change(abi.OpAddRequestHeader, name, value)
}

// RemoveHeader removes a request header.
func (c *RequestCall) RemoveHeader(name string) { c.use().change(abi.OpRemoveRequestHeader, name, "") }

// SetSession sets the session of this request, a JSON object of at most 16 KiB. At the hooks Auth, PostAuth
// and Post.
func (c *RequestCall) SetSession(session string) { c.use().change(abi.OpSetSession, "", session) }

// SetSessionOf is SetSession with the consumer key that the session belongs to.
func (c *RequestCall) SetSessionOf(key, session string) {
	c.use().change(abi.OpSetSession, key, session)
}

// StoreSession is SetSessionOf, and keeps the session under its key for all gateways of the environment.
func (c *RequestCall) StoreSession(key, session string) {
	c.use().change(abi.OpStoreSession, key, session)
}

// Body gives the whole body of the request, as the client sent it: a compressed one is compressed, as
// its Content-Encoding says. It is a copy, can be asked for any number of times, and is empty where
// there is none. Needs [Function.WantsBody] or [Function.Detached]; without them the call fails. A detached
// function waits here until the body has come; if nobody waits for the call any more, the call fails.
func (c *RequestCall) Body() []byte { return c.use().bodyOf(abi.PartRequestBody) }

// SetBody replaces the whole body, at most 16 MiB; the gateway makes the length right. The first time
// in a call it drops the headers that held for the old bytes only (Content-Encoding, digests, ETag, ...),
// so set headers of the new body after it. Content-Type stays. Needs [Function.WantsBody]
// or [Function.Detached].
func (c *RequestCall) SetBody(body []byte) { c.use().setBody(abi.OpSetRequestBody, body) }

// Body is [RequestCall.Body] for the upstream's answer.
func (c *ResponseCall) Body() []byte { return c.use().bodyOf(abi.PartResponseBody) }

// SetBody is [RequestCall.SetBody] for the upstream's answer.
func (c *ResponseCall) SetBody(body []byte) { c.use().setBody(abi.OpSetResponseBody, body) }

// Status gives the status of the upstream's answer.
func (c *ResponseCall) Status() int {
	status, _ := strconv.Atoi(c.use().text(abi.PartStatus))
	return status
}

// SetStatus changes the status of the response, 200 to 599.
func (c *ResponseCall) SetStatus(status int) {
	c.use().change(abi.OpSetStatus, "", strconv.Itoa(status))
}

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
func (c *Call) Answer(answer Answer) error { return c.use().answer(answer) }

// Flush gives the changes so far to the gateway. The error is the first that any change of this call
// met; the call fails with it, whatever the function returns.
func (c *Call) Flush() error {
	at := c.use()
	at.flush()
	return at.err
}

// Logf writes a log line with API, function, hook and trace of the call, as long as it lasts.
func (c *Call) Logf(level Level, format string, arguments ...any) {
	if c.of.turn != c.turn {
		Logf(level, format, arguments...)
		return
	}
	c.of.backend.Log(uint32(level), fmt.Sprintf(format, arguments...))
}
