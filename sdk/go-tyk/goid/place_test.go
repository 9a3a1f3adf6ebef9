//go:build amd64 || arm64

package goid

import "testing"

func TestNumberNeedsNoTrace(t *testing.T) {
	if place() == unknown {
		t.Error("the place of the number was not found")
	}
}
