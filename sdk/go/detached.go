package gantry

import (
	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// outBytes is the room for changes of a detached call before it first has to be emptied.
const outBytes = 512

// copied is the backend of a detached call: it reads from what was copied at the entry, changes that copy,
// and collects the changes for the call's end. Used by one goroutine.
type copied struct {
	layer.Pending
	snapshot  abi.Snapshot
	documents *layer.DocumentSet
	message   *abi.Message // the snapshot, once it has changed
	changes   []byte
}

// detach copies what the function may read and starts it.
func (i *instance) detach(frame *layer.Frame) int32 {
	backend := &copied{
		snapshot:  append(abi.Snapshot{}, frame.Snapshot...),
		documents: i.known.Of(frame),
	}
	backend.Begin(&i.calls, frame)
	backend.Run(func() (int32, []byte) {
		out := make([]byte, outBytes)
		at := idle.Get().(*work)
		at.backend, at.hook, at.snapshot, at.holds, at.wants = backend, i.hook, backend.snapshot, i.wants, i.wants
		at.body, at.out, at.ctx = true, out[:0], backend.Context()
		defer at.end()
		verdict, written := i.run(at)
		if verdict < 0 {
			return verdict, nil
		}
		return verdict, append(backend.changes, out[:written]...)
	})
	return abi.Pending
}

func (c *copied) Get(part uint32) ([]byte, int32) {
	var document []byte
	switch part {
	case abi.PartAPIDefinition:
		document = c.documents.Definition
	case abi.PartConfigData:
		document = c.documents.Config
	case abi.PartOpenAPI:
		document = c.documents.OpenAPI
	case abi.PartRequestBody, abi.PartResponseBody:
		if c.message == nil {
			return c.Body(part)
		}
		replaced, ok := c.message.Parts[part]
		if !ok {
			return c.Body(part)
		}
		return []byte(replaced), abi.OK
	default:
		value, ok := c.snapshot.Get(part)
		if !ok {
			return nil, abi.EAbsent
		}
		return value, abi.OK
	}
	if document == nil {
		return nil, abi.EAbsent
	}
	return document, abi.OK
}

func (c *copied) Snapshot(wanted uint64) ([]byte, int32) {
	if c.message != nil {
		c.snapshot = c.message.Encode(wanted)
	}
	return c.snapshot, abi.OK
}

func (c *copied) Apply(mutations []byte) int32 {
	if c.message == nil {
		c.message = abi.Decode(c.snapshot)
	}
	c.changes = append(c.changes, mutations...)
	return c.message.Apply(mutations)
}

func (c *copied) Mutate(op uint8, value []byte) int32 {
	mutation := make([]byte, abi.MutationHead+len(value))
	abi.PutMutation(mutation, op, "", string(value))
	return c.Apply(mutation)
}
