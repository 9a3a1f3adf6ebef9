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
// all the same, so reading takes nothing from the upstream or the client. At its end, and when it is
// closed, it begins again, as in the gateway that these handlers were written for.
type body struct {
	made *invocation
	part uint32

	mu    sync.Mutex
	asked bool
	bytes []byte
	err   error
	at    int
}

// Read reads on.
func (b *body) Read(into []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(); err != nil {
		return 0, err
	}
	if len(into) == 0 {
		return 0, nil
	}
	if b.at == len(b.bytes) {
		b.at = 0
		return 0, io.EOF
	}
	count := copy(into, b.bytes[b.at:])
	b.at += count
	return count, nil
}

// Close begins again.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = 0
	return nil
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
	case b.made.detached:
		b.bytes, code = b.made.Body(b.part)
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
