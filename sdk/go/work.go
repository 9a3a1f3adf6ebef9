package gantry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"gantry.example/sdk/go/abi"
)

// work is what a call does. Authors may keep a call, but not this: it serves later calls, and a call that
// comes after its turn finds that out by the number.
type work struct {
	turn     uint64
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
	asks     bool  // the host is asked for what is read, without a snapshot
	read     uint8 // how often something was read, up to readMany
}

// readMany is how many things a call reads for which a snapshot is cheaper than asking for each.
const readMany = 3

var idle = sync.Pool{New: func() any { return new(work) }}

// begin makes a call.
func (w *work) begin() *RequestCall { return &RequestCall{Call{w, w.turn, w.hook}} }

// end ends it, and with it what the call has of the host's memory.
func (w *work) end() {
	*w = work{turn: w.turn + 1}
	idle.Put(w)
}

// change collects a change.
func (w *work) change(op uint8, key, value string) {
	if w.err != nil {
		return
	}
	if len(key) > 1<<16-1 {
		w.err = refusal("change "+key[:32]+"...", abi.ETooLarge)
		return
	}
	size := abi.MutationLen(key, value)
	if size > cap(w.out)-len(w.out) && !w.flush() {
		return
	}
	w.changed |= abi.Touches(op)
	if size > cap(w.out) {
		alone := make([]byte, size)
		abi.PutMutation(alone, op, key, value)
		w.apply(alone)
		return
	}
	written := len(w.out)
	w.out = w.out[:written+size]
	abi.PutMutation(w.out[written:], op, key, value)
}

// mayUseBody fails the call of a function that did not declare that it wants the body: it would take
// an unseen body for an empty one.
func (w *work) mayUseBody() bool {
	if !w.body && w.err == nil {
		w.err = refusal("use the body without Function.WantsBody or Function.Detached", abi.ERefused)
	}
	return w.body
}

func (w *work) bodyOf(part uint32) []byte {
	if !w.mayUseBody() || w.changed&(1<<part) != 0 && !w.flush() {
		return nil
	}
	body, code := w.backend.Get(part)
	if code != abi.OK {
		if w.err == nil {
			w.err = refusal("read the body", code)
			if w.ctx != nil && code == abi.EDeadHandle {
				w.err = fmt.Errorf("the body does not come, since nobody waits for this call any more: %w", context.Canceled)
			}
		}
		return nil
	}
	return append([]byte{}, body...)
}

// setBody collects a short body with other changes, and gives a long one to the host as it lies.
func (w *work) setBody(op uint8, body []byte) {
	if !w.mayUseBody() {
		return
	}
	if abi.MutationHead+len(body) <= cap(w.out)-len(w.out) {
		w.change(op, "", string(body))
		return
	}
	if !w.flush() {
		return
	}
	w.snapshot, w.holds, w.changed = nil, 0, 0
	if code := w.backend.Mutate(op, body); code != abi.OK {
		w.err = refusal(fmt.Sprintf("set the body to %d bytes", len(body)), code)
	}
}

// flush gives collected changes to the host; false if the call is bound to fail.
func (w *work) flush() bool {
	if w.err == nil && len(w.out) > 0 {
		pending := w.out
		w.out = w.out[:0]
		w.apply(pending)
	}
	return w.err == nil
}

func (w *work) apply(mutations []byte) {
	// Whether or not the host takes them, what it gave before is dead.
	w.snapshot, w.holds, w.changed = nil, 0, 0
	if code := w.backend.Apply(mutations); code != abi.OK {
		w.err = refusal("apply changes", code)
	}
}

// prepare sees to it that the snapshot holds a part, as the function has left it.
func (w *work) prepare(part uint32) {
	bit := uint64(1) << part
	w.read = readMany
	if w.changed&bit != 0 {
		w.flush()
	}
	if w.holds&bit == 0 {
		snapshot, code := w.backend.Snapshot(w.wants | bit)
		if code != abi.OK {
			snapshot = nil
		}
		w.snapshot, w.holds = snapshot, w.wants|bit
	}
}

func (w *work) text(part uint32) string {
	bit := uint64(1) << part
	if w.wants&bit == 0 || w.holds&bit == 0 && w.few() {
		if w.changed&bit != 0 {
			w.flush()
		}
		value, code := w.backend.Get(part)
		if code != abi.OK {
			return ""
		}
		return string(value)
	}
	w.prepare(part)
	value, _ := w.snapshot.Get(part)
	return string(value)
}

// few counts what is read, and says whether to ask for it alone.
func (w *work) few() bool {
	if w.read < readMany {
		w.read++
	}
	return w.asks && w.read < readMany
}

func (w *work) first(part uint32, name string) (string, bool) {
	changed, held := w.changed>>part&1 != 0, w.holds>>part&1 != 0
	if !held && w.few() {
		if changed {
			w.flush()
		}
		value, code := w.own.header(part, name)
		return string(value), code == abi.OK
	}
	if changed || !held {
		w.prepare(part)
	}
	bytes, found := w.snapshot.First(part, name)
	return string(bytes), found
}

func (w *work) all(part uint32, name string) (values []string) {
	w.prepare(part)
	w.snapshot.Headers(part, func(n, v []byte) bool {
		if abi.IsName(n, name) {
			values = append(values, string(v))
		}
		return true
	})
	return values
}

// each copies before it yields: what it yields to may change headers.
func (w *work) each(part uint32, yield func(name, value string) bool) {
	var headers []Header
	w.prepare(part)
	w.snapshot.Headers(part, func(name, value []byte) bool {
		headers = append(headers, Header{string(name), string(value)})
		return true
	})
	for _, header := range headers {
		if !yield(header.Name, header.Value) {
			return
		}
	}
}

// answer sets the parts of an answer.
func (w *work) answer(answer Answer) error {
	if w.answered {
		return errors.New("answer given twice")
	}
	w.answered = true
	w.change(abi.OpAnswerStatus, "", strconv.Itoa(answer.Status))
	for i, header := range answer.Headers {
		op := uint8(abi.OpSetResponseHeader)
		for _, earlier := range answer.Headers[:i] {
			if equalFold(earlier.Name, header.Name) {
				op = abi.OpAddResponseHeader
			}
		}
		w.change(op, header.Name, header.Value)
	}
	w.change(abi.OpAnswerBody, "", string(answer.Body))
	return w.err
}

// nobody is the backend of a call that is over.
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
