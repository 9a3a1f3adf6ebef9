package shim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gantry.example/sdk/go/abi"
)

// Limits of the contract, checked here so that the log line says what is too large.
const (
	bodyMax    = 16 << 20
	sessionMax = 16 << 10
)

// largeFrom is from how many bytes on an inline call gives a body to the gateway apart from other changes.
const largeFrom = 64 << 10

// outcome puts what the handler did among the changes. Order counts: an answer drops headers of the
// upstream's body, and a body drops headers of the old one, so both come before headers.
func (i *invocation) outcome(verdict *int32) error {
	if err := i.session(); err != nil {
		return err
	}
	if i.function.Response != nil {
		return i.responseOutcome(verdict)
	}
	if i.writer.wrote() {
		*verdict = abi.Respond
		return i.writer.answer()
	}
	if err := i.requestChanges(); err != nil {
		return err
	}
	i.writer.putHeaders(i.writer.header)
	return nil
}

// session tells the session where the gateway takes one; at other hooks it lives on in this library only.
func (i *invocation) session() error {
	taken := i.function.hook == abi.HookAuth || i.function.hook == abi.HookPostAuth || i.function.hook == abi.HookPost
	session, err := i.state.Finish(taken)
	if err != nil {
		return fmt.Errorf("encode the session: %w", err)
	}
	switch {
	case session == nil:
		return nil
	case !taken:
		i.sayOnce("a session that is set at the hook " + abi.HookName(i.function.hook) +
			" is seen by this library only; the gateway takes one at auth, post_auth and post")
		return nil
	case len(session.JSON) > sessionMax:
		return fmt.Errorf("the session has %d bytes; the gateway takes %d", len(session.JSON), sessionMax)
	}
	op, key := uint8(abi.OpSetSession), session.Key
	if session.Store {
		if key == "" {
			key = i.state.AuthToken()
		}
		if key == "" {
			i.sayOnce("a session without a key cannot be stored; it lives for its request")
		} else {
			op = abi.OpStoreSession
		}
	}
	i.put(op, key, string(session.JSON))
	return nil
}

func (i *invocation) requestChanges() error {
	now := i.request
	if now.Body != i.wasBody() {
		if err := i.replaced(now.Body, abi.OpSetRequestBody, abi.OpSetRequestHeader, &i.scratch.request, now.Header); err != nil {
			return err
		}
	}
	if now.Method != i.scratch.method {
		method := now.Method
		if method == "" {
			method = http.MethodGet // as a Go client takes it
		}
		i.put(abi.OpSetMethod, "", method)
	}
	if now.URL != nil {
		i.addressChanges(now.URL)
	}
	if now.Host != i.scratch.host {
		i.sayOnce("r.Host belongs to the gateway and stays as it is")
	}
	if now.RemoteAddr != i.scratch.remoteAddr {
		i.put(abi.OpSetRemoteAddr, "", now.RemoteAddr)
	}
	i.scratch.request.diff(now.Header, func(name string, values []string) { i.putHeader(&requestHeader, name, values) })
	return nil
}

// headerOps are the operations on the headers of one side.
type headerOps struct{ set, add, remove uint8 }

var (
	requestHeader  = headerOps{abi.OpSetRequestHeader, abi.OpAddRequestHeader, abi.OpRemoveRequestHeader}
	responseHeader = headerOps{abi.OpSetResponseHeader, abi.OpAddResponseHeader, abi.OpRemoveResponseHeader}
	addedHeader    = headerOps{abi.OpSetAddedHeader, abi.OpAddAddedHeader, abi.OpRemoveAddedHeader}
)

// putHeader puts all values that a header has now among the changes; without any it goes.
func (i *invocation) putHeader(ops *headerOps, name string, values []string) {
	if len(values) == 0 {
		i.put(ops.remove, name, "")
	}
	for n, value := range values {
		op := ops.add
		if n == 0 {
			op = ops.set
		}
		i.put(op, name, oneLine(value))
	}
}

func (i *invocation) addressChanges(now *url.URL) {
	if now.Path != i.scratch.urlPath || now.RawPath != i.scratch.urlRawPath {
		path := now.EscapedPath()
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		if path != i.scratch.path {
			i.put(abi.OpSetPath, "", path)
		}
	}
	if now.RawQuery != i.scratch.query {
		i.put(abi.OpSetQuery, "", escapedQuery(now.RawQuery))
	}
	if now.Host != "" {
		i.sayOnce("r.URL.Host does not choose the upstream; the API definition does")
	}
}

// escapedQuery escapes what no server takes in a query: authors join them by hand.
func escapedQuery(query string) string {
	allowed := func(b byte) bool {
		return b > ' ' && b < 0x7f && b != '#' && b != '"' && b != '<' && b != '>'
	}
	for n := 0; n < len(query); n++ {
		if allowed(query[n]) {
			continue
		}
		var escaped strings.Builder
		for n := 0; n < len(query); n++ {
			if b := query[n]; allowed(b) {
				escaped.WriteByte(b)
			} else {
				fmt.Fprintf(&escaped, "%%%02X", b)
			}
		}
		return escaped.String()
	}
	return query
}

func (i *invocation) responseOutcome(verdict *int32) error {
	now := i.response
	if !i.writer.wrote() && now.Body != i.wasBody() {
		if err := i.replaced(now.Body, abi.OpSetResponseBody, abi.OpSetResponseHeader, &i.scratch.response, now.Header); err != nil {
			return err
		}
	}
	if was := i.scratch.status; !i.writer.wrote() && strconv.Itoa(now.StatusCode) != was {
		if now.StatusCode < 200 || now.StatusCode > 599 {
			return fmt.Errorf("a response cannot have status %d", now.StatusCode)
		}
		i.put(abi.OpSetStatus, "", strconv.Itoa(now.StatusCode))
	}
	i.scratch.response.diff(now.Header, func(name string, values []string) { i.putHeader(&responseHeader, name, values) })
	if i.writer.wrote() {
		*verdict = abi.Respond
		return i.writer.answer()
	}
	i.writer.putHeaders(i.writer.header)
	return nil
}

// wasBody is r.Body or res.Body as the handler got it.
func (i *invocation) wasBody() io.ReadCloser {
	if i.body == nil {
		return http.NoBody
	}
	return i.body
}

// replaced sets the body that a handler put in the place of the one it got, unless the bytes are the same.
func (i *invocation) replaced(now io.ReadCloser, op, headerOp uint8, was *before, headers http.Header) error {
	if fmt.Sprintf("%T", now) == "*http.maxBytesReader" {
		return nil // it bounds what the handler reads, and gives nothing else
	}
	var bytes []byte
	if now != nil {
		read, err := io.ReadAll(io.LimitReader(now, bodyMax+1))
		if err != nil {
			return fmt.Errorf("read the body that the handler left: %w", err)
		}
		bytes = read
	}
	if len(bytes) > bodyMax {
		return fmt.Errorf("the handler left a body of more than %d bytes", bodyMax)
	}
	if i.body == nil && len(bytes) == 0 || i.body != nil && i.body.isBytes(bytes) {
		return nil
	}
	if op == abi.OpSetRequestBody {
		i.scratch.left = append([]byte{}, bytes...)
	}
	if i.detached == nil && !i.function.Body {
		return errors.New("the body is not declared: an inline function that replaces it says //gantry:inline body")
	}
	if len(bytes) < largeFrom || i.detached != nil {
		i.put(op, "", string(bytes))
	} else {
		i.scratch.large, i.scratch.largeOp = bytes, op
	}
	return i.keepEncoding(headerOp, was, headers, bytes)
}

// magic begins a body of an encoding.
var magic = map[string][]byte{"gzip": {0x1f, 0x8b}, "x-gzip": {0x1f, 0x8b}, "zstd": {0x28, 0xb5, 0x2f, 0xfd}, "deflate": {0x78}}

// keepEncoding sets Content-Encoding again where the handler left it as it was and the new body is encoded
// so: with a new body the gateway drops what was said of the old one.
func (i *invocation) keepEncoding(op uint8, was *before, headers http.Header, body []byte) error {
	values := headers["Content-Encoding"]
	if len(values) != 1 {
		return nil // the difference says it
	}
	if _, same := was.match("Content-Encoding", values); !same {
		return nil
	}
	if begin, known := magic[strings.ToLower(values[0])]; known && bytes.HasPrefix(body, begin) {
		i.put(op, "Content-Encoding", values[0])
	}
	return nil
}
