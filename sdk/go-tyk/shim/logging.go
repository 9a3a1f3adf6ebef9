package shim

import (
	"bytes"
	"io"
	"log"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	gantry "gantry.example/sdk/go"
	"gantry.example/sdk/go-tyk/call"
	"gantry.example/sdk/go-tyk/goid"
	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// running are detached calls, by their goroutines.
var running table[*invocation]

// entered are inline calls, by their handles.
var entered inlineCalls

var (
	captured sync.Once
	// taken says whether there is a gateway that takes lines.
	taken atomic.Bool
)

// From the start, so that loggers which an author's init makes on log.Writer() have it, too.
func init() { log.SetOutput(logWriter{}) }

// captureLog lets package log write to the gateway's log, with API, function and trace where they are
// known, unless an author has sent it elsewhere. The gateway adds the time.
func captureLog() {
	captured.Do(func() {
		call.SetCurrent(currentState)
		goid.Current() // finds out how, before a call does
		if writer := log.Writer(); writer != os.Stderr && writer != io.Writer(logWriter{}) {
			return
		}
		if log.Flags() == log.LstdFlags {
			log.SetFlags(0)
		}
		log.SetOutput(logWriter{})
		taken.Store(true)
	})
}

type logWriter struct{}

// Write writes a line, to standard error until a gateway takes it.
func (logWriter) Write(line []byte) (int, error) {
	if !taken.Load() {
		return os.Stderr.Write(line)
	}
	level := uint32(abi.LogInfo)
	if isFatal() {
		level = abi.LogError
	}
	made := current()
	if made == nil {
		made = parent()
	}
	report(made, level, strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

// report writes a line about a call, if there is one.
func report(made *invocation, level uint32, text string) {
	if made != nil {
		made.say(level, text)
	} else {
		gantry.Logf(gantry.Level(level), "%s", text)
	}
}

// isFatal says whether the line is log.Fatal's.
func isFatal() bool {
	var callers [8]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "log.Fatal") || strings.HasPrefix(frame.Function, "log.(*Logger).Fatal") {
			return true
		}
		if !more {
			return false
		}
	}
}

func currentState() *call.State {
	if made := current(); made != nil {
		return &made.state
	}
	return nil
}

// current gives the call that this very goroutine runs.
func current() *invocation {
	if handle := layer.Current(); handle != 0 {
		if made := entered.get(handle); made != nil {
			return made
		}
	}
	return running.get(goid.Current())
}

// parent gives the call whose goroutine started this one, if it still runs.
func parent() *invocation {
	room := make([]byte, 16<<10)
	trace := room[:runtime.Stack(room, false)]
	const started = " in goroutine "
	if at := bytes.LastIndex(trace, []byte(started)); at >= 0 {
		return running.get(goid.Number(trace[at+len(started):]))
	}
	return nil
}
