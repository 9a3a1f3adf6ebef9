package main

import "testing"

func TestCodeThatEndsAWorkerOrFindsNoFilesIsWarnedAbout(t *testing.T) {
	answer, _ := plugin(t, map[string]string{"main.go": `package main

import (
	"log"
	"net/http"
	"os"
	"os/signal"
)

func Hook(w http.ResponseWriter, r *http.Request) {
	go func() { _ = r }()
	go func() { defer func() { _ = recover() }() }()
	go careful()
	go careless()
	if r == nil {
		log.Fatalf("no %s", "request")
	}
	log.Println("fine")
	os.Open("rules.json")
	os.Open("/etc/rules.json")
	signal.Notify(nil)
}

func careful() { defer guard() }
func careless() {}
func guard()    { recover() }

func main() { os.Exit(1) }
`})
	want := `main.go:11:2 GOROUTINE_UNGUARDED
main.go:14:2 GOROUTINE_UNGUARDED
main.go:16:3 PROCESS_EXIT
main.go:19:2 PATH_RELATIVE
main.go:21:2 SIGNALS_TAKEN`
	if got := places(answer.Warnings); got != want {
		t.Errorf("warned:\n%s\nexpected:\n%s", got, want)
	}
	const fatal = "log.Fatalf fails the call with 500, or ends the goroutine that calls it"
	if got := answer.Warnings[2].Message; got != fatal {
		t.Errorf("log.Fatalf: %s", got)
	}
}

func TestEndOfTheProcessInInitIsToldAsWhatItIsThere(t *testing.T) {
	answer, _ := plugin(t, map[string]string{"main.go": `package main

import "log"

func init() { log.Fatal("no port") }
`})
	want := "log.Fatal in init fails the load of the library, in the gateways that it happens in"
	if len(answer.Warnings) != 1 || answer.Warnings[0].Message != want || answer.Warnings[0].Advice != lasting {
		t.Errorf("%+v", answer.Warnings)
	}
}

func TestFatalLinesOfOwnLoggersAreWarnedAbout(t *testing.T) {
	answer, _ := plugin(t, map[string]string{"main.go": `package main

import (
	"net/http"

	tyk "github.com/TykTechnologies/tyk/log"
	"github.com/sirupsen/logrus"
	"go.uber.org/zap"
)

var log, shared = logrus.New(), tyk.Get()

func Hook(w http.ResponseWriter, r *http.Request) {
	log.Fatal("own")
	shared.Fatal("Tyk's")
	logrus.Fatal("standard")
	z, err := zap.NewProduction()
	z.Fatal("own", zap.Error(err))
}
`})
	want := "main.go:14:2 PROCESS_EXIT\nmain.go:18:2 PROCESS_EXIT"
	if got := places(answer.Warnings); got != want {
		t.Errorf("warned:\n%s\nexpected:\n%s", got, want)
	}
}
