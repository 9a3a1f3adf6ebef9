package shim

import (
	"net/http"
	"strings"
	"testing"

	"gantry.example/sdk/go/abi"
)

// In builds of gantry build what is printed comes to printed first; here it is called in its place.

func TestWhatACallPrintsBecomesItsLogLines(t *testing.T) {
	long := strings.Repeat("x", lineBytesMax)
	handler := func(_ http.ResponseWriter, r *http.Request) {
		for _, text := range []string{"one line\n", "a line ", "in parts\nthe next\r\n", "\n", long, "\n", "no end"} {
			if !printed(text) {
				t.Errorf("%q is left to the system", text)
			}
		}
		ended := make(chan bool)
		go func() { ended <- printed("of a goroutine\n") }()
		if !<-ended {
			t.Error("what the call's goroutine prints is left to the system")
		}
	}
	made := newRequest(t)
	verdict := made.run(Function{Name: "F", Request: handler}, abi.HookPre)
	lines := made.lines()
	want := "one line\na line in parts\nthe next\n" + long + "\nno endof a goroutine"
	if verdict != abi.Continue || lines != want {
		t.Errorf("%d, %q", verdict, lines)
	}
	if printed("by nobody\n") || unended.count.Load() != 0 {
		t.Error("what no call prints is left to the system")
	}
}

func TestALineThatDoesNotEndIsSaidWithItsCall(t *testing.T) {
	handler := func(http.ResponseWriter, *http.Request) {
		printed("half a line")
		panic("of the author's")
	}
	made := newRequest(t)
	made.run(Function{Name: "F", Request: handler}, abi.HookPre)
	if lines := made.lines(); !strings.HasPrefix(lines, "half a line\npanic: of the author's") {
		t.Error(lines)
	}
}
