package gantry

import (
	"errors"
	"fmt"

	"gantry.example/sdk/go/internal/abi"
)

// instance is a function started for one place in an API definition.
type instance struct {
	hook     Hook
	wants    uint64
	body     bool
	request  func(*RequestCall) error
	response func(*ResponseCall) error
}

// start makes an instance; a panic of the author's code is a refusal.
func start(name string, context Start) (made *instance, err error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			made, err = nil, errors.New("start panicked: "+describe(recovered))
		}
	}()
	for _, function := range theRegistered().Functions {
		if function.Name != name {
			continue
		}
		made = &instance{
			hook: context.Hook, wants: function.wantParts(), body: function.WantsBody,
			request: function.Request, response: function.Response,
		}
		switch {
		case function.StartRequest != nil:
			made.request, err = function.StartRequest(context)
		case function.StartResponse != nil:
			made.response, err = function.StartResponse(context)
		}
		if err == nil && made.request == nil && made.response == nil {
			err = errors.New("start made no function")
		}
		return made, err
	}
	return nil, fmt.Errorf("no function %q is registered", name)
}

// call runs the function once. It gives the verdict and how much of out holds changes.
func (i *instance) call(backend abi.Backend, snapshot, out []byte) (verdict int32, written int) {
	call := Call{backend: backend, hook: i.hook, snapshot: snapshot, wants: i.wants, body: i.body, out: out}
	if len(snapshot) > 0 {
		call.holds = i.wants
	}
	defer func() {
		if recovered := recover(); recovered != nil {
			backend.Log(abi.LogError, "panic: "+describe(recovered))
			verdict, written = abi.Panicked, 0
		}
	}()
	if i.response != nil {
		response := ResponseCall{call}
		defer response.end()
		return response.conclude(i.response(&response))
	}
	request := RequestCall{call}
	defer request.end()
	return request.conclude(i.request(&request))
}

func (c *Call) conclude(err error) (verdict int32, written int) {
	if err == nil {
		err = c.err
	}
	switch {
	case err != nil:
		c.backend.Log(abi.LogError, err.Error())
		return abi.Failed, 0
	case c.answered:
		return abi.Respond, c.written
	default:
		return abi.Continue, c.written
	}
}

func init() {
	abi.Drive = func(name string, hook uint32, config string, backend abi.Backend, out []byte) (int32, []byte, error) {
		made, err := start(name, Start{APIID: "test", Hook: Hook(hook), Config: []byte(config)})
		if err != nil {
			return 0, nil, err
		}
		snapshot, _ := backend.Snapshot(made.wants)
		verdict, written := made.call(backend, snapshot, out)
		return verdict, out[:written], nil
	}
}
