package gantrytest_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"

	gantry "gantry.example/sdk/go"
	"gantry.example/sdk/go/gantrytest"
)

var kept *gantry.RequestCall

func init() {
	pre := []gantry.Hook{gantry.Pre}
	gantry.Register(gantry.Plugin{Name: "test", Version: "1.0.0", Functions: []gantry.Function{
		{Name: "Rewrite", Hooks: pre, Request: rewrite},
		{Name: "Large", Hooks: pre, Request: large},
		{Name: "Refuse", Hooks: pre, Request: func(call *gantry.RequestCall) error {
			return call.Answer(gantry.Answer{Status: 403, Body: []byte("no"), Headers: []gantry.Header{
				{Name: "Vary", Value: "a"}, {Name: "vary", Value: "b"}}})
		}},
		{Name: "Fail", Hooks: pre, Request: func(call *gantry.RequestCall) error {
			call.SetHeader("x-lost", "yes")
			return errors.New("no such luck")
		}},
		{Name: "Panic", Hooks: pre, Request: func(*gantry.RequestCall) error {
			var nothing *gantry.Answer
			nothing.Status = 1
			return nil
		}},
		{Name: "PanicNil", Hooks: pre, Request: func(*gantry.RequestCall) error { panic(nil) }},
		{Name: "Wrap", Hooks: pre, WantsBody: true, Request: wrap},
		{Name: "Grow", WantsBody: true, Response: func(call *gantry.ResponseCall) error {
			call.SetBody(make([]byte, 3<<20))
			call.SetResponseHeader("x-length", strconv.Itoa(len(call.Body())))
			return nil
		}},
		{Name: "Undeclared", Hooks: pre, Request: func(call *gantry.RequestCall) error {
			if len(call.Body()) == 0 {
				return nil
			}
			return errors.New("it saw the body")
		}},
		{Name: "RewriteDetached", Hooks: pre, Detached: true, Request: rewrite},
		{Name: "WrapDetached", Hooks: pre, Detached: true, Request: wrap},
		{Name: "GrowDetached", Detached: true, Response: func(call *gantry.ResponseCall) error {
			call.SetBody(make([]byte, 3<<20))
			call.SetResponseHeader("x-length", strconv.Itoa(len(call.Body())))
			return nil
		}},
		{Name: "Exit", Hooks: pre, Detached: true, Request: func(call *gantry.RequestCall) error {
			call.SetHeader("x-lost", "yes")
			runtime.Goexit()
			return nil
		}},
		{Name: "PanicDetached", Hooks: pre, Detached: true, Request: func(*gantry.RequestCall) error { panic("no such luck") }},
		{Name: "Wait", Hooks: pre, Detached: true, Request: func(call *gantry.RequestCall) error {
			if call.Body() == nil && call.Context().Err() == context.Canceled {
				return errors.New("the client has left")
			}
			return nil
		}},
		{Name: "Login", Hooks: []gantry.Hook{gantry.Auth}, Detached: true, Request: func(call *gantry.RequestCall) error {
			call.StoreSession("key-1", `{"alias":"ada"}`)
			call.SetHeader("x-seen", call.AuthToken()+call.Session())
			call.SetHeader("x-config", call.ConfigData())
			return nil
		}},
		{Name: "Keep", Hooks: pre, Request: func(call *gantry.RequestCall) error {
			kept = call
			return nil
		}},
		{Name: "Stamp", Response: func(call *gantry.ResponseCall) error {
			if call.Status() == 200 {
				call.SetStatus(203)
			}
			call.AddResponseHeader("x-by", call.ResponseHeader("server"))
			return nil
		}},
		{Name: "Configured", Hooks: pre, StartRequest: func(start gantry.Start) (func(*gantry.RequestCall) error, error) {
			if string(start.Config) == "{}" {
				return nil, errors.New("it needs a configuration")
			}
			return func(call *gantry.RequestCall) error {
				call.SetHeader("x-config", string(start.Config))
				return nil
			}, nil
		}},
	}})
}

// rewrite reads what it has changed, which takes the changes to the host in between.
func rewrite(call *gantry.RequestCall) error {
	call.SetPath("/new" + call.Path())
	call.AddHeader("X-Seen", call.Path())
	call.AddHeader("X-Seen", call.Header("x-SEEN"))
	call.SetHeader("x-session", call.Session())
	call.Headers(func(name, value string) bool {
		call.SetResponseHeader("x-"+name, value)
		return true
	})
	return nil
}

// large writes more than a call's output holds, in pieces and at once.
func large(call *gantry.RequestCall) error {
	for i := 0; i < 10; i++ {
		call.AddHeader("x-piece", strings.Repeat("p", 1000))
	}
	call.SetHeader("x-large", strings.Repeat("l", 10000))
	call.SetHeader("x-last", "yes")
	return call.Flush()
}

func TestFunctionReadsWhatItChanged(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Path("/a").Session(`{"a":1}`).Run(t, "Rewrite")
	if !done.Continued() || done.Path() != "/new/a" || done.Header("x-seen") != "/new/a, /new/a" ||
		done.Header("x-session") != `{"a":1}` || done.ResponseHeader("x-x-session") != `{"a":1}` {
		t.Error(done)
	}
}

func TestChangesBeyondTheOutputArriveInOrder(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Run(t, "Large")
	if !done.Continued() || len(done.Header("x-piece")) != 10*1000+9*2 ||
		len(done.Header("x-large")) != 10000 || done.Header("x-last") != "yes" {
		t.Error(done)
	}
}

func TestAnswerEndsTheRequest(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Run(t, "Refuse")
	if !done.Answered() || done.Status() != "403" || done.Body() != "no" || done.ResponseHeader("vary") != "a, b" {
		t.Error(done)
	}
}

func TestErrorFailsTheCallAndIsLogged(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Run(t, "Fail")
	if !done.Failed() || done.Panicked() || done.Header("x-lost") != "" || len(done.Log()) != 1 || done.Log()[0] != "no such luck" {
		t.Error(done)
	}
}

func TestPanicFailsTheCallAndIsLoggedWithItsLine(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Run(t, "Panic")
	if !done.Panicked() || len(done.Log()) != 1 || !strings.Contains(done.Log()[0], "gantrytest_test.go:") {
		t.Error(done)
	}
}

func TestPanicWithNilFailsTheCall(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1")
	done := gantrytest.New(gantry.Pre).Run(t, "PanicNil")
	if !done.Panicked() || len(done.Log()) != 1 {
		t.Error(done)
	}
}

func TestCallThatWasKeptReadsEmptyAndChangesNothing(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Header("x", "1").Run(t, "Keep")
	kept.SetHeader("x-late", "yes")
	if kept.Header("x") != "" || kept.Path() != "" || kept.RemoteAddr() != "" || kept.Flush() == nil || done.Header("x-late") != "" {
		t.Error(done)
	}
}

func TestResponseFunctionReadsAndChangesTheResponse(t *testing.T) {
	done := gantrytest.New(gantry.Response).ResponseHeader("Server", "upstream").Run(t, "Stamp")
	if !done.Continued() || done.Status() != "203" || done.ResponseHeader("x-by") != "upstream" {
		t.Error(done)
	}
}

func TestFunctionIsStartedWithItsConfiguration(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Config(`{"a":1}`).Run(t, "Configured")
	if done.Header("x-config") != `{"a":1}` {
		t.Error(done)
	}
	if err := gantrytest.New(gantry.Pre).StartError("Configured"); err == nil || err.Error() != "it needs a configuration" {
		t.Error(err)
	}
	if err := gantrytest.New(gantry.Pre).StartError("Nobody"); err == nil {
		t.Error("a function that is not registered was started")
	}
}

// wrap reads the body twice, replaces it, and reads back what it left.
func wrap(call *gantry.RequestCall) error {
	wrapped := "[" + string(call.Body()) + string(call.Body()) + "]"
	call.SetHeader("x-before", "yes")
	call.SetBody([]byte(wrapped))
	call.SetHeader("x-back", string(call.Body()))
	call.SetHeader("content-language", "en")
	return nil
}

func TestBodyIsReadAgainAndReplaced(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Header("Content-Encoding", "br").Header("Content-Type", "text/plain").
		Body("ab").Run(t, "Wrap")
	if !done.Continued() || done.RequestBody() != "[abab]" || done.Header("x-back") != "[abab]" {
		t.Error(done)
	}
	if done.Header("content-encoding") != "" || done.Header("content-type") != "text/plain" ||
		done.Header("x-before") != "yes" || done.Header("content-language") != "en" {
		t.Error("headers of the old body go, others stay:", done)
	}
	empty := gantrytest.New(gantry.Pre).Run(t, "Wrap")
	if empty.RequestBody() != "[]" {
		t.Error(empty)
	}
}

func TestBodyBeyondTheOutputOfACallIsReplacedToo(t *testing.T) {
	done := gantrytest.New(gantry.Response).Body("x").ResponseHeader("ETag", "1").Run(t, "Grow")
	if !done.Continued() || len(done.ResponseBody()) != 3<<20 || done.ResponseHeader("etag") != "" ||
		done.ResponseHeader("x-length") != "3145728" {
		t.Error(len(done.ResponseBody()), done.Log())
	}
}

func TestBodyWithoutItsDeclarationFailsTheCall(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Body("ab").Run(t, "Undeclared")
	if !done.Failed() || len(done.Log()) != 1 || !strings.Contains(done.Log()[0], "WantsBody") {
		t.Error(done)
	}
}

func TestDetachedFunctionReadsACopyThatItsChangesChange(t *testing.T) {
	call := func() *gantrytest.Call {
		return gantrytest.New(gantry.Pre).Path("/a").Header("X", "1").Session(`{"a":1}`)
	}
	inline, detached := call().Run(t, "Rewrite"), call().Run(t, "RewriteDetached")
	if inline.String() != detached.String() || !detached.Continued() {
		t.Errorf("\n%v\n%v", inline, detached)
	}
}

func TestDetachedFunctionReadsAndReplacesTheBodyUndeclared(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Header("Content-Encoding", "br").Body("ab").Run(t, "WrapDetached")
	if !done.Continued() || done.RequestBody() != "[abab]" || done.Header("x-back") != "[abab]" || done.Header("content-encoding") != "" {
		t.Error(done)
	}
	grown := gantrytest.New(gantry.Response).Body("x").Run(t, "GrowDetached")
	if !grown.Continued() || len(grown.ResponseBody()) != 3<<20 || grown.ResponseHeader("x-length") != "3145728" {
		t.Error(len(grown.ResponseBody()), grown.Log())
	}
}

func TestGoroutineThatIsLeftOtherwiseFailsTheCall(t *testing.T) {
	for function, reason := range map[string]string{"Exit": "Goexit", "PanicDetached": "no such luck at "} {
		done := gantrytest.New(gantry.Pre).Run(t, function)
		if !done.Panicked() || done.Header("x-lost") != "" || len(done.Log()) != 1 || !strings.Contains(done.Log()[0], reason) {
			t.Error(done)
		}
	}
}

func TestDetachedFunctionLearnsThatTheClientHasLeft(t *testing.T) {
	done := gantrytest.New(gantry.Pre).ClientLeaves().Body("x").Run(t, "Wait")
	if !done.Failed() || len(done.Log()) != 1 || done.Log()[0] != "the client has left" {
		t.Error(done)
	}
}

func TestStoredSessionIsReadBackWithItsKey(t *testing.T) {
	done := gantrytest.New(gantry.Auth).Config(`{"a":1}`).Run(t, "Login")
	if !done.Continued() || done.Session() != `{"alias":"ada"}` || done.AuthToken() != "key-1" ||
		done.Header("x-seen") != `key-1{"alias":"ada"}` || done.Header("x-config") != `{"a":1}` {
		t.Error(done)
	}
}
