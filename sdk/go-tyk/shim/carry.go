package shim

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"gantry.example/sdk/go-tyk/call"
	"gantry.example/sdk/go/layer"
)

// carried is what goes with a request from one function of this library to the next: the values of its
// context, fields of the request that the gateway does not know, and the live session. Functions of one request run one after the other, but a goroutine that
// nobody waits for any more may still be at it, hence the lock.
type carried struct {
	sync.Mutex
	values  context.Context // values only
	request *http.Request   // as a function left it
	atEnd   bool            // that function was a response's
	state   *call.State
	body    []byte // the request's, if a function has read it and the library has functions for responses
	hasBody bool
	cancels []func() // contexts of detached calls, which last as long as the request
	ended   bool
}

// lasts cancels at the end of the request, or now if that has come.
func (c *carried) lasts(cancel func()) {
	c.Lock()
	defer c.Unlock()
	if c.ended {
		cancel()
		return
	}
	c.cancels = append(c.cancels, cancel)
}

const shards = 16

// table holds things of this library by number.
type table[T any] struct {
	shards [shards]struct {
		sync.Mutex
		things map[uint64]T
	}
}

func (t *table[T]) put(key uint64, thing T) {
	shard := &t.shards[key%shards]
	shard.Lock()
	if shard.things == nil {
		shard.things = make(map[uint64]T)
	}
	shard.things[key] = thing
	shard.Unlock()
}

func (t *table[T]) get(key uint64) (thing T) {
	shard := &t.shards[key%shards]
	shard.Lock()
	thing = shard.things[key]
	shard.Unlock()
	return thing
}

func (t *table[T]) remove(key uint64) {
	shard := &t.shards[key%shards]
	shard.Lock()
	delete(shard.things, key)
	shard.Unlock()
}

// inlineCalls are as many calls as threads are in, so most have a place of their own. The others are in a
// table.
type inlineCalls struct {
	places [64]atomic.Pointer[invocation]
	others table[*invocation]
}

func (c *inlineCalls) place(handle uint64) *atomic.Pointer[invocation] {
	return &c.places[handle%uint64(len(c.places))]
}

func (c *inlineCalls) put(made *invocation) {
	if !c.place(made.number).CompareAndSwap(nil, made) {
		c.others.put(made.number, made)
	}
}

func (c *inlineCalls) get(handle uint64) *invocation {
	if made := c.place(handle).Load(); made != nil && made.number == handle {
		return made
	}
	return c.others.get(handle)
}

func (c *inlineCalls) remove(made *invocation) {
	if !c.place(made.number).CompareAndSwap(made, nil) {
		c.others.remove(made.number)
	}
}

var (
	requests    table[*carried]
	nextRequest atomic.Uint64
)

// find gives what an earlier call of the request left; nil without.
func find(carry uint64) *carried {
	if carry == 0 {
		return nil
	}
	return requests.get(carry)
}

// claim is find, and makes it where there is none. Before the frame's Call returns.
func claim(frame *layer.Frame) *carried {
	if found := find(frame.Carry); found != nil {
		return found
	}
	made := new(carried)
	frame.Carry = nextRequest.Add(1)
	requests.put(frame.Carry, made)
	return made
}

// release takes back what a request carried, and ends its contexts.
func release(carry uint64) {
	found := find(carry)
	if found == nil {
		return
	}
	requests.remove(carry)
	found.Lock()
	cancels := found.cancels
	found.cancels, found.ended = nil, true
	found.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
}
