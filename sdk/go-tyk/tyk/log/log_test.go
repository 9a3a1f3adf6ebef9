package log

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gantry.example/sdk/go-tyk/call"
)

func within(facts *call.Facts) (*call.State, func()) {
	state := call.New(facts)
	call.SetCurrent(func() *call.State { return state })
	return state, func() { call.SetCurrent(nil) }
}

func TestGetGivesOneLogger(t *testing.T) {
	if Get() != Get() || GetRaw() != GetRaw() || Get() == GetRaw() {
		t.Error("other loggers")
	}
	var _ *logrus.Logger = Get()
}

func TestLinesOfACallGoToTheGatewayWithLevelAndFields(t *testing.T) {
	facts := &call.Facts{}
	_, done := within(facts)
	defer done()
	Get().SetLevel(logrus.TraceLevel)
	entry := Get().WithField("prefix", "mine")
	entry.WithFields(logrus.Fields{"a": 1, "b": "two words"}).Info("hello")
	entry.WithError(errors.New("broken")).Warn("careful")
	Get().Debugf("n=%d", 3)
	Get().Trace("fine")
	Get().Println("plain")
	Get().Error("bad")
	GetRaw().WithField("a", 1).Info("raw")
	want := []string{
		`info: hello a=1 b="two words" prefix=mine`,
		`warn: careful error=broken prefix=mine`,
		"debug: n=3", "trace: fine", "info: plain", "error: bad", "info: raw",
	}
	lines := facts.Lines()
	if strings.Join(lines, "|") != strings.Join(want, "|") {
		t.Error(lines)
	}
}

func TestLinesOfAContextGoToItsCall(t *testing.T) {
	facts := &call.Facts{}
	ctx := call.With(context.Background(), call.New(facts))
	Get().WithContext(ctx).Info("from elsewhere")
	if lines := facts.Lines(); len(lines) != 1 || lines[0] != "info: from elsewhere" {
		t.Error(lines)
	}
}

func TestLinesOutsideOfACallGoToTheOutput(t *testing.T) {
	var written bytes.Buffer
	Get().SetOutput(&written)
	GetRaw().SetOutput(&written)
	defer func() { Get().SetOutput(os.Stderr); GetRaw().SetOutput(os.Stderr) }()
	Get().WithField("a", "").Info("alone")
	GetRaw().Info("bare")
	if written.String() != "level=info alone a=\"\"\nbare\n" {
		t.Errorf("%q", written.String())
	}
}

func TestFatalFailsTheCallAndNotTheProcess(t *testing.T) {
	facts := &call.Facts{}
	state, done := within(facts)
	defer done()
	defer func() {
		if fault := recover(); fault != call.ErrFailed {
			t.Error(fault)
		}
		if state.Failed() == "" || facts.Lines()[0] != "error: the end" {
			t.Error(state.Failed(), facts.Lines())
		}
	}()
	Get().WithField("a", 1).Logger.Fatal("the end")
	t.Error("Fatal came back")
}

func TestFatalOutsideOfACallEndsItsGoroutine(t *testing.T) {
	out := new(bytes.Buffer)
	Get().SetOutput(out)
	defer Get().SetOutput(os.Stderr)
	ended := make(chan string, 2)
	go func() {
		defer close(ended)
		Get().Fatal("the end")
		ended <- "Fatal came back"
	}()
	if back, came := <-ended; came {
		t.Error(back)
	}
	if out.String() != "level=error the end\n" {
		t.Errorf("found %q", out.String())
	}
}

func TestLinesThatAPluginFormatsCarryTheCallToo(t *testing.T) {
	facts := &call.Facts{}
	_, done := within(facts)
	defer done()
	logger := fresh(false)
	logger.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true})
	logger.WithField("a", "b").Warn("by text")
	logger.SetFormatter(&logrus.JSONFormatter{DisableTimestamp: true})
	logger.Error("by JSON")
	logger.SetFormatter(formatter{})
	logger.Info("by ours")
	want := []string{
		"warn: level=warning msg=\"by text\" a=b", `error: {"level":"error","msg":"by JSON"}`, "info: by ours",
	}
	if !reflect.DeepEqual(facts.Lines(), want) {
		t.Errorf("%q", facts.Lines())
	}
	if level := levelIn("level=unknown"); level != "info" {
		t.Error(level)
	}
}
