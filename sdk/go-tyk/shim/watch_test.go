package shim

import (
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// onProcessor ties this goroutine's thread to the first processor that it may use, and gives back its way home.
func onProcessor(t *testing.T) func() {
	runtime.LockOSThread()
	var before, one [128]byte
	size, _, failure := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, uintptr(len(before)), uintptr(unsafe.Pointer(&before)))
	if failure != 0 {
		t.Error("sched_getaffinity:", failure)
	}
	for at, bits := range before {
		if bits != 0 {
			one[at] = bits & -bits
			break
		}
	}
	set := func(mask *[128]byte) {
		if _, _, failure := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, size, uintptr(unsafe.Pointer(mask))); failure != 0 {
			t.Error("sched_setaffinity:", failure)
		}
	}
	set(&one)
	return func() {
		set(&before)
		runtime.UnlockOSThread()
	}
}

func TestInlineFunctionThatLacksAProcessorIsNotDetached(t *testing.T) {
	var stop atomic.Bool
	defer stop.Store(true)
	for i := 0; i < 4; i++ {
		go func() {
			defer onProcessor(t)()
			for !stop.Load() {
				runtime.KeepAlive(0)
			}
		}()
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8)) // the others run all the time
	defer onProcessor(t)()
	var late int
	function := start(Function{Name: "Busy", Inline: true, Request: func(http.ResponseWriter, *http.Request) {
		begun, before := time.Now(), worked()
		for worked()-before < time.Millisecond {
			runtime.KeepAlive(0)
		}
		if time.Since(begun) > overrun {
			late++
		}
	}}, layer.Place{Hook: abi.HookPre})
	made := newRequest(t)
	for late < 5 {
		if verdict, _ := made.call(function); verdict != abi.Continue {
			t.Fatal(verdict, made.lines())
		}
	}
}

// slow calls an inline function on one thread, as a gateway does.
type slow struct {
	*request
	function *started
	work     func()
}

func newSlow(t *testing.T) *slow {
	made := &slow{request: newRequest(t)}
	made.function = start(Function{Name: "Slow", Inline: true, Request: func(http.ResponseWriter, *http.Request) {
		made.work()
	}}, layer.Place{Hook: abi.HookPre})
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	return made
}

func (s *slow) pends() bool {
	verdict, _ := s.call(s.function)
	return verdict == abi.Pending
}

// untilDetached gives how often the function was called. Only a machine too busy to look needs many calls.
func (s *slow) untilDetached(t *testing.T) (calls int) {
	for calls = 1; !s.pends(); calls++ {
		if calls == 200 {
			t.Fatal("it is still within the call")
		}
	}
	s.end()
	return calls
}

func TestInlineFunctionThatWaitsAgainIsDetached(t *testing.T) {
	for reason, wait := range map[string]func(){
		"sleep":        func() { time.Sleep(3 * overrun) },
		"chan receive": func() { <-time.After(3 * overrun) },
		"sync.Mutex.Lock": func() {
			var mu sync.Mutex
			mu.Lock()
			time.AfterFunc(3*overrun, mu.Unlock)
			mu.Lock()
		},
		"IO wait": func() {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Error(err)
				return
			}
			time.AfterFunc(3*overrun, func() { listener.Close() })
			listener.Accept()
		},
	} {
		made := newSlow(t)
		made.work = wait
		calls := made.untilDetached(t)
		if lines := made.lines(); calls < 3 || !strings.Contains(lines, "waiting ("+reason) || !strings.Contains(lines, "detached from now on") {
			t.Error(calls, lines)
		}
	}
}

func TestInlineFunctionThatWorksForLongAgainIsDetached(t *testing.T) {
	made := newSlow(t)
	made.work = func() {
		for before := worked(); worked()-before < 2*overrun; {
			runtime.KeepAlive(0)
		}
	}
	calls := made.untilDetached(t)
	if lines := made.lines(); calls != 3 || !strings.Contains(lines, "worked for") {
		t.Error(calls, lines)
	}
}

func TestOverrunIsForgottenAfterManyCalls(t *testing.T) {
	made := newSlow(t)
	wait := func() { time.Sleep(3 * overrun) }
	made.work = wait
	made.pends()
	if left := made.function.watch.left.Load(); left != watchedCalls {
		t.Error("it is not watched:", left)
	}
	made.work = func() {}
	for made.function.watch.left.Load() > 0 {
		if made.pends() {
			t.Fatal(made.lines())
		}
	}
	made.work = wait
	if made.pends() || strings.Contains(made.lines(), "detached") {
		t.Error(made.lines())
	}
}
