package shim

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"gantry.example/sdk/go/abi"
)

// tell is a function for responses that tells of the request's body.
var tell = Function{Name: "Tell", Response: func(w http.ResponseWriter, res *http.Response, req *http.Request) {
	for n := 0; n < 2; n++ {
		text, err := io.ReadAll(req.Body)
		if err != nil {
			text = []byte(err.Error())
		}
		res.Header.Add("X-Sent", string(text))
	}
}}

func TestResponseSeesTheBodyThatAnEarlierFunctionReadOrLeft(t *testing.T) {
	defer responses.Store(responses.Swap(1))
	for name, each := range map[string]struct {
		function Function
		want     string
	}{
		"read": {Function{Request: func(w http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body) }}, "sent, sent"},
		"read inline": {Function{Inline: true, Body: true,
			Request: func(w http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body) }}, "sent, sent"},
		"replaced": {Function{Request: func(w http.ResponseWriter, r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader("other"))
		}}, "other, other"},
		"emptied": {Function{Request: func(w http.ResponseWriter, r *http.Request) { r.Body = nil }}, ", "},
		"left":    {Function{Request: func(w http.ResponseWriter, r *http.Request) {}}, ", "},
	} {
		r := newRequest(t, "content-length: 4").body("sent").upstream("200", "answer")
		each.function.Name = "Earlier"
		r.run(each.function, abi.HookPost)
		r.message.Parts[abi.PartRequestBody] = "gone"
		if verdict := r.run(tell, abi.HookResponse); verdict != abi.Continue {
			t.Fatalf("%s: verdict %d: %s", name, verdict, r.lines())
		}
		if got := r.answered("x-sent"); got != each.want {
			t.Errorf("%s: sent %q, expected %q", name, got, each.want)
		}
		if said := strings.Contains(r.lines(), "is not kept until its response"); said != (name == "left") {
			t.Errorf("%s: %s", name, r.lines())
		}
	}
}

func TestRequestsBodyIsNotKeptWhereNothingReadsIt(t *testing.T) {
	defer responses.Store(responses.Swap(0))
	r := newRequest(t, "content-length: 4").body("sent")
	reads := Function{Name: "Reads", Request: func(w http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body) }}
	r.run(reads, abi.HookPost)
	if kept := find(r.carry); kept == nil || kept.hasBody {
		t.Errorf("kept %+v", kept)
	}
}
