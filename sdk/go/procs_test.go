package gantry

import (
	"os"
	"path/filepath"
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
