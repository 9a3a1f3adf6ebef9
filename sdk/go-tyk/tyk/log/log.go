// Package log gives the logger that plugins share with Tyk, a logrus.Logger. Lines go to the gateway's log:
// with API, function and trace where the goroutine that logs is known to run a call, else to standard error
// of the worker, whose lines the gateway takes too. It does not format: fields follow the message as
// name=value. Fatal fails the call that it is said in, or ends the goroutine, and does not end the process.
package log

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"

	"gantry.example/sdk/go-tyk/call"
)

var (
	once   sync.Once
	logger *logrus.Logger
	raw    *logrus.Logger
)

// Get gives the logger; always the same one.
func Get() *logrus.Logger {
	once.Do(setUp)
	return logger
}

// GetRaw gives a logger whose lines carry the message and nothing else.
func GetRaw() *logrus.Logger {
	once.Do(setUp)
	return raw
}

func setUp() {
	logger, raw = fresh(false), fresh(true)
	level, err := logrus.ParseLevel(strings.ToLower(variable("TYK_LOGLEVEL", "TYK_GW_LOGLEVEL")))
	if err != nil {
		// The gateway filters by its own level, so everything that it might want is handed over.
		level = logrus.DebugLevel
	}
	logger.SetLevel(level)
	raw.SetLevel(level)
}

func variable(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

func fresh(bare bool) *logrus.Logger {
	made := logrus.New()
	made.SetFormatter(formatter{bare: bare})
	made.SetOutput(output{})
	made.ExitFunc = leave
	return made
}

// leave is what Fatal calls instead of os.Exit.
func leave(int) {
	if state := call.Current(); state != nil {
		state.Fail("the function logged a fatal line")
		panic(call.ErrFailed)
	}
	// A goroutine of the plugin's own ends, such as one whose port another worker has, and no worker with it.
	call.Quit()
	// In init() loading fails with this in its report.
	panic("a fatal line was logged while the library was loaded")
}

// output takes lines that a plugin formats itself: they, too, carry the call that they are said in.
type output struct{}

// Write writes a line.
func (output) Write(line []byte) (int, error) {
	if len(line) == 0 { // the formatter has handed it over
		return 0, nil
	}
	state := call.Current()
	if state == nil {
		return os.Stderr.Write(line)
	}
	text := strings.TrimRight(string(line), "\n")
	state.Log(levelIn(text), text)
	return len(line), nil
}

// levelIn finds the level in a line of logrus' own formatters.
func levelIn(line string) string {
	for _, before := range []string{`level=`, `"level":"`} {
		if _, rest, found := strings.Cut(line, before); found {
			end := strings.IndexAny(rest+" ", ` "`)
			if level, err := logrus.ParseLevel(rest[:end]); err == nil {
				return name(level)
			}
		}
	}
	return "info"
}

// formatter hands lines of a call to the gateway; to the output it gives what is left.
type formatter struct{ bare bool }

// Format is called by logrus for each line.
func (f formatter) Format(entry *logrus.Entry) ([]byte, error) {
	text := entry.Message
	if !f.bare {
		text += fields(entry.Data)
	}
	if state := call.Of(entry.Context); state != nil {
		state.Log(name(entry.Level), text)
		return nil, nil
	}
	if state := call.Current(); state != nil {
		state.Log(name(entry.Level), text)
		return nil, nil
	}
	if f.bare {
		return []byte(text + "\n"), nil
	}
	return []byte("level=" + name(entry.Level) + " " + text + "\n"), nil
}

func name(level logrus.Level) string {
	switch level {
	case logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel:
		return "error"
	case logrus.WarnLevel:
		return "warn"
	case logrus.InfoLevel:
		return "info"
	case logrus.DebugLevel:
		return "debug"
	}
	return "trace"
}

func fields(data logrus.Fields) string {
	names := make([]string, 0, len(data))
	for name := range data {
		names = append(names, name)
	}
	sort.Strings(names)
	var text strings.Builder
	for _, name := range names {
		value := fmt.Sprint(data[name])
		if value == "" || strings.ContainsAny(value, " \"=\n\t\r") {
			value = strconv.Quote(value)
		}
		text.WriteString(" " + name + "=" + value)
	}
	return text.String()
}
