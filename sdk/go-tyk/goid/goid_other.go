//go:build !amd64 && !arm64

package goid

// Current gives the number of the calling goroutine.
func Current() uint64 { return Traced() }
