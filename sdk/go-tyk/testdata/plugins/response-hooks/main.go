// Response hooks of each temper; no go.mod.
package main

import (
	"bytes"
	"io"
	"io/ioutil"
	"net/http"
	"strings"

	"github.com/TykTechnologies/tyk/ctx"
)

// Redact replaces a word in the upstream's body and leaves Content-Length as it was.
func Redact(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	body, err := ioutil.ReadAll(res.Body)
	if err != nil {
		return
	}
	res.Body.Close()
	res.Body = ioutil.NopCloser(strings.NewReader(strings.ReplaceAll(string(body), "secret", "[redacted]")))
}

// Headers changes the status and headers, and adds one on the writer.
func Headers(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	res.StatusCode = http.StatusAccepted
	res.Header.Del("Server")
	res.Header.Set("X-Response-Hook", req.Method+" "+req.URL.Path)
	rw.Header().Set("X-Writer", "set")
	if session := ctx.GetSession(req); session != nil {
		res.Header.Set("X-Alias", session.Alias)
	}
}

// Replace answers by itself; nothing of the upstream's body may follow.
func Replace(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	rw.Header().Set("Content-Type", "text/plain")
	rw.WriteHeader(http.StatusUnavailableForLegalReasons)
	io.WriteString(rw, "not to be shown")
}

// Peek reads the first bytes only; the client still gets the whole.
func Peek(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	first := make([]byte, 4)
	n, _ := io.ReadFull(res.Body, first)
	res.Header.Set("X-First", string(bytes.ToUpper(first[:n])))
}

// Panic fails; no byte of the upstream's answer may get out.
func Panic(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	panic("response hook fails")
}

// Abort fails as net/http's own handlers do.
func Abort(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	panic(http.ErrAbortHandler)
}

func main() {}
