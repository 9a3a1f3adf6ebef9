package abi

import "strings"

// ofOldBytes are the headers that go with the first replacement of a body.
var ofOldBytes = []string{
	"accept-ranges", "content-digest", "content-encoding", "content-length", "content-md5",
	"content-range", "digest", "etag", "last-modified", "repr-digest", "trailer",
}

// Message is what a function sees of a request or response, in memory: it changes as a host's would,
// without the host's checks of names, values, sizes and hooks.
type Message struct {
	Parts                    map[uint32]string
	Request, Response, Added []Field // names in lower case
	Answer                   string
	replaced                 bool
}

// Decode copies a snapshot.
func Decode(snapshot Snapshot) *Message {
	message := &Message{Parts: make(map[uint32]string)}
	for part := uint32(0); part < slots; part++ {
		if value, ok := snapshot.Get(part); ok && part != PartAddedHeader {
			message.Parts[part] = string(value)
		}
	}
	fields := func(part uint32) (fields []Field) {
		snapshot.Headers(part, func(name, value []byte) bool {
			fields = append(fields, Field{string(name), string(value)})
			return true
		})
		return fields
	}
	message.Request, message.Response = fields(PartRequestHeader), fields(PartResponseHeader)
	message.Added = fields(PartAddedHeader)
	return message
}

// Encode makes a snapshot of wanted parts.
func (m *Message) Encode(wanted uint64) Snapshot {
	parts := make(map[uint32]string)
	for part, value := range m.Parts {
		if wanted>>part&1 == 1 {
			parts[part] = value
		}
	}
	of := func(part int, fields []Field) []Field {
		if wanted>>part&1 == 0 {
			return nil
		}
		return fields
	}
	return Encode(parts, of(PartRequestHeader, m.Request), of(PartResponseHeader, m.Response), of(PartAddedHeader, m.Added))
}

// Apply changes the message by flat mutations: OK, or EInvalid and nothing has changed.
func (m *Message) Apply(mutations []byte) int32 {
	read, ok := ReadMutations(mutations)
	if !ok {
		return EInvalid
	}
	for _, change := range read {
		m.Change(change)
	}
	return OK
}

// Change makes one change.
func (m *Message) Change(change Mutation) {
	name := strings.ToLower(change.Key)
	field := Field{Name: name, Value: change.Value}
	switch change.Op {
	case OpSetMethod:
		m.Parts[PartMethod] = change.Value
	case OpSetPath:
		m.Parts[PartPath] = change.Value
	case OpSetQuery:
		m.Parts[PartQuery] = change.Value
	case OpSetRemoteAddr:
		m.Parts[PartRemoteAddr] = change.Value
	case OpSetSession, OpStoreSession:
		m.Parts[PartSession] = change.Value
		if change.Key != "" {
			m.Parts[PartAuthToken] = change.Key
		}
	case OpSetStatus, OpAnswerStatus:
		m.Parts[PartStatus] = change.Value
	case OpAnswerBody:
		m.Answer = change.Value
	case OpSetRequestBody:
		m.Parts[PartRequestBody] = change.Value
		m.Request = m.withoutOld(m.Request)
	case OpSetResponseBody:
		m.Parts[PartResponseBody] = change.Value
		m.Response = m.withoutOld(m.Response)
	case OpSetRequestHeader:
		m.Request = append(without(m.Request, name), field)
	case OpAddRequestHeader:
		m.Request = append(m.Request, field)
	case OpRemoveRequestHeader:
		m.Request = without(m.Request, name)
	case OpSetResponseHeader:
		m.Response = append(without(m.Response, name), field)
	case OpAddResponseHeader:
		m.Response = append(m.Response, field)
	case OpRemoveResponseHeader:
		m.Response = without(m.Response, name)
	case OpSetAddedHeader:
		m.Added = append(without(m.Added, name), field)
	case OpAddAddedHeader:
		m.Added = append(m.Added, field)
	case OpRemoveAddedHeader:
		m.Added = without(m.Added, name)
	}
}

// withoutOld takes off what held for the old bytes, the first time.
func (m *Message) withoutOld(fields []Field) []Field {
	if m.replaced {
		return fields
	}
	m.replaced = true
	for _, name := range ofOldBytes {
		fields = without(fields, name)
	}
	return fields
}

func without(fields []Field, name string) (kept []Field) {
	for _, field := range fields {
		if field.Name != name {
			kept = append(kept, field)
		}
	}
	return kept
}
