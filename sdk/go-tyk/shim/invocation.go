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

// invocation is one call of a handler. Handlers may keep what they get, and with it this: what the call needs
// until its end only is apart.
type invocation struct {
	function    *started
	host        layer.Host
	number      uint64         // the call's handle
	detached    *layer.Pending // nil: it is inline
	scratch     *scratch       // nil: it has ended
	documents   *layer.DocumentSet
	traceparent string
	sessionJSON []byte
	state       call.State
	carried     *carried // nil: an inline call has nothing to carry yet
	ctx         callContext

	request  *http.Request // usually the next
	made     http.Request
	inherits bool    // it goes on from what an earlier function left
	address  url.URL // r.URL
	response *http.Response
	writer   writer
	body     *body // nil: there is none
}

// newInvocation copies what the handler may read. The frame is used until Call returns only.
func newInvocation(function *started, frame *layer.Frame) *invocation {
	got, room := copied(frame.Snapshot), spare.Get().(*scratch)
	room.snapshot = got
	made := &invocation{
		function: function, host: frame.Host, number: frame.Call, scratch: room, documents: function.documents.Of(frame),
		traceparent: got.text(abi.PartTraceparent), sessionJSON: got.bytes(abi.PartSession),
	}
	made.state.Init((*facts)(made), got.text(abi.PartAuthToken))
	return made
}

// giveBack ends the use of what the call needs for itself.
func (i *invocation) giveBack() {
	i.scratch.giveBack()
	i.scratch = nil
}

// build makes request and response as a Go server and client would.
func (i *invocation) build(ctx context.Context) {
	i.ctx = callContext{Context: ctx, state: &i.state}
	i.scratch.read()
	if i.carried != nil {
		i.carried.Lock()
		i.ctx.earlier = i.carried.values
		earlier, request := i.carried.state, i.carried.request
		isWhole := i.carried.atEnd
		i.carried.Unlock()
		if earlier != nil {
			i.state.Inherit(earlier)
		}
		if request != nil {
			i.made, i.inherits = *request, true
		}
		if isWhole { // nothing of it is the gateway's any more
			i.made.Body = i.spentBody()
			i.request = withContext(&i.made, &i.ctx)
			i.buildResponse()
			i.writer.init(i)
			return
		}
	}
	i.buildRequest()
	if i.function.Response != nil {
		i.buildResponse()
	}
	i.writer.init(i)
}

func (i *invocation) buildRequest() {
	request := &i.made
	got := i.scratch.snapshot
	if !i.inherits {
		request.Proto, request.ProtoMajor, request.ProtoMinor = "HTTP/1.1", 1, 1
		request.RequestURI = got.text(abi.PartTarget)
	}
	request.Method = i.scratch.method
	i.buildAddress()
	request.URL = &i.address
	request.RemoteAddr = i.scratch.remoteAddr
	request.Header, request.Host = got.readHeader(ofRequest, &i.scratch.request)
	if request.Host == "" { // the header has its port, too
		request.Host = got.text(abi.PartHost)
	}
	i.scratch.host = request.Host
	// A body of length 0 is known to be none only if somebody has said so.
	said := false
	request.ContentLength, said = length(request.Method, i.scratch.request.fields)
	request.Body = http.NoBody
	switch {
	case request.ContentLength == 0 && said:
	case i.function.Response == nil:
		i.body = &body{made: i, part: abi.PartRequestBody}
		request.Body = i.body
	default:
		request.Body = i.spentBody()
	}
	i.request = withContext(request, &i.ctx)
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

// buildAddress makes r.URL.
func (i *invocation) buildAddress() {
	path, query := i.scratch.path, i.scratch.query
	i.address.Path, i.address.RawQuery = path, query
	if strings.IndexByte(path, '%') >= 0 {
		if parsed, err := url.ParseRequestURI(path); err == nil {
			i.address = *parsed
			i.address.RawQuery = query
		}
	}
	i.scratch.urlPath, i.scratch.urlRawPath = i.address.Path, i.address.RawPath
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
	status, _ := strconv.Atoi(i.scratch.status)
	response := &http.Response{
		Status:     statusLine(status),
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: i.request, Body: http.NoBody,
	}
	response.Header, _ = i.scratch.snapshot.readHeader(ofResponse, &i.scratch.response)
	if response.Header == nil {
		response.Header = make(http.Header)
	}
	response.ContentLength = -1
	if length, said := length("", i.scratch.response.fields); said {
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

// statusLine is what a Go client makes of a status.
func statusLine(status int) string {
	if status == http.StatusOK {
		return "200 OK" // of most, and not put together each time
	}
	return strconv.Itoa(status) + " " + http.StatusText(status)
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
		i.endLine()
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
	i.scratch.changes = room
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
	return verdict, i.scratch.changes
}

// keeps says whether later functions of this request have something to take over.
func (i *invocation) keeps() bool {
	if i.request.Context() != context.Context(&i.ctx) || i.state.LiveSession() != nil || i.alters() {
		return true
	}
	if i.function.Response != nil && responses.Load() > 1 {
		return true // what it changes of the request, no gateway takes
	}
	_, known := i.read()
	return known && responses.Load() > 0
}

// keep leaves it for them.
func (i *invocation) keep() {
	if i.carried == nil || !i.keeps() {
		return
	}
	i.carried.Lock()
	defer i.carried.Unlock()
	i.carried.values, i.carried.state = i.request.Context(), &i.state
	i.carried.request, i.carried.atEnd = i.request, i.function.Response != nil
	if bytes, known := i.read(); known && responses.Load() > 0 {
		i.carried.body, i.carried.hasBody = bytes, true
	}
}

func (i *invocation) put(op uint8, key, value string) {
	changes := i.scratch.changes
	at := len(changes)
	changes = append(changes, make([]byte, abi.MutationLen(key, value))...)
	abi.PutMutation(changes[at:], op, key, value)
	i.scratch.changes = changes
}

// apply gives changes that do not fit into an inline call's output to the gateway.
func (i *invocation) apply(changes []byte) int32 {
	verdict := int32(abi.Continue)
	if i.writer.wrote() {
		verdict = abi.Respond
	}
	if large := i.scratch.large; large != nil {
		if code := i.host.Mutate(i.scratch.largeOp, large); code != abi.OK {
			i.say(abi.LogError, "the gateway does not take a body of "+strconv.Itoa(len(large))+" bytes")
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
