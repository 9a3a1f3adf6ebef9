package layer

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.example/sdk/go/abi"
)

// host keeps how calls ended.
type host struct {
	mu      sync.Mutex
	refuses bool // what is not a failure
	asked   int
	log     string
	ended   chan int32
}

func (*host) Get(uint32) ([]byte, int32)      { return nil, abi.EAbsent }
func (*host) Snapshot(uint64) ([]byte, int32) { return nil, abi.EAbsent }
func (*host) Apply([]byte) int32              { return abi.OK }
func (*host) Mutate(uint8, []byte) int32      { return abi.OK }

func (h *host) Log(_ uint32, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log += message + "\n"
}

func (h *host) Resume(verdict int32, _ []byte) int32 {
	if h.refuses && verdict >= 0 {
		return abi.ETooLarge
	}
	h.ended <- verdict
	return abi.OK
}

func (h *host) Ask(uint32) int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	return abi.OK
}

func begin(h *host, calls *Calls) *Pending {
	h.ended = make(chan int32, 2)
	pending := new(Pending)
	pending.Begin(calls, &Frame{Host: h, Call: 7})
	return pending
}

func TestEventsReachTheirCallUntilItHasEnded(t *testing.T) {
	var calls Calls
	h := new(host)
	pending := begin(h, &calls)
	calls.Event(8, abi.EventCancel, nil) // another's
	pending.Run(func() (int32, []byte) {
		first, _ := pending.Body(abi.PartRequestBody)
		second, _ := pending.Body(abi.PartRequestBody)
		if string(first) != "abc" || string(second) != "abc" || pending.Context().Err() != nil {
			t.Errorf("%q %q", first, second)
		}
		return abi.Respond, nil
	})
	lent := []byte("abc")
	calls.Event(7, abi.EventBody, lent)
	copy(lent, "xyz") // it was the host's
	calls.Event(7, abi.EventBody, []byte("again"))
	if verdict := <-h.ended; verdict != abi.Respond || h.asked != 1 {
		t.Error(verdict, h.asked)
	}
	<-pending.Context().Done()
	if calls.Len() != 0 {
		t.Error("it still pends")
	}
	calls.Event(7, abi.EventBody, nil) // late
}

func TestCallThatIsCancelledGetsNoBodyAndStillEnds(t *testing.T) {
	var calls Calls
	h := new(host)
	pending := begin(h, &calls)
	pending.Run(func() (int32, []byte) {
		if body, code := pending.Body(abi.PartRequestBody); body != nil || code != abi.EDeadHandle {
			t.Error(body, code)
		}
		return abi.Continue, nil
	})
	calls.Event(7, abi.EventCancel, nil)
	if verdict := <-h.ended; verdict != abi.Continue {
		t.Error(verdict)
	}
}

func TestChangesThatTheHostDoesNotTakeFailTheCall(t *testing.T) {
	var calls Calls
	h := &host{refuses: true}
	begin(h, &calls).Run(func() (int32, []byte) { return abi.Continue, []byte("too large") })
	if verdict := <-h.ended; verdict != abi.Failed {
		t.Error(verdict)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !strings.Contains(h.log, "does not take") {
		t.Error(h.log)
	}
}

func TestContextsTellTheirDeadlineAndWhetherItPassed(t *testing.T) {
	var calls Calls
	h := &host{ended: make(chan int32, 2)}
	long, passed := new(Pending), new(Pending)
	begun := time.Now()
	long.Begin(&calls, &Frame{Host: h, Call: 7, DeadlineMS: 30_000})
	deadline, ok := long.Context().Deadline()
	if !ok || deadline.Before(begun.Add(30*time.Second)) || deadline.After(time.Now().Add(30*time.Second)) {
		t.Errorf("found %v, %v", deadline, ok)
	}
	derived, stop := context.WithCancel(long.Context())
	defer stop()
	calls.Event(7, abi.EventCancel, nil)
	<-derived.Done()
	if err := long.Context().Err(); err != context.Canceled {
		t.Errorf("expected Canceled, since the client left, found %v", err)
	}
	passed.Begin(&calls, &Frame{Host: h, Call: 8, DeadlineMS: 1})
	if err := passed.Context().Err(); err != nil {
		t.Errorf("expected none before the host cancels, found %v", err)
	}
	at, _ := passed.Context().Deadline()
	time.Sleep(time.Until(at))
	calls.Event(8, abi.EventCancel, nil)
	<-passed.Context().Done()
	if err := passed.Context().Err(); err != context.DeadlineExceeded {
		t.Errorf("expected DeadlineExceeded, found %v", err)
	}
	unknown := new(Pending)
	unknown.Begin(&calls, &Frame{Host: h, Call: 9})
	if _, ok := unknown.Context().Deadline(); ok {
		t.Error("expected no deadline where the host names none")
	}
}
