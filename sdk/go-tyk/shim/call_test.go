package shim

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"gantry.example/sdk/go-tyk/call"
	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

type session struct {
	Alias string `json:"alias"`
}

func (s *session) encode() ([]byte, error) { return json.Marshal(s) }

// login, rename and read are what package ctx does for handlers.
func login(_ http.ResponseWriter, r *http.Request) {
	live := &session{Alias: "ada"}
	call.Of(r.Context()).SetSession(live, "key-1", true, live.encode)
}

func rename(_ http.ResponseWriter, r *http.Request) {
	state := call.Of(r.Context())
	live, ok := state.LiveSession().(*session)
	if !ok {
		live = new(session)
		if json.Unmarshal(state.SessionJSON(), live) != nil {
			return
		}
		state.KeepSession(live, live.encode)
	}
	r.Header.Set("X-Was", live.Alias+"/"+state.AuthToken())
	live.Alias += "!"
}

func TestSessionOfOneFunctionIsLiveInTheNext(t *testing.T) {
	for _, inline := range []bool{false, true} {
		made := newRequest(t)
		made.run(Function{Name: "Login", Request: login, Inline: inline}, abi.HookAuth)
		if made.part(abi.PartSession) != `{"alias":"ada"}` || made.part(abi.PartAuthToken) != "key-1" {
			t.Error(made.message)
		}
		made.run(Function{Name: "Rename", Request: rename, Inline: inline}, abi.HookPostAuth)
		if made.part(abi.PartSession) != `{"alias":"ada!"}` || made.header("x-was") != "ada/key-1" {
			t.Error(made.message)
		}
		made.message.Parts[abi.PartSession] = `{"alias":"eve"}` // another library's
		made.run(Function{Name: "Rename", Request: rename, Inline: inline}, abi.HookPost)
		if made.part(abi.PartSession) != `{"alias":"eve!"}` || made.header("x-was") != "eve/key-1" {
			t.Error(made.message)
		}
	}
}

func TestSessionSetWhereTheGatewayTakesNoneStaysInTheLibrary(t *testing.T) {
	made := newRequest(t)
	if made.run(Function{Name: "Login", Request: login}, abi.HookPre) != abi.Continue || made.part(abi.PartSession) != "" ||
		!strings.Contains(made.lines(), "seen by this library only") {
		t.Error(made.message, made.lines())
	}
	made.run(Function{Name: "Rename", Request: rename}, abi.HookPost)
	if made.header("x-was") != "ada/key-1" || made.part(abi.PartSession) != `{"alias":"ada!"}` {
		t.Error(made.message)
	}
}

func TestFactsOfTheCall(t *testing.T) {
	made := newRequest(t)
	got := ""
	function := Function{Name: "F", Request: func(_ http.ResponseWriter, r *http.Request) {
		state := call.Of(r.Context())
		got = strings.Join([]string{state.APIID(), state.Function(), state.Hook(), state.TraceID()[:4], string(state.Definition()),
			string(state.OpenAPI())}, " ")
	}}
	made.run(function, abi.HookPost)
	if got != `orders F post 0af7 {"name":"orders"} ` {
		t.Error(got)
	}
	made.message.Parts[abi.PartOpenAPI] = `{"openapi":"3"}`
	made.definition++
	made.run(function, abi.HookPost)
	if got != `orders F post 0af7  {"openapi":"3"}` {
		t.Error(got)
	}
}

func TestBlockedHandlersHoldUpNothing(t *testing.T) {
	const count = 1000
	gate := make(chan struct{})
	function := start(Function{Name: "Wait", Request: func(_ http.ResponseWriter, r *http.Request) {
		<-gate
		r.Header.Set("X-Done", "1")
	}}, layer.Place{Hook: abi.HookPre})
	waiting := make([]*request, count)
	for i := range waiting {
		waiting[i] = newRequest(t)
		waiting[i].nextCall += uint64(i)
		if verdict, _ := waiting[i].call(function); verdict != abi.Pending {
			t.Fatal(verdict)
		}
	}
	if pending := function.calls.Len(); pending != count {
		t.Errorf("%d pend", pending)
	}
	neighbour := newRequest(t)
	if neighbour.run(Function{Name: "F", Inline: true, Request: func(http.ResponseWriter, *http.Request) {}}, abi.HookPre) != abi.Continue {
		t.Error(neighbour.lines())
	}
	close(gate)
	for _, each := range waiting {
		if each.conclude(each.end()) != abi.Continue || each.header("x-done") != "1" {
			t.Fatal(each.message)
		}
	}
	if pending := function.calls.Len(); pending != 0 {
		t.Errorf("%d still pend", pending)
	}
}

func TestWriterOfAHandlerThatHasReturnedTakesNothing(t *testing.T) {
	var kept http.ResponseWriter
	made := newRequest(t)
	verdict := made.run(Function{Name: "F", Request: func(rw http.ResponseWriter, _ *http.Request) { kept = rw }}, abi.HookPre)
	if _, err := kept.Write([]byte("late")); err == nil || verdict != abi.Continue {
		t.Error(err, verdict)
	}
}

func TestLinesOfACallThatHasEndedNameIt(t *testing.T) {
	var kept *call.State
	modes(t, func(_ http.ResponseWriter, r *http.Request) {
		kept = call.Of(r.Context())
		kept.Log("info", "during")
	}, func(t *testing.T, run func(*request) int32) {
		made := newRequest(t)
		run(made)
		kept.Log("warn", "after")
		during, after, _ := strings.Cut(made.lines(), "after")
		if strings.Contains(during, "api.id") || !strings.HasPrefix(after, " api.id=orders function=F trace_id=0af76519") {
			t.Errorf("%q", made.lines())
		}
	})
}

func TestLinesOfPackageLogCarryTheCall(t *testing.T) {
	log.SetOutput(os.Stderr)
	captured = sync.Once{}
	var child sync.WaitGroup
	function := Function{Name: "F", Request: func(http.ResponseWriter, *http.Request) {
		log.Print("from the handler")
		child.Add(1)
		go func() {
			defer child.Done()
			log.Print("from its goroutine")
			if call.Current() != nil {
				t.Error("another goroutine is not the call's")
			}
		}()
		child.Wait()
		if state := call.Current(); state == nil || state.Function() != "F" {
			t.Error("the handler does not find its call")
		}
		if runtime.NumGoroutine() < 2 {
			t.Error("it is not detached")
		}
	}}
	made := newRequest(t)
	made.run(function, abi.HookPre)
	if lines := made.lines(); !strings.Contains(lines, "from the handler") || !strings.Contains(lines, "from its goroutine") {
		t.Error(lines)
	}
}
