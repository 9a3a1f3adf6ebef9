package shim

import (
	"bytes"
	"log"
	"os"
	"runtime"
	"strings"
	"sync"

	gantry "gantry.example/sdk/go"
	"gantry.example/sdk/go-tyk/call"
	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// running are calls by who runs them: detached ones by their goroutine, inline ones by their handle, whose
// highest bit is set, so that it is no goroutine's number.
var running table[*invocation]

var captured sync.Once

// captureLog lets package log write to the gateway's log, with API, function and trace where they are
// known, unless an author has sent it elsewhere. The gateway adds the time.
func captureLog() {
	captured.Do(func() {
		call.SetCurrent(currentState)
		if log.Writer() != os.Stderr {
			return
		}
		if log.Flags() == log.LstdFlags {
			log.SetFlags(0)
		}
		log.SetOutput(logWriter{})
	})
}

type logWriter struct{}

// Write writes a line.
func (logWriter) Write(line []byte) (int, error) {
	text := strings.TrimRight(string(line), "\n")
	made := current()
	if made == nil {
		made = parent()
	}
	if made == nil {
		gantry.Logf(gantry.Info, "%s", text)
	} else {
		made.say(abi.LogInfo, text)
	}
	return len(line), nil
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
		if made := running.get(handle); made != nil {
			return made
		}
	}
	return running.get(goroutine())
}

// goroutine gives the number of this goroutine. The runtime tells it in traces only.
func goroutine() uint64 {
	var room [64]byte
	return number(room[:runtime.Stack(room[:], false)], "goroutine ")
}

// parent gives the call whose goroutine started this one, if it still runs.
func parent() *invocation {
	room := make([]byte, 16<<10)
	trace := room[:runtime.Stack(room, false)]
	const started = " in goroutine "
	if at := bytes.LastIndex(trace, []byte(started)); at >= 0 {
		return running.get(number(trace[at:], started))
	}
	return nil
}

func number(text []byte, after string) (number uint64) {
	for at := len(after); at < len(text) && '0' <= text[at] && text[at] <= '9'; at++ {
		number = 10*number + uint64(text[at]-'0')
	}
	return number
}
