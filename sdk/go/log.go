package gantry

import (
	"fmt"
	"os"

	"gantry.example/sdk/go/abi"
)

// Level says how serious a log line is.
type Level uint32

// Levels of log lines.
const (
	Error Level = abi.LogError
	Warn  Level = abi.LogWarn
	Info  Level = abi.LogInfo
	Debug Level = abi.LogDebug
	Trace Level = abi.LogTrace
)

// Logf writes a log line that belongs to no call, from any goroutine. [Call.Logf] writes one with API,
// function, hook and trace. Before the first function is started, and in tests, it goes to standard
// error.
func Logf(level Level, format string, arguments ...any) {
	message := fmt.Sprintf(format, arguments...)
	if host := theHost.Load(); host != 0 {
		logOutside(host, uint32(level), message)
		return
	}
	fmt.Fprintln(os.Stderr, message)
}
