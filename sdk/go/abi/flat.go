package abi

import "encoding/binary"

const (
	snapshotHead = 16
	pairBytes    = 8
	// MutationHead is the length of a mutation before its key.
	MutationHead = 8
	// slots in the snapshots that Encode makes; a reader takes the number that a snapshot names.
	slots = PartTarget + 1
)

// Snapshot reads a flat snapshot in place. Bytes that are not one read as a snapshot of nothing.
type Snapshot []byte

// Get gives the value of a part that has no key.
func (s Snapshot) Get(part uint32) ([]byte, bool) {
	if len(s) < snapshotHead || part >= binary.LittleEndian.Uint32(s[4:]) {
		return nil, false
	}
	at := snapshotHead + pairBytes*uint64(part)
	if at+pairBytes > uint64(len(s)) {
		return nil, false
	}
	pair := s[at : at+pairBytes]
	return s.value(binary.LittleEndian.Uint32(pair), binary.LittleEndian.Uint32(pair[4:]))
}

// headerBytes are two pairs: a header's name and its value.
const headerBytes = 2 * pairBytes

// headers gives the pairs of a header part.
func (s Snapshot) headers(part uint32) []byte {
	if len(s) < snapshotHead {
		return nil
	}
	slots, count := uint64(binary.LittleEndian.Uint32(s[4:])), uint64(binary.LittleEndian.Uint32(s[8:]))
	begin := snapshotHead + pairBytes*slots
	switch part {
	case PartResponseHeader:
		begin += headerBytes * count
		count = uint64(binary.LittleEndian.Uint32(s[12:]))
	case PartAddedHeader:
		at := snapshotHead + pairBytes*PartAddedHeader
		if slots <= PartAddedHeader || at+pairBytes > len(s) {
			return nil
		}
		begin, count = uint64(binary.LittleEndian.Uint32(s[at:])), uint64(binary.LittleEndian.Uint32(s[at+4:]))
	}
	end := begin + headerBytes*count
	if end > uint64(len(s)) {
		return nil
	}
	return s[begin:end]
}

// value gives the bytes of a pair.
func (s Snapshot) value(offset, length uint32) ([]byte, bool) {
	end := uint64(offset) + uint64(length)
	if offset == 0 || end > uint64(len(s)) {
		return nil, false
	}
	return s[offset:end], true
}

// First gives the first value of a header, whose name may be in any case.
func (s Snapshot) First(part uint32, name string) ([]byte, bool) {
	for headers := s.headers(part); len(headers) >= headerBytes; headers = headers[headerBytes:] {
		length := binary.LittleEndian.Uint32(headers[4:])
		if uint64(length) != uint64(len(name)) {
			continue
		}
		lower, ok := s.value(binary.LittleEndian.Uint32(headers), length)
		if !ok {
			break
		}
		if IsName(lower, name) {
			return s.value(binary.LittleEndian.Uint32(headers[8:]), binary.LittleEndian.Uint32(headers[12:]))
		}
	}
	return nil, false
}

// Headers calls each with the headers of a header part in order, until it says false. Names are in
// lower case.
func (s Snapshot) Headers(part uint32, each func(name, value []byte) bool) {
	for headers := s.headers(part); len(headers) >= headerBytes; headers = headers[headerBytes:] {
		name, ok := s.value(binary.LittleEndian.Uint32(headers), binary.LittleEndian.Uint32(headers[4:]))
		value, complete := s.value(binary.LittleEndian.Uint32(headers[8:]), binary.LittleEndian.Uint32(headers[12:]))
		if !ok || !complete || !each(name, value) {
			return
		}
	}
}

// IsName says whether a name in lower case is the one that an author wrote.
func IsName(lower []byte, name string) bool {
	if len(lower) != len(name) {
		return false
	}
	for i, b := range lower {
		if b != name[i] && b != ToLower(name[i]) {
			return false
		}
	}
	return true
}

// ToLower is for ASCII.
func ToLower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// Field is a header.
type Field struct{ Name, Value string }

// Encode makes a snapshot, as a host does.
func Encode(parts map[uint32]string, request, response, added []Field) []byte {
	fields := append(append(append([]Field{}, request...), response...), added...)
	pairs := slots + 2*len(fields)
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
	if len(added) > 0 {
		at := snapshotHead + pairBytes*PartAddedHeader
		begin := snapshotHead + pairBytes*(pairs-2*len(added))
		binary.LittleEndian.PutUint32(snapshot[at:], uint32(begin))
		binary.LittleEndian.PutUint32(snapshot[at+4:], uint32(len(added)))
	}
	for i, field := range fields {
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
