package gantry

import (
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// procsMin is how many processors functions that are detached have at least. A goroutine that a call starts waits
// for Go's only processor until Go's monitor has found that the thread that called has left it behind, which takes
// from 20 microseconds to milliseconds. A function within the call needs none but the one.
const procsMin = 2

// tuneProcessors sets what Go takes from the version in a plugin's go.mod otherwise: before 1.25 it does not see
// the processor quota of its container.
func tuneProcessors() {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	if quota, ok := quota("/proc/self/cgroup", "/sys/fs/cgroup"); ok && quota < runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(quota)
	}
}

// makeRoom gives Go the processors that functions need which are detached, in a process that may use fewer.
var makeRoom = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.NumCPU() < procsMin && runtime.GOMAXPROCS(0) < procsMin {
		runtime.GOMAXPROCS(procsMin)
	}
})

// quota gives the processors of this process's cgroup (version 2), rounded up; false without a quota, and
// where files cannot be read.
func quota(self, root string) (int, bool) {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0, false
	}
	least := math.Inf(1)
	for _, line := range strings.Split(string(text), "\n") {
		group, ok := strings.CutPrefix(line, "0::")
		if !ok {
			continue
		}
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			limit, err := os.ReadFile(path.Join(root, group, "cpu.max"))
			if err == nil {
				least = math.Min(least, processors(string(limit)))
			}
			if group == "/" {
				break
			}
		}
	}
	if math.IsInf(least, 1) {
		return 0, false
	}
	return int(math.Max(procsMin, math.Ceil(least))), true
}

// processors reads cpu.max: "quota period" in microseconds, or "max period".
func processors(limit string) float64 {
	fields := strings.Fields(limit)
	if len(fields) != 2 {
		return math.Inf(1)
	}
	quota, err := strconv.ParseFloat(fields[0], 64)
	period, wrong := strconv.ParseFloat(fields[1], 64)
	if err != nil || wrong != nil || quota <= 0 || period <= 0 {
		return math.Inf(1)
	}
	return quota / period
}
