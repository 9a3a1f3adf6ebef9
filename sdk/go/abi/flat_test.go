package abi

import (
	"reflect"
	"testing"
)

func TestSnapshotReadsWhatWasEncoded(t *testing.T) {
	encoded := Encode(map[uint32]string{PartPath: "/a", PartQuery: ""},
		[]Field{{"host", "a"}, {"x", "1"}}, []Field{{"server", "b"}}, []Field{{"vary", "c"}, {"vary", "d"}})
	snapshot := Snapshot(encoded)
	if path, ok := snapshot.Get(PartPath); !ok || string(path) != "/a" {
		t.Errorf("path: %q %v", path, ok)
	}
	if query, ok := snapshot.Get(PartQuery); !ok || len(query) != 0 {
		t.Errorf("an empty value is not an absent one: %q %v", query, ok)
	}
	if _, ok := snapshot.Get(PartMethod); ok {
		t.Error("a method, though none was encoded")
	}
	read := func(part uint32) (fields []Field) {
		snapshot.Headers(part, func(name, value []byte) bool {
			fields = append(fields, Field{string(name), string(value)})
			return true
		})
		return fields
	}
	if fields := read(PartRequestHeader); !reflect.DeepEqual(fields, []Field{{"host", "a"}, {"x", "1"}}) {
		t.Errorf("request headers: %v", fields)
	}
	if fields := read(PartResponseHeader); !reflect.DeepEqual(fields, []Field{{"server", "b"}}) {
		t.Errorf("response headers: %v", fields)
	}
	if fields := read(PartAddedHeader); !reflect.DeepEqual(fields, []Field{{"vary", "c"}, {"vary", "d"}}) {
		t.Errorf("added headers: %v", fields)
	}
}

func TestSnapshotCutAnywhereReadsWithoutPanic(t *testing.T) {
	encoded := Encode(map[uint32]string{PartPath: "/a"}, []Field{{"host", "a"}}, nil, []Field{{"vary", "b"}})
	for end := range encoded {
		snapshot := Snapshot(encoded[:end])
		snapshot.Get(PartPath)
		snapshot.Headers(PartRequestHeader, func(_, _ []byte) bool { return true })
		snapshot.Headers(PartResponseHeader, func(_, _ []byte) bool { return true })
		snapshot.Headers(PartAddedHeader, func(_, _ []byte) bool { return true })
	}
}

func TestMutationsReadBackAndTornOnesAreRefused(t *testing.T) {
	bytes := make([]byte, MutationLen("k", "value"))
	PutMutation(bytes, OpSetRequestHeader, "k", "value")
	read, ok := ReadMutations(bytes)
	if !ok || !reflect.DeepEqual(read, []Mutation{{OpSetRequestHeader, "k", "value"}}) {
		t.Errorf("%v %v", read, ok)
	}
	for end := 1; end < len(bytes); end++ {
		if _, ok := ReadMutations(bytes[:end]); ok {
			t.Errorf("%d of %d bytes were taken for mutations", end, len(bytes))
		}
	}
}

func TestFirstHeaderIsFoundInAnyCaseAndOnItsSideOnly(t *testing.T) {
	snapshot := Snapshot(Encode(nil,
		[]Field{{"x-b", "other"}, {"x-a", "1"}, {"x-a", "2"}, {"x-empty", ""}}, []Field{{"x-a", "3"}, {"server", "b"}}, nil))
	for _, want := range []struct {
		part        uint32
		name, value string
		found       bool
	}{
		{PartRequestHeader, "X-A", "1", true}, {PartRequestHeader, "x-a", "1", true},
		{PartRequestHeader, "X-Empty", "", true}, {PartRequestHeader, "x-c", "", false},
		{PartRequestHeader, "", "", false}, {PartRequestHeader, "server", "", false},
		{PartResponseHeader, "X-a", "3", true}, {PartResponseHeader, "SERVER", "b", true},
		{PartResponseHeader, "x-b", "", false}, {PartRequestHeader, "x\rA", "", false},
	} {
		value, found := snapshot.First(want.part, want.name)
		if string(value) != want.value || found != want.found {
			t.Errorf("%d %q: %q %v", want.part, want.name, value, found)
		}
	}
}

func TestFirstHeaderOfASnapshotThatLiesIsNone(t *testing.T) {
	encoded := Encode(nil, []Field{{"host", "a"}}, nil, []Field{{"vary", "b"}})
	for at := range encoded {
		for _, wrong := range []byte{0, 0x7f, 0xff} {
			snapshot := append(Snapshot{}, encoded...)
			snapshot[at] = wrong
			snapshot.First(PartRequestHeader, "host")
			snapshot.First(PartResponseHeader, "host")
			snapshot.First(PartAddedHeader, "vary")
			snapshot.Headers(PartRequestHeader, func(_, _ []byte) bool { return true })
			snapshot.Get(PartPath)
		}
		if _, found := Snapshot(encoded[:at]).First(PartAddedHeader, "vary"); found {
			t.Errorf("found in %d of %d bytes", at, len(encoded))
		}
	}
}
