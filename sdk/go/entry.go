package gantry

// #cgo CFLAGS: -I${SRCDIR}/../c/include
// #include "bridge.h"
import "C"

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// This file is where the host enters. Invariants: no panic leaves an exported function; no Go pointer
// stays with the host (an instance is a handle, tables are C memory); no pointer of the host's stays
// with Go beyond its call, except its table, which lives as long as the process.

var (
	buildTable = sync.OnceValue(newTable)
	setUp      sync.Once
	theHost    atomic.Uintptr // 0 before the first start
)

//export gantryGoPlugin
func gantryGoPlugin() *C.gantry_plugin { return buildTable() }

// newTable copies what was registered into C memory. Nothing registered gives no table, which the host
// refuses by name.
func newTable() *C.gantry_plugin {
	plugin := theRegistered()
	if plugin.Name == "" {
		return nil
	}
	table := C.gantry_go_table(C.size_t(len(plugin.Functions)))
	if table == nil {
		return nil
	}
	table.name, table.version = cStr(plugin.Name), cStr(plugin.Version)
	if plugin.Release != nil {
		C.gantry_go_may_carry(table)
	}
	for i, function := range plugin.Functions {
		entry := C.gantry_go_function(table, C.size_t(i))
		entry.name = cStr(function.Name)
		entry.hooks = C.uint32_t(function.hookBits())
		entry.want_parts = C.uint64_t(function.snapshotParts())
		entry.flags = C.uint32_t(function.flagBits())
		if function.mayPend() {
			C.gantry_go_may_pend(entry)
		}
		if function.Layer != nil {
			C.gantry_go_is_of_layer(entry)
		}
	}
	return table
}

// cStr copies a text to C memory for ever.
func cStr(text string) C.gantry_str {
	return C.gantry_str{ptr: (*C.uint8_t)(C.CBytes([]byte(text))), len: C.size_t(len(text))}
}

//export gantryGoStart
func gantryGoStart(host *C.gantry_host, context *C.gantry_start, out *C.uintptr_t) C.int32_t {
	setUp.Do(func() {
		theHost.Store(uintptr(numberOf(host)))
		layer.Current = func() uint64 { return uint64(C.gantry_go_current()) }
		tuneProcessors()
		tuneCollections()
	})
	made, err := start(string(borrow(context.function)), Start{
		APIID:  string(borrow(context.api_id)),
		Hook:   Hook(context.hook),
		Config: append([]byte{}, borrow(context.config)...),
	})
	if err != nil {
		reason := unsafe.Slice((*byte)(context.error), int(context.error_cap))
		context.error_len = C.size_t(copy(reason, err.Error()))
		return abi.Failed
	}
	*out = C.uintptr_t(started.put(made))
	return abi.OK
}

//export gantryGoCall
func gantryGoCall(handle C.uintptr_t, frame *C.gantry_frame) C.int32_t {
	turn(uint64(frame.call))
	made, own := started.get(uintptr(handle)), native{numberOf(frame.host), frame.call}
	entered := layer.Frame{
		Call: uint64(frame.call), Snapshot: borrow(frame.snapshot),
		Out:   unsafe.Slice((*byte)(frame.out), int(frame.out_cap)),
		Carry: uint64(frame.carry), Definition: uint64(frame.definition), DeadlineMS: uint32(frame.deadline_ms),
	}
	if made, ok := made.(*instance); ok && !made.detached {
		verdict := made.inline(&entered, own)
		frame.out_len = C.size_t(entered.Written)
		return C.int32_t(verdict)
	}
	return C.int32_t(enter(made, own, entered, frame))
}

// frames are used again: a frame is a layer's until Call returns.
var frames = sync.Pool{New: func() any { return new(layer.Frame) }}

// enter calls what may keep the host as long as it likes.
func enter(made layer.Function, own native, entered layer.Frame, frame *C.gantry_frame) int32 {
	lent := frames.Get().(*layer.Frame)
	*lent = entered
	lent.Host = &own
	verdict := made.Call(lent)
	frame.out_len = C.size_t(lent.Written)
	frame.carry = C.uint64_t(lent.Carry)
	*lent = layer.Frame{}
	frames.Put(lent)
	return verdict
}

//export gantryGoEvent
func gantryGoEvent(handle C.uintptr_t, call C.gantry_call, event C.uint32_t, detail C.gantry_str) {
	defer func() {
		if recovered := recover(); recovered != nil {
			Logf(Error, "panic while a call was told an event: %s", layer.Describe(recovered))
		}
	}()
	started.get(uintptr(handle)).Event(uint64(call), uint32(event), borrow(detail))
}

//export gantryGoRelease
func gantryGoRelease(carry C.uint64_t) {
	defer func() {
		if recovered := recover(); recovered != nil {
			Logf(Error, "panic while a request's carry was released: %s", layer.Describe(recovered))
		}
	}()
	theRegistered().Release(uint64(carry))
}

//export gantryGoStop
func gantryGoStop(handle C.uintptr_t) { started.remove(uintptr(handle)) }

// native is the host behind one call. It keeps numbers only, so that it can outlive the call.
type native struct {
	host C.gantry_go_host
	call C.gantry_call
}

// numberOf says of memory of the host's where it lies.
func numberOf(host *C.gantry_host) C.gantry_go_host {
	return C.gantry_go_host(uintptr(unsafe.Pointer(host)))
}

// received gives what the host gave.
func received(given *C.gantry_go_given) ([]byte, int32) {
	return borrow(*(*C.gantry_str)(unsafe.Pointer(given))), int32(given.code)
}

// first gives where bytes lie.
func first(bytes []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(bytes)) }

// header gives the first value of a header.
func (n *native) header(part uint32, name string) ([]byte, int32) {
	given := C.gantry_go_get(n.host, n.call, C.uint32_t(part), (*C.uint8_t)(unsafe.StringData(name)), C.size_t(len(name)))
	return received(&given)
}

func (n *native) Get(part uint32) ([]byte, int32) {
	given := C.gantry_go_get(n.host, n.call, C.uint32_t(part), nil, 0)
	return received(&given)
}

func (n *native) Snapshot(parts uint64) ([]byte, int32) {
	given := C.gantry_go_snapshot(n.host, n.call, C.uint64_t(parts))
	return received(&given)
}

func (n *native) Apply(mutations []byte) int32 {
	return int32(C.gantry_go_apply(n.host, n.call, first(mutations), C.size_t(len(mutations))))
}

func (n *native) Mutate(op uint8, value []byte) int32 {
	return int32(C.gantry_go_mutate(n.host, n.call, C.uint32_t(op), first(value), C.size_t(len(value))))
}

func (n *native) Resume(verdict int32, mutations []byte) int32 {
	return int32(C.gantry_go_resume(n.host, n.call, C.int32_t(verdict), first(mutations), C.size_t(len(mutations))))
}

func (n *native) Ask(part uint32) int32 {
	return int32(C.gantry_go_ask(n.host, n.call, C.uint32_t(part)))
}

func (n *native) Log(level uint32, message string) { logLine(n.host, n.call, level, message) }

func logLine(host C.gantry_go_host, call C.gantry_call, level uint32, message string) {
	C.gantry_go_log(host, call, C.uint32_t(level), (*C.uint8_t)(unsafe.StringData(message)), C.size_t(len(message)))
}

// logOutside writes a line that belongs to no call.
func logOutside(host uintptr, level uint32, message string) {
	logLine(C.gantry_go_host(host), 0, level, message)
}

// borrow gives a string of the host's as long as the host says it lives.
func borrow(str C.gantry_str) []byte {
	return unsafe.Slice((*byte)(str.ptr), int(str.len))
}
