package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const source = `package main

import (
	"log"
	"os"
	sig "os/signal"
)

func bad() {
	go bad()
	log.Fatal("end")
	os.Exit(1)
	sig.Ignore()
}

func good() { log.Print(os.Args) }
`

func TestCodeThatNothingContainsIsWarnedAbout(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "plugin.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	found := strings.Join(warnings(folder), "\n")
	for _, want := range []string{"plugin.go:10:2: a panic", "log.Fatal", "os.Exit", "sig.Ignore"} {
		if !strings.Contains(found, want) {
			t.Errorf("no %q in:\n%s", want, found)
		}
	}
	if strings.Count(found, "\n") != 3 {
		t.Errorf("more or fewer than four warnings:\n%s", found)
	}
}
