package shim

import "unsafe"

// snapshot is a copied flat snapshot. What is read from it are pieces of one string, so that a request's
// strings cost one copy and belong to whoever keeps them.
type snapshot string

func copied(bytes []byte) snapshot { return snapshot(bytes) }

func (s snapshot) number(at uint64) uint64 {
	if at+4 > uint64(len(s)) {
		return 0
	}
	return uint64(s[at]) | uint64(s[at+1])<<8 | uint64(s[at+2])<<16 | uint64(s[at+3])<<24
}

func (s snapshot) pair(index uint64) (string, bool) {
	at := 16 + 8*index
	offset, length := s.number(at), s.number(at+4)
	if offset == 0 || offset+length > uint64(len(s)) {
		return "", false
	}
	return string(s[offset : offset+length]), true
}

// part gives the value of a part without key; false where it is absent.
func (s snapshot) part(part uint64) (string, bool) {
	if part >= s.number(4) {
		return "", false
	}
	return s.pair(part)
}

func (s snapshot) text(part uint64) string {
	value, _ := s.part(part)
	return value
}

// bytes gives a part without copying: not to be changed. Nil where it is absent.
func (s snapshot) bytes(part uint64) []byte {
	value, ok := s.part(part)
	if !ok {
		return nil
	}
	if value == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(value), len(value))
}

// headers gives where the pairs of a side begin, and how many headers it has.
func (s snapshot) headers(ofResponse bool) (first, count uint64) {
	first, count = s.number(4), s.number(8)
	if ofResponse {
		first, count = first+2*count, s.number(12)
	}
	if first+2*count > uint64(len(s))/8 { // no snapshot that this could be
		return 0, 0
	}
	return first, count
}
