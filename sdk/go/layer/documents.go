package layer

import (
	"sync/atomic"

	"gantry.example/sdk/go/abi"
)

// Documents keep what belongs to an API definition and not to a request: read once under each number that
// the host gives it. The zero value is ready.
type Documents struct{ latest atomic.Pointer[DocumentSet] }

// DocumentSet are the documents under one number; nil where there is none. Not to be changed.
type DocumentSet struct {
	number                      uint64
	Definition, Config, OpenAPI []byte
}

// Of gives the documents of a call; to be asked before Frame's Call returns.
func (d *Documents) Of(frame *Frame) *DocumentSet {
	set := d.latest.Load()
	if set != nil && set.number == frame.Definition && frame.Definition != 0 {
		return set
	}
	read := func(part uint32) []byte {
		document, code := frame.Host.Get(part)
		if code != abi.OK {
			return nil
		}
		return append([]byte{}, document...)
	}
	set = &DocumentSet{
		number: frame.Definition, Definition: read(abi.PartAPIDefinition), Config: read(abi.PartConfigData),
		OpenAPI: read(abi.PartOpenAPI),
	}
	d.latest.Store(set)
	return set
}
