package layer

import (
	"context"
	"sync"
	"time"

	"gantry.example/sdk/go/abi"
)

// Pending is a call that ends later, on a goroutine of its own. It ends exactly once, whatever the
// goroutine does: returns, panics or calls runtime.Goexit.
type Pending struct {
	// Lasting lets the context go on when the call has ended, for what a function started; whoever sets it
	// calls Cancel.
	Lasting bool

	host    Host
	call    uint64
	calls   *Calls
	ctx     context.Context
	cancel  context.CancelFunc
	ask     sync.Once
	refused int32
	arrive  sync.Once
	mu      sync.Mutex
	arrived chan struct{} // of most calls nobody asks for the body: see coming
	body    []byte
}

// timed says when the host will give the call up. It needs no timer: the host cancels, and later than this
// if the call waited for a body.
type timed struct {
	context.Context
	deadline time.Time
}

func (t *timed) Deadline() (time.Time, bool) { return t.deadline, true }

func (t *timed) Err() error {
	err := t.Context.Err()
	if err != nil && !time.Now().Before(t.deadline) {
		return context.DeadlineExceeded
	}
	return err
}

// Begin enters a call among those that pend. To be done before the frame's Call returns; then Run.
func (p *Pending) Begin(calls *Calls, frame *Frame) {
	p.host, p.call, p.calls = frame.Host, frame.Call, calls
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if frame.DeadlineMS > 0 {
		p.ctx = &timed{p.ctx, time.Now().Add(time.Duration(frame.DeadlineMS) * time.Millisecond)}
	}
	calls.put(p)
}

// Context ends when nobody waits for the call any more and, unless it is lasting, when the call has ended.
func (p *Pending) Context() context.Context { return p.ctx }

// Cancel ends the context.
func (p *Pending) Cancel() { p.cancel() }

// Call gives the handle.
func (p *Pending) Call() uint64 { return p.call }

// Log writes a log line about the call.
func (p *Pending) Log(level uint32, message string) { p.host.Log(level, message) }

// Body waits for the body that the hook is about; the first time it asks the host. The bytes are not to be
// changed. Where it does not come, the code says why: abi.EDeadHandle if nobody waits for the call.
func (p *Pending) Body(part uint32) ([]byte, int32) {
	p.ask.Do(func() { p.refused = p.host.Ask(part) })
	if p.refused != abi.OK {
		return nil, p.refused
	}
	arrived := p.coming()
	select {
	case <-arrived:
		return p.body, abi.OK
	case <-p.ctx.Done():
	}
	select {
	case <-arrived:
		return p.body, abi.OK
	default:
		return nil, abi.EDeadHandle
	}
}

// coming is closed when the body is there.
func (p *Pending) coming() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.arrived == nil {
		p.arrived = make(chan struct{})
	}
	return p.arrived
}

// Run does the work on a goroutine and ends the call with what it gives. If it panics or leaves by
// runtime.Goexit, the call has failed and a log line says why.
func (p *Pending) Run(work func() (verdict int32, mutations []byte)) {
	go func() {
		grow()
		var (
			verdict   int32
			mutations []byte
			returned  bool
		)
		defer func() {
			if recovered := recover(); recovered != nil {
				p.host.Log(abi.LogError, "panic: "+Describe(recovered))
				verdict, mutations = abi.Panicked, nil
			} else if !returned {
				p.host.Log(abi.LogError, "runtime.Goexit, or a panic with nil, left the function")
				verdict, mutations = abi.Panicked, nil
			}
			p.end(verdict, mutations)
		}()
		verdict, mutations = work()
		returned = true
	}()
}

// grow lets the goroutine's stack grow once and at its start, while there is next to nothing on it to move. Any
// handler needs more than the 2 KiB that it begins with.
//
//go:noinline
func grow() {
	var room [3 << 10]byte
	use(&room)
}

//go:noinline
func use(*[3 << 10]byte) {}

func (p *Pending) end(verdict int32, mutations []byte) {
	p.calls.remove(p.call)
	if code := p.host.Resume(verdict, mutations); code != abi.OK && code != abi.EDeadHandle {
		// What the host does not take still has to end.
		p.host.Log(abi.LogError, "the gateway does not take what the function left")
		p.host.Resume(abi.Failed, nil)
	}
	if !p.Lasting {
		p.cancel()
	}
}

func (p *Pending) event(event uint32, detail []byte) {
	switch event {
	case abi.EventBody:
		p.arrive.Do(func() {
			p.body = append([]byte{}, detail...)
			close(p.coming())
		})
	case abi.EventCancel:
		p.cancel()
	}
}

const shards = 16

// Calls are calls that pend, by their handles. The zero value is ready.
type Calls struct {
	shards [shards]struct {
		sync.Mutex
		calls map[uint64]*Pending
	}
}

// Event tells the call, if it still pends.
func (c *Calls) Event(call uint64, event uint32, detail []byte) {
	shard := &c.shards[call%shards]
	shard.Lock()
	pending := shard.calls[call]
	shard.Unlock()
	if pending != nil {
		pending.event(event, detail)
	}
}

// Len is how many pend.
func (c *Calls) Len() (sum int) {
	for i := range c.shards {
		shard := &c.shards[i]
		shard.Lock()
		sum += len(shard.calls)
		shard.Unlock()
	}
	return sum
}

func (c *Calls) put(pending *Pending) {
	shard := &c.shards[pending.call%shards]
	shard.Lock()
	defer shard.Unlock()
	if shard.calls == nil {
		shard.calls = make(map[uint64]*Pending)
	}
	shard.calls[pending.call] = pending
}

func (c *Calls) remove(call uint64) {
	shard := &c.shards[call%shards]
	shard.Lock()
	defer shard.Unlock()
	delete(shard.calls, call)
}
