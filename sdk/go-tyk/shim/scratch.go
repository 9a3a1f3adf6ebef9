package shim

import (
	"sync"

	"gantry.example/sdk/go/abi"
)

// scratch is what a call needs for itself: what it got, to tell what its handler changed of it, and what it
// leaves. Nothing that a handler may keep leads here, so the room that a call took serves later ones.
type scratch struct {
	snapshot snapshot // until request and response are built
	index    []byte   // of one that is built after its Call has returned

	request, response, writer before

	method, status, path, query string // as they came
	host, remoteAddr            string // r.Host, r.RemoteAddr
	urlPath, urlRawPath         string // of r.URL

	left    []byte // the body that the handler left in the request's place; nil: none
	changes []byte // flat mutations
	large   []byte // a body that an inline call gives to the gateway apart, before the rest
	largeOp uint8
}

var spare = sync.Pool{New: func() any { return new(scratch) }}

// linesKept is how many lines of a side keep their room, indexKept how many bytes of an index.
const (
	linesKept = 128
	indexKept = indexHead + headerBytes*linesKept
)

// keepIndex lets the snapshot be read when the host's memory is gone.
func (s *scratch) keepIndex() {
	s.index = append(s.index[:0], s.snapshot.index...)
	s.snapshot.index = s.index
}

// read takes what the call got, but for headers.
func (s *scratch) read() {
	s.method, s.status = s.snapshot.text(abi.PartMethod), s.snapshot.text(abi.PartStatus)
	s.remoteAddr = s.snapshot.text(abi.PartRemoteAddr)
	s.path, s.query = s.snapshot.text(abi.PartPath), s.snapshot.text(abi.PartQuery)
}

// giveBack ends the use of it.
func (s *scratch) giveBack() {
	index := s.index[:0]
	if cap(index) > indexKept {
		index = nil
	}
	*s = scratch{index: index, request: s.request.emptied(), response: s.response.emptied(), writer: s.writer.emptied()}
	spare.Put(s)
}

func (b *before) emptied() before {
	if cap(b.fields) > linesKept {
		return before{}
	}
	return before{fields: b.fields[:0]}
}
