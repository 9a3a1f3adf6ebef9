package shim

import (
	"syscall"
	"time"
	"unsafe"
)

// worked is the processor time of this thread, on which a call's goroutine stays: clock_gettime(2),
// CLOCK_THREAD_CPUTIME_ID. getrusage(2) would be late by up to a tick of the kernel.
func worked() time.Duration {
	const clock = 3
	var now syscall.Timespec
	if _, _, failure := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&now)), 0); failure != 0 {
		return 0
	}
	return time.Duration(now.Nano())
}
