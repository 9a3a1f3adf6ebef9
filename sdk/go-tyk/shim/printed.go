package shim

import (
	"strings"
	"sync"
	"sync/atomic"

	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

const (
	// lineBytesMax is how much of a line is kept until its end comes.
	lineBytesMax = 4096
	// unendedMax is how many calls may have a line that has not ended.
	unendedMax = 1024
)

func init() { layer.Print = printed }

// unended are lines that calls have printed the beginning of.
var unended = struct {
	sync.Mutex
	count atomic.Int32
	lines map[*invocation]string
}{lines: make(map[*invocation]string)}

// printed lets what is printed in a call, or in a goroutine that a running call started, be log lines of that
// call. The rest is left to the system: the gateway logs it, and does not know whose it is.
func printed(text string) bool {
	if !taken.Load() {
		return false
	}
	made := current()
	if made == nil {
		made = parent()
	}
	if made == nil {
		return false
	}
	if unended.count.Load() > 0 {
		text = takeUnended(made) + text
	}
	for {
		line, rest, ended := strings.Cut(text, "\n")
		if !ended && len(line) < lineBytesMax {
			keepUnended(made, line)
			return true
		}
		if line = strings.TrimRight(line, "\r"); line != "" {
			made.say(abi.LogInfo, line)
		}
		text = rest
	}
}

// endLine says what a call has printed of a line that did not end.
func (i *invocation) endLine() {
	if unended.count.Load() == 0 {
		return
	}
	if line := takeUnended(i); line != "" {
		i.say(abi.LogInfo, line)
	}
}

func takeUnended(made *invocation) string {
	unended.Lock()
	defer unended.Unlock()
	line := unended.lines[made]
	delete(unended.lines, made)
	unended.count.Store(int32(len(unended.lines)))
	return line
}

func keepUnended(made *invocation, line string) {
	if line == "" {
		return
	}
	unended.Lock()
	defer unended.Unlock()
	if len(unended.lines) < unendedMax {
		unended.lines[made] = line
	}
	unended.count.Store(int32(len(unended.lines)))
}
