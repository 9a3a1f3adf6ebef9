package shim

import (
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// In builds of gantry build os.Exit calls exit first; here it is called in its place.

func TestExitFailsTheCallWhateverIsRecoveredFrom(t *testing.T) {
	defer func(current func() uint64) { layer.Current = current }(layer.Current)
	log.SetOutput(os.Stderr)
	captured = sync.Once{}
	fatal := func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Changed", "yes")
		log.Print("no luck")
		exit(3)
	}
	recovering := func(rw http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		fatal(rw, r)
	}
	for _, handler := range []http.HandlerFunc{fatal, recovering} {
		for _, inline := range []bool{false, true} {
			made := newRequest(t)
			entered := made.nextCall + 1
			if !inline {
				entered = 0
			}
			layer.Current = func() uint64 { return entered }
			verdict := made.run(Function{Name: "F", Request: handler, Inline: inline}, abi.HookPre)
			if verdict != abi.Failed || made.header("x-changed") != "" {
				t.Errorf("verdict %d", verdict)
			}
			if lines := made.lines(); !strings.HasPrefix(lines, "no luck\nos.Exit(3) was called") {
				t.Error(lines)
			}
		}
	}
}

func TestExitOfAGoroutineOfTheAuthorsEndsThatGoroutine(t *testing.T) {
	ended := make(chan string, 1)
	own := Function{Name: "F", Request: func(http.ResponseWriter, *http.Request) {
		go func() {
			defer close(ended)
			exit(1)
			ended <- "came back"
		}()
		if back, came := <-ended; came {
			t.Error(back)
		}
	}}
	made := newRequest(t)
	verdict := made.run(own, abi.HookPre)
	if lines := made.lines(); verdict != abi.Continue || !strings.HasSuffix(lines, ": the goroutine ends, and the worker goes on") {
		t.Error(verdict, lines)
	}
}
