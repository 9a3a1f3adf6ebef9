package shim

import (
	"encoding/binary"
	"unsafe"

	"gantry.example/sdk/go/abi"
)

// snapshot is a flat snapshot in two pieces: where its values lie, which is used until request and response
// are built, and the values. What is read from those are pieces of one string, so that a request's strings
// cost one copy and belong to whoever keeps them.
type snapshot struct {
	index  []byte
	values string
}

const (
	indexHead   = 16
	pairBytes   = 8
	headerBytes = 2 * pairBytes
)

// copied copies the values of a snapshot; the index stays where it is.
func copied(bytes []byte) snapshot {
	if len(bytes) < indexHead {
		return snapshot{}
	}
	whole := snapshot{index: bytes}
	end := whole.headersBegin() + headerBytes*(whole.number(8)+whole.number(12)+whole.added())
	if end > uint64(len(bytes)) { // no snapshot that this could be
		return snapshot{}
	}
	return snapshot{index: bytes[:end:end], values: string(bytes[end:])}
}

// number gives a number of the head.
func (s snapshot) number(at int) uint64 {
	if len(s.index) < indexHead {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(s.index[at:]))
}

// added is how many headers functions added.
func (s snapshot) added() uint64 {
	at := indexHead + pairBytes*abi.PartAddedHeader
	if s.number(4) <= abi.PartAddedHeader || at+pairBytes > len(s.index) {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(s.index[at+4:]))
}

func (s snapshot) headersBegin() uint64 { return indexHead + pairBytes*s.number(4) }

// value gives the value that the pair at the beginning of these bytes is about; false where it is absent.
func (s snapshot) value(pair []byte) (string, bool) {
	place := binary.LittleEndian.Uint64(pair)
	offset, length := place&(1<<32-1), place>>32
	begin := offset - uint64(len(s.index))
	if offset < uint64(len(s.index)) || begin+length > uint64(len(s.values)) {
		return "", false
	}
	return s.values[begin : begin+length], true
}

// part gives the value of a part without key; false where it is absent.
func (s snapshot) part(part uint64) (string, bool) {
	at := indexHead + pairBytes*part
	if part >= s.number(4) || at+pairBytes > uint64(len(s.index)) {
		return "", false
	}
	return s.value(s.index[at:])
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

// side is whose headers are meant; they lie in this order.
type side int

const (
	ofRequest side = iota
	ofResponse
	added // apart from the response's
)

// headers gives the index of a side's headers, a pair for the name and one for the value of each.
func (s snapshot) headers(of side) []byte {
	if len(s.index) == 0 {
		return nil
	}
	begin := s.headersBegin()
	end := begin + headerBytes*s.number(8)
	if of != ofRequest {
		begin, end = end, end+headerBytes*s.number(12)
	}
	if of == added {
		begin, end = end, uint64(len(s.index))
	}
	return s.index[begin:end]
}
