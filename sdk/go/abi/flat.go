package abi

import "encoding/binary"

const (
	snapshotHead = 16
	pairBytes    = 8
	// MutationHead is the length of a mutation before its key.
	MutationHead = 8
	// slots in the snapshots that Encode makes; a reader takes the number that a snapshot names.
	slots = PartAuthToken + 1
)

// Snapshot reads a flat snapshot in place. Bytes that are not one read as a snapshot of nothing.
type Snapshot []byte

func (s Snapshot) number(at uint64) (uint64, bool) {
	if at+4 > uint64(len(s)) {
		return 0, false
	}
	return uint64(binary.LittleEndian.Uint32(s[at:])), true
}

func (s Snapshot) pair(index uint64) ([]byte, bool) {
	at := snapshotHead + pairBytes*index
	offset, ok := s.number(at)
	length, complete := s.number(at + 4)
	if !ok || !complete || offset == 0 || offset+length > uint64(len(s)) {
		return nil, false
	}
	return s[offset : offset+length], true
}

// Get gives the value of a part that has no key.
func (s Snapshot) Get(part uint32) ([]byte, bool) {
	if count, ok := s.number(4); !ok || uint64(part) >= count {
		return nil, false
	}
	return s.pair(uint64(part))
}

// Headers calls each with the headers of a header part in order, until it says false. Names are in
// lower case.
func (s Snapshot) Headers(part uint32, each func(name, value []byte) bool) {
	first, _ := s.number(4)
	count, _ := s.number(8)
	if part == PartResponseHeader {
		first += 2 * count
		count, _ = s.number(12)
	}
	for i := uint64(0); i < count; i++ {
		name, ok := s.pair(first + 2*i)
		value, complete := s.pair(first + 2*i + 1)
		if !ok || !complete || !each(name, value) {
			return
		}
	}
}

// Field is a header.
type Field struct{ Name, Value string }

// Encode makes a snapshot, as a host does.
func Encode(parts map[uint32]string, request, response []Field) []byte {
	pairs := slots + 2*(len(request)+len(response))
	snapshot := make([]byte, snapshotHead+pairBytes*pairs)
	put := func(index int, value string) {
		at := snapshotHead + pairBytes*index
		binary.LittleEndian.PutUint32(snapshot[at:], uint32(len(snapshot)))
		binary.LittleEndian.PutUint32(snapshot[at+4:], uint32(len(value)))
		snapshot = append(snapshot, value...)
	}
	for part, value := range parts {
		if part < slots { // bodies have no slot
			put(int(part), value)
		}
	}
	for i, field := range append(append([]Field{}, request...), response...) {
		put(slots+2*i, field.Name)
		put(slots+2*i+1, field.Value)
	}
	for i, number := range []int{len(snapshot), slots, len(request), len(response)} {
		binary.LittleEndian.PutUint32(snapshot[4*i:], uint32(number))
	}
	return snapshot
}

// MutationLen is the length of a mutation.
func MutationLen(key, value string) int { return MutationHead + len(key) + len(value) }

// PutMutation writes a mutation to a place that is long enough.
func PutMutation(at []byte, op uint8, key, value string) {
	at[0], at[1] = op, 0
	binary.LittleEndian.PutUint16(at[2:], uint16(len(key)))
	binary.LittleEndian.PutUint32(at[4:], uint32(len(value)))
	copy(at[MutationHead:], key)
	copy(at[MutationHead+len(key):], value)
}

// Mutation is one change.
type Mutation struct {
	Op         uint8
	Key, Value string
}

// ReadMutations reads flat mutations, as a host does; false if they are malformed.
func ReadMutations(bytes []byte) ([]Mutation, bool) {
	var mutations []Mutation
	for len(bytes) > 0 {
		if len(bytes) < MutationHead || bytes[1] != 0 {
			return nil, false
		}
		key := uint64(binary.LittleEndian.Uint16(bytes[2:]))
		value := uint64(binary.LittleEndian.Uint32(bytes[4:]))
		end := MutationHead + key + value
		if end > uint64(len(bytes)) {
			return nil, false
		}
		mutations = append(mutations, Mutation{
			Op:    bytes[0],
			Key:   string(bytes[MutationHead : MutationHead+key]),
			Value: string(bytes[MutationHead+key : end]),
		})
		bytes = bytes[end:]
	}
	return mutations, true
}
