package gantry

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestQuotaIsTheLeastOfTheGroupAndThoseAround(t *testing.T) {
	root := t.TempDir()
	self := filepath.Join(root, "self")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(self, "1:cpu:/old\n0::/a/b\n")
	if _, ok := quota(self, root); ok {
		t.Error("a quota, though none is written down")
	}
	write(filepath.Join(root, "a/b/cpu.max"), "max 100000\n")
	if _, ok := quota(self, root); ok {
		t.Error("max is no quota")
	}
	write(filepath.Join(root, "a/cpu.max"), "350000 100000\n")
	if got, ok := quota(self, root); !ok || got != 4 {
		t.Errorf("3.5 processors are %d", got)
	}
	write(filepath.Join(root, "a/cpu.max"), "50000 100000\n")
	if got, ok := quota(self, root); !ok || got != procsMin {
		t.Errorf("half a processor is %d", got)
	}
}

// TestDetachedFunctionsHaveTwoProcessorsOnOneCore runs itself again on one core.
func TestDetachedFunctionsHaveTwoProcessorsOnOneCore(t *testing.T) {
	const again = "GANTRY_TEST_ON_ONE_CORE"
	if os.Getenv(again) == "" {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, cores, _ := strings.Cut(string(status), "\nCpus_allowed_list:")
		core := strings.FieldsFunc(cores, func(r rune) bool { return r < '0' || r > '9' })[0]
		command := exec.Command("taskset", "-c", core, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		command.Env = append(os.Environ(), again+"=1")
		if output, err := command.CombinedOutput(); err != nil || !strings.Contains(string(output), "--- PASS") {
			t.Fatalf("on one core: %v\n%s", err, output)
		}
		return
	}
	within := Function{Name: "Within", Hooks: []Hook{Pre}, Request: func(*RequestCall) error { return nil }}
	detached := within
	detached.Name, detached.Detached = "Detached", true
	Register(Plugin{Name: "procs", Version: "1.0.0", Functions: []Function{within, detached}})
	for _, expected := range []struct {
		name       string
		processors int
	}{{"Within", 1}, {"Detached", procsMin}} {
		if _, err := start(expected.name, Start{Hook: Pre}); err != nil {
			t.Fatal(err)
		}
		if got := runtime.GOMAXPROCS(0); got != expected.processors {
			t.Errorf("%d processors when %s has started", got, expected.name)
		}
	}
}
