package shim

import (
	"log"
	"net/http"
	"os"
	"sync"
	"testing"

	"gantry.example/sdk/go/abi"
)

func TestFatalOfPackageLogEndsTheCallOrItsGoroutineAndNotTheProcess(t *testing.T) {
	log.SetOutput(os.Stderr)
	captured = sync.Once{}
	fatal := Function{Name: "F", Request: func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Changed", "yes")
		log.Fatalf("no %s", "luck")
	}}
	made := newRequest(t)
	if verdict := made.run(fatal, abi.HookPre); verdict != abi.Failed || made.header("x-changed") != "" {
		t.Errorf("verdict %d", verdict)
	}
	if made.lines() != "no luck\nthe function logged a fatal line" {
		t.Error(made.lines())
	}
	ended := make(chan string, 1)
	own := Function{Name: "F", Request: func(http.ResponseWriter, *http.Request) {
		go func() {
			defer close(ended)
			log.Fatal("its own")
			ended <- "came back"
		}()
		if back, came := <-ended; came {
			t.Error(back)
		}
	}}
	made = newRequest(t)
	if verdict := made.run(own, abi.HookPre); verdict != abi.Continue || made.lines() != "its own" {
		t.Error(verdict, made.lines())
	}
}

func TestFatalBeforeThereIsAGatewayEndsTheGoroutine(t *testing.T) {
	defer taken.Store(taken.Swap(false))
	log.SetOutput(logWriter{})
	defer log.SetOutput(os.Stderr)
	ended := make(chan string, 1)
	go func() {
		defer close(ended)
		log.New(logWriter{}, "", 0).Fatalln("of init's")
		ended <- "came back"
	}()
	if back, came := <-ended; came {
		t.Error(back)
	}
}
