package abi

import (
	"reflect"
	"testing"
)

func TestSnapshotReadsWhatWasEncoded(t *testing.T) {
	encoded := Encode(map[uint32]string{PartPath: "/a", PartQuery: ""},
		[]Field{{"host", "a"}, {"x", "1"}}, []Field{{"server", "b"}})
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
}

func TestSnapshotCutAnywhereReadsWithoutPanic(t *testing.T) {
	encoded := Encode(map[uint32]string{PartPath: "/a"}, []Field{{"host", "a"}}, nil)
	for end := range encoded {
		snapshot := Snapshot(encoded[:end])
		snapshot.Get(PartPath)
		snapshot.Headers(PartRequestHeader, func(_, _ []byte) bool { return true })
		snapshot.Headers(PartResponseHeader, func(_, _ []byte) bool { return true })
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
