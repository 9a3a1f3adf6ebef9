package gantry

import (
	"errors"
	"fmt"
	"sync/atomic"

	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// instance is a function started for one place in an API definition.
type instance struct {
	hook     Hook
	wants    uint64
	body     bool
	detached bool
	request  func(*RequestCall) error
	response func(*ResponseCall) error
	calls    layer.Calls
	known    layer.Documents
	many     atomic.Bool // the latest call read so much that the next one begins with a snapshot
}

// start makes a function; a panic of the author's code is a refusal.
func start(name string, context Start) (made layer.Function, err error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			made, err = nil, errors.New("start panicked: "+layer.Describe(recovered))
		}
	}()
	for _, function := range theRegistered().Functions {
		if function.Name != name {
			continue
		}
		if function.Detached || function.Layer != nil && !function.Inline {
			makeRoom()
		}
		if function.Layer != nil {
			return function.Layer(layer.Place{APIID: context.APIID, Hook: uint32(context.Hook), Config: context.Config})
		}
		return function.start(context)
	}
	return nil, fmt.Errorf("no function %q is registered", name)
}

func (f Function) start(context Start) (made *instance, err error) {
	made = &instance{
		hook: context.Hook, wants: f.wantParts(), body: f.WantsBody || f.Detached, detached: f.Detached,
		request: f.Request, response: f.Response,
	}
	switch {
	case f.StartRequest != nil:
		made.request, err = f.StartRequest(context)
	case f.StartResponse != nil:
		made.response, err = f.StartResponse(context)
	}
	if err == nil && made.request == nil && made.response == nil {
		err = errors.New("start made no function")
	}
	return made, err
}

// Call runs the function, or starts the goroutine on which it runs.
func (i *instance) Call(frame *layer.Frame) int32 {
	if i.detached {
		return i.detach(frame)
	}
	return i.inline(frame, native{})
}

// Event tells a detached call.
func (i *instance) Event(call uint64, event uint32, detail []byte) {
	i.calls.Event(call, event, detail)
}

// inline runs the function on the goroutine that was entered. Without a host in the frame it is own.
func (i *instance) inline(frame *layer.Frame, own native) (verdict int32) {
	at := idle.Get().(*work)
	at.backend, at.own, at.hook, at.snapshot, at.wants = frame.Host, own, i.hook, frame.Snapshot, i.wants
	at.body, at.out = i.body, frame.Out[:0:len(frame.Out)]
	if frame.Host == nil {
		at.backend, at.asks = &at.own, !i.many.Load()
	}
	if len(frame.Snapshot) > 0 {
		at.holds = i.wants
	}
	returned, before := false, exits.Load()
	defer func() {
		// A panic with nil is recovered as nil where GODEBUG or an old module asks for that.
		if recovered := recover(); !returned {
			var reason string
			verdict, reason = layer.Recovered(recovered)
			at.backend.Log(abi.LogError, reason)
			frame.Written = 0
		}
		at.end()
	}()
	verdict, frame.Written = i.run(at)
	if verdict >= 0 && exits.Load() != before {
		at.backend.Log(abi.LogError, "os.Exit was called meanwhile")
		verdict, frame.Written = abi.Failed, 0
	}
	if many := at.read == readMany; many != i.many.Load() {
		i.many.Store(many)
	}
	returned = true
	return verdict
}

// run gives the verdict and how much of the call's output holds changes. Whoever runs it ends the work.
func (i *instance) run(at *work) (verdict int32, written int) {
	call := at.begin()
	if i.response != nil {
		return at.conclude(i.response((*ResponseCall)(call)))
	}
	return at.conclude(i.request(call))
}

func (w *work) conclude(err error) (verdict int32, written int) {
	if err == nil {
		err = w.err
	}
	switch {
	case err != nil && w.ctx != nil && w.ctx.Err() != nil:
		// Clients that leave are no errors; and how it ends, nobody will know.
		w.backend.Log(abi.LogInfo, err.Error())
		return abi.Failed, 0
	case err != nil:
		w.backend.Log(abi.LogError, err.Error())
		return abi.Failed, 0
	case w.answered:
		return abi.Respond, len(w.out)
	default:
		return abi.Continue, len(w.out)
	}
}

func init() {
	layer.MakeRoom = makeRoom
	layer.Open = func(function string, place layer.Place) (layer.Function, error) {
		return start(function, Start{APIID: place.APIID, Hook: Hook(place.Hook), Config: place.Config})
	}
}
