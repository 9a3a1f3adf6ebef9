package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"gantry.example/sdk/go/abi"
)

// body is r.Body or res.Body: it asks for the bytes when it is first read. The gateway has the whole body
// all the same, so reading takes nothing from the upstream or the client.
type body struct {
	made *invocation
	part uint32

	rewound
	asked bool
	err   error
}

// rewound are bytes that begin again at their end and when they are closed, as bodies do in the gateway that
// these handlers were written for.
type rewound struct {
	mu    sync.Mutex
	bytes []byte
	at    int
}

// read reads on. Under the lock.
func (r *rewound) read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	if r.at == len(r.bytes) {
		r.at = 0
		return 0, io.EOF
	}
	count := copy(into, r.bytes[r.at:])
	r.at += count
	return count, nil
}

// Close begins again.
func (r *rewound) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = 0
	return nil
}

// Read reads on.
func (b *body) Read(into []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(); err != nil {
		return 0, err
	}
	return b.read(into)
}

// isBytes says whether the body is known to be these bytes.
func (b *body) isBytes(bytes []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked && b.err == nil && string(b.bytes) == string(bytes)
}

func (b *body) load() error {
	if b.asked {
		return b.err
	}
	b.asked = true
	var code int32
	switch {
	case b.made.detached != nil:
		b.bytes, code = b.made.detached.Body(b.part)
	case b.made.function.Body:
		var lent []byte
		lent, code = b.made.host.Get(b.part)
		b.bytes = append([]byte{}, lent...)
	default:
		b.err = errors.New("the body is not declared: an inline function that reads it says //gantry:inline body")
		b.made.say(abi.LogError, b.made.function.Name+": "+b.err.Error())
		return b.err
	}
	switch code {
	case abi.OK:
	case abi.EDeadHandle:
		b.err = fmt.Errorf("nobody waits for this call any more, so its body does not come: %w", context.Canceled)
	default:
		b.err = fmt.Errorf("the body does not come: the gateway answers %d", code)
	}
	return b.err
}

// spent is req.Body of a response function: the gateway has sent the request's body on and keeps none. What an
// earlier function of this library read or left is here again.
type spent struct {
	made  *invocation
	known bool
	rewound
}

// Read reads on; of a body that nobody has read, nothing.
func (s *spent) Read(into []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		s.made.sayOnce("a request's body is not kept until its response: req.Body is what a request function of the " +
			"same library has read, and none has")
		return 0, io.EOF
	}
	return s.read(into)
}

// read gives the request's body as it goes on, if the function has read or replaced it.
func (i *invocation) read() (bytes []byte, known bool) {
	switch {
	case i.function.Response != nil:
		return nil, false
	case i.scratch.left != nil:
		return i.scratch.left, true
	case i.body == nil:
		return nil, false
	}
	i.body.mu.Lock()
	defer i.body.mu.Unlock()
	return i.body.bytes, i.body.asked && i.body.err == nil
}
