package shim

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gantry.example/sdk/go-tyk/call"
	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// invocation is one call of a handler: what it gets, and what it got at first, to tell what it changed.
type invocation struct {
	function  *started
	host      layer.Host
	number    uint64         // the call's handle
	detached  *layer.Pending // nil: it is inline
	snapshot  snapshot
	documents *layer.DocumentSet
	state     call.State
	carried   *carried // nil: an inline call has nothing to carry yet
	ctx       callContext

	request  *http.Request
	address  url.URL // r.URL; what it was is in the snapshot, or in the next two
	path     string
	rawPath  string
	host0    string // r.Host as it was
	was      *headersBefore
	response *http.Response
	writer   writer
	body     *body  // nil: there is none
	left     []byte // the body that the handler left in the request's place; nil: none

	changes []byte // flat mutations
	large   []byte // a body that an inline call gives to the gateway apart, before the rest
	largeOp uint8
}

// newInvocation copies what the handler may read. The frame is used until Call returns only.
func newInvocation(function *started, frame *layer.Frame) *invocation {
	made := &invocation{
		function: function, host: frame.Host, number: frame.Call, snapshot: copied(frame.Snapshot),
		documents: function.documents.Of(frame),
	}
	made.state.Init((*facts)(made))
	return made
}

// build makes request and response as a Go server and client would.
func (i *invocation) build(ctx context.Context) {
	i.ctx, i.was = callContext{Context: ctx, state: &i.state}, spare.Get().(*headersBefore)
	if i.carried != nil {
		i.carried.Lock()
		i.ctx.earlier = i.carried.values
		earlier := i.carried.state
		i.carried.Unlock()
		if earlier != nil {
			i.state.Inherit(earlier)
		}
	}
	i.buildRequest()
	if i.function.Response != nil {
		i.buildResponse()
	}
	i.writer.init(i)
}

func (i *invocation) buildRequest() {
	request := http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	request.Method = i.snapshot.text(abi.PartMethod)
	request.RequestURI = i.buildAddress()
	request.URL = &i.address
	request.RemoteAddr = i.snapshot.text(abi.PartRemoteAddr)
	request.Header, request.Host = i.snapshot.readHeader(false, &i.was.request)
	if request.Host == "" { // the header has its port, too
		request.Host = i.snapshot.text(abi.PartHost)
	}
	i.host0 = request.Host
	// A body of length 0 is known to be none only if somebody has said so.
	said := false
	request.ContentLength, said = length(request.Method, i.was.request.fields)
	request.Body = http.NoBody
	switch {
	case request.ContentLength == 0 && said:
	case i.function.Response == nil:
		i.body = &body{made: i, part: abi.PartRequestBody}
		request.Body = i.body
	default:
		request.Body = i.spentBody()
	}
	i.request = request.WithContext(&i.ctx)
}

// spentBody makes req.Body of a response function.
func (i *invocation) spentBody() *spent {
	made := &spent{made: i}
	if i.carried != nil {
		i.carried.Lock()
		made.bytes, made.known = i.carried.body, i.carried.hasBody
		i.carried.Unlock()
	}
	return made
}

// buildAddress makes r.URL and gives r.RequestURI.
func (i *invocation) buildAddress() string {
	path, query := i.snapshot.text(abi.PartPath), i.snapshot.text(abi.PartQuery)
	whole := path
	if query != "" {
		whole += "?" + query
	}
	i.address.Path, i.address.RawQuery = path, query
	if strings.IndexByte(path, '%') >= 0 {
		if parsed, err := url.ParseRequestURI(whole); err == nil {
			i.address = *parsed
		}
	}
	i.path, i.rawPath = i.address.Path, i.address.RawPath
	return whole
}

// length is what r.ContentLength is, and whether a header says it. How the body is framed is not seen here:
// without a length, methods that usually bring a body have one of unknown length.
func length(method string, headers fields) (length int64, said bool) {
	if text, ok := headers.first("Content-Length"); ok {
		if length, err := strconv.ParseInt(text, 10, 64); err == nil && length >= 0 {
			return length, true
		}
		return -1, true
	}
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return -1, false
	default:
		return 0, false
	}
}

func (i *invocation) buildResponse() {
	status, _ := strconv.Atoi(i.snapshot.text(abi.PartStatus))
	response := &http.Response{
		Status:     strconv.Itoa(status) + " " + http.StatusText(status),
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: i.request, Body: http.NoBody,
	}
	response.Header, _ = i.snapshot.readHeader(true, &i.was.response)
	if response.Header == nil {
		response.Header = make(http.Header)
	}
	response.ContentLength = -1
	if length, said := length("", i.was.response.fields); said {
		response.ContentLength = length
	}
	hasBody := response.ContentLength != 0
	if i.request.Method == http.MethodHead || !bodyAllowed(status) {
		// A length speaks of a body that is not here: the gateway has to know of handlers that would look
		// at that one, since they might have changed it.
		hasBody = response.ContentLength > 0 && (i.detached != nil || i.function.Body)
	}
	if !bodyAllowed(status) {
		response.ContentLength = 0 // as a Go client has it, which keeps it for HEAD
	}
	if hasBody {
		i.body = &body{made: i, part: abi.PartResponseBody}
		response.Body = i.body
	}
	i.response = response
}

// handle runs the handler: negative if it failed, and then it has been logged.
func (i *invocation) handle() int32 {
	verdict, returned := i.try()
	if !returned && verdict >= 0 {
		// With runtime.Goexit nobody would be here: the module is of before Go 1.21.
		i.say(abi.LogError, "panic: nil")
		verdict = abi.Panicked
	}
	return verdict
}

// try is handle without a panic with nil, which says nothing. runtime.Goexit goes through.
func (i *invocation) try() (verdict int32, returned bool) {
	defer func() {
		recovered := recover()
		i.writer.close()
		switch {
		case returned || recovered == nil:
		case recovered == call.ErrFailed:
			i.state.Fail("the handler was left")
		default:
			i.say(abi.LogError, "panic: "+layer.Describe(recovered))
			verdict = abi.Panicked
		}
		if reason := i.state.Failed(); reason != "" && verdict >= 0 {
			i.say(abi.LogError, reason)
			verdict = abi.Failed
		}
	}()
	if i.function.Response != nil {
		i.function.Response(&i.writer, i.response, i.request)
	} else {
		i.function.Request(&i.writer, i.request)
	}
	return abi.Continue, true
}

// finish tells what the handler did: the verdict, and flat mutations appended to room.
func (i *invocation) finish(verdict int32, room []byte) (int32, []byte) {
	if verdict < 0 {
		return verdict, nil
	}
	i.changes = room
	if ctx := i.request.Context(); ctx != context.Context(&i.ctx) {
		call.Leave(&i.state, ctx)
	}
	if err := i.outcome(&verdict); err != nil {
		i.say(abi.LogError, i.function.Name+": "+err.Error())
		return abi.Failed, nil
	}
	if i.detached != nil {
		i.keep()
	}
	return verdict, i.changes
}

// keeps says whether later functions of this request have something to take over.
func (i *invocation) keeps() bool {
	if i.request.Context() != context.Context(&i.ctx) || i.state.LiveSession() != nil {
		return true
	}
	_, known := i.read()
	return known && responds.Load()
}

// keep leaves it for them.
func (i *invocation) keep() {
	if i.carried == nil || !i.keeps() {
		return
	}
	i.carried.Lock()
	defer i.carried.Unlock()
	i.carried.values, i.carried.state = i.request.Context(), &i.state
	if bytes, known := i.read(); known && responds.Load() {
		i.carried.body, i.carried.hasBody = bytes, true
	}
}

func (i *invocation) put(op uint8, key, value string) {
	at := len(i.changes)
	i.changes = append(i.changes, make([]byte, abi.MutationLen(key, value))...)
	abi.PutMutation(i.changes[at:], op, key, value)
}

// apply gives changes that do not fit into an inline call's output to the gateway.
func (i *invocation) apply(changes []byte) int32 {
	verdict := int32(abi.Continue)
	if i.writer.wrote() {
		verdict = abi.Respond
	}
	if i.large != nil {
		if code := i.host.Mutate(i.largeOp, i.large); code != abi.OK {
			i.say(abi.LogError, "the gateway does not take a body of "+strconv.Itoa(len(i.large))+" bytes")
			return abi.Failed
		}
	}
	if code := i.host.Apply(bytes.Clone(changes)); code != abi.OK {
		i.say(abi.LogError, "the gateway does not take what "+i.function.Name+" changed: code "+strconv.Itoa(int(code)))
		return abi.Failed
	}
	return verdict
}

// say writes a log line about the call.
func (i *invocation) say(level uint32, message string) { i.host.Log(level, message) }
