package shim

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"gantry.example/sdk/go/abi"
)

// answerMax is how many bytes a handler can answer with: the contract's limit.
const answerMax = 1 << 20

// writer behaves as a Go server's ResponseWriter that keeps the answer until the handler has returned.
// There is no Hijack: the connection is the gateway's.
type writer struct {
	made *invocation

	mu     sync.Mutex // a handler may let goroutines write
	header http.Header
	sent   http.Header // as they were when the status was written
	status int
	body   []byte
	over   bool // more was written than fits
	ended  bool
}

func (w *writer) init(made *invocation) {
	w.made = made
	// What earlier functions set is there, as it is where all write to one writer.
	of := ofResponse
	if made.function.Response != nil {
		of = added
	}
	w.header, _ = made.scratch.snapshot.readHeader(of, &made.scratch.writer)
}

// Header gives the headers to set.
func (w *writer) Header() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader writes the status. Informational ones are passed over, and every one after the first.
func (w *writer) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *writer) writeHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if status < 200 && status != http.StatusSwitchingProtocols || w.ended {
		return
	}
	if w.status != 0 {
		w.made.sayOnce("superfluous WriteHeader call; the first counts")
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

// Write writes a piece of the body, and 200 before it if there was no status.
func (w *writer) Write(piece []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.admits(len(piece)) {
		return 0, w.refusal()
	}
	w.body = append(w.body, piece...)
	return len(piece), nil
}

// WriteString is Write.
func (w *writer) WriteString(piece string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.admits(len(piece)) {
		return 0, w.refusal()
	}
	w.body = append(w.body, piece...)
	return len(piece), nil
}

// ReadFrom writes what a reader gives.
func (w *writer) ReadFrom(source io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, source)
}

// Flush has no effect: the answer goes out whole, when the handler has returned.
func (w *writer) Flush() {}

func (w *writer) admits(length int) bool {
	if w.ended {
		return false
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if length > answerMax-len(w.body) {
		w.over = true
	}
	return !w.over && (length == 0 || bodyAllowed(w.status))
}

func (w *writer) refusal() error {
	switch {
	case w.ended:
		return http.ErrHandlerTimeout
	case w.over:
		return fmt.Errorf("the answer is larger than %d bytes", answerMax)
	default:
		return http.ErrBodyNotAllowed
	}
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// close ends writing: what goroutines of the handler write from now on is lost.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

// isClosed says whether the handler has returned.
func (w *writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// wrote says whether there is an answer.
func (w *writer) wrote() bool { return w.status != 0 }

// answer puts the answer among the changes.
func (w *writer) answer() error {
	i := w.made
	if w.over {
		return fmt.Errorf("the answer is larger than %d bytes", answerMax)
	}
	if w.status == http.StatusSwitchingProtocols || w.status > 599 {
		return fmt.Errorf("an answer cannot have status %d", w.status)
	}
	if _, has := w.sent["Content-Type"]; !has && len(w.body) > 0 && w.sent.Get("Content-Encoding") == "" {
		if w.sent == nil {
			w.sent = make(http.Header)
		}
		w.sent["Content-Type"] = []string{http.DetectContentType(w.body)}
	}
	i.put(abi.OpAnswerStatus, "", strconv.Itoa(w.status))
	w.putHeaders(w.sent)
	if length, has := w.lengthToHead(); has {
		i.put(abi.OpSetResponseHeader, "Content-Length", length)
	}
	i.put(abi.OpAnswerBody, "", string(w.body))
	return nil
}

// lengthToHead is what a handler says of the body that HEAD does not get, as http.ServeContent does. Everywhere
// else the gateway counts.
func (w *writer) lengthToHead() (string, bool) {
	values := w.sent["Content-Length"]
	if len(values) != 1 || w.made.scratch.method != http.MethodHead {
		return "", false
	}
	length, err := strconv.ParseUint(values[0], 10, 63)
	return strconv.FormatUint(length, 10), err == nil
}

// putHeaders puts changed headers among the changes. In a response hook they are apart from the upstream's,
// which they join in the end.
func (w *writer) putHeaders(now http.Header) {
	i, ops := w.made, &responseHeader
	if i.function.Response != nil {
		ops = &addedHeader
	}
	i.scratch.writer.diff(now, func(name string, values []string) {
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			i.putHeader(ops, name, values)
		}
	})
}
