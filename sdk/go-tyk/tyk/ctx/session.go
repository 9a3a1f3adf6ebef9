package ctx

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"

	"github.com/TykTechnologies/tyk/user"

	"gantry.example/sdk/go-tyk/call"
)

// keeping guards that one object is decoded for a request, whoever asks first.
var keeping sync.Mutex

// sessionIn finds a session in a context; one of another type is decoded from its JSON.
func sessionIn(in context.Context) *user.SessionState {
	switch found := in.Value(SessionData).(type) {
	case nil:
		return nil
	case *user.SessionState:
		return found
	default:
		return converted(found)
	}
}

func converted(other interface{}) *user.SessionState {
	text, err := json.Marshal(other)
	if err != nil {
		return nil
	}
	session := new(user.SessionState)
	if json.Unmarshal(text, session) != nil {
		return nil
	}
	return session
}

// sessionOf gives the session of a call: the live object, else one decoded from what the gateway has.
func sessionOf(state *call.State) *user.SessionState {
	switch live := state.LiveSession().(type) {
	case nil:
	case *user.SessionState:
		return live
	default:
		return converted(live)
	}
	raw := state.SessionJSON()
	if len(raw) == 0 {
		return nil
	}
	session := new(user.SessionState)
	if err := json.Unmarshal(raw, session); err != nil {
		if _, other := err.(*json.UnmarshalTypeError); !other {
			state.Log("error", "session: "+err.Error())
			return nil
		}
	}
	session.KeyID = state.AuthToken()
	session.MarkAsRestored()
	keeping.Lock()
	defer keeping.Unlock()
	if live, ok := state.LiveSession().(*user.SessionState); ok && live != nil {
		return live
	}
	state.KeepSession(session, keeper(session, raw))
	return session
}

// adopt makes a session that a plugin put into the context by hand the one of the call.
func adopt(state *call.State, session *user.SessionState) {
	if live, ok := state.LiveSession().(*user.SessionState); ok && live == session {
		return
	}
	if session.KeyID == "" {
		session.KeyID = state.AuthToken()
	}
	state.SetSession(session, session.KeyID, false, encoder(session))
}

func encoder(session *user.SessionState) func() ([]byte, error) {
	return func() ([]byte, error) {
		text, err := json.Marshal(session)
		if err != nil {
			return nil, err
		}
		return withoutZeros(text), nil
	}
}

// keeper encodes a session that came from the gateway. Fields that Tyk has no name for, as a plugin of
// another language may have set, go back with it when it has changed.
func keeper(session *user.SessionState, raw []byte) func() ([]byte, error) {
	var first []byte
	changed := false
	return func() ([]byte, error) {
		known, err := json.Marshal(session)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = known
		}
		if !changed && bytes.Equal(known, first) {
			return known, nil
		}
		changed = true
		text, err := withUnknown(known, raw)
		if err != nil {
			return nil, err
		}
		return withoutZeros(text), nil
	}
}

// wholeMax is up to how many bytes a session goes to the gateway with all its fields.
const wholeMax = 12 << 10

// withoutZeros leaves out of a large session what says nothing: the gateway takes 16 KiB, and most of an
// access right's text are zeros. Metadata stay as they are.
func withoutZeros(text []byte) []byte {
	if len(text) <= wholeMax {
		return text
	}
	smaller, err := shrunk(text, func(name string, value json.RawMessage) (json.RawMessage, error) {
		if name != "access_rights" {
			return value, nil
		}
		return shrunk(value, func(_ string, right json.RawMessage) (json.RawMessage, error) {
			return shrunk(right, func(name string, value json.RawMessage) (json.RawMessage, error) {
				if name != "limit" {
					return value, nil
				}
				return shrunk(value, nil)
			})
		})
	})
	if err != nil {
		return text
	}
	return smaller
}

// shrunk leaves zeros out of an object, after each value was made smaller.
func shrunk(text json.RawMessage, each func(string, json.RawMessage) (json.RawMessage, error)) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	for name, value := range fields {
		if each != nil {
			smaller, err := each(name, value)
			if err != nil {
				return nil, err
			}
			value, fields[name] = smaller, smaller
		}
		switch string(value) {
		case "0", `""`, "null", "false", `"0001-01-01T00:00:00Z"`:
			delete(fields, name)
		}
	}
	return json.Marshal(fields)
}

func withUnknown(known, raw []byte) ([]byte, error) {
	var before, after map[string]json.RawMessage
	if err := json.Unmarshal(known, &after); err != nil {
		return nil, err
	}
	if json.Unmarshal(raw, &before) != nil {
		return known, nil
	}
	merged := false
	for name, value := range before {
		if _, found := after[name]; !found && !omitted[name] {
			after[name], merged = value, true
		}
	}
	if !merged {
		return known, nil
	}
	return json.Marshal(after)
}

// omitted are fields of the session that are not written when they are empty: that they are missing says
// that they were emptied.
var omitted = map[string]bool{"post_expiry_action": true, "smoothing": true, "key_id": true}

// provider answers for Tyk's keys where nobody put a value into the context.
type provider struct{}

// leaving holds the calls whose contexts Leave looks into: their sessions are not decoded for that.
var leaving sync.Map

func (provider) Value(state *call.State, key any) (any, bool) {
	switch key {
	case SessionData:
		if _, only := leaving.Load(state); only {
			return state.LiveSession(), true
		}
		if session := sessionOf(state); session != nil {
			return session, true
		}
	case AuthToken:
		if token := state.AuthToken(); token != "" {
			return token, true
		}
	case Definition:
		if definition := definitionOf(state); definition != nil {
			return definition, true
		}
	case OASDefinition:
		if document := documentOf(state); document != nil {
			return document, true
		}
	default:
		return nil, false
	}
	return nil, true
}

func (provider) Leave(state *call.State, in context.Context) {
	if in == nil {
		return
	}
	leaving.Store(state, true)
	defer leaving.Delete(state)
	// Only what was put there by hand can differ from the live session.
	if session, ok := in.Value(SessionData).(*user.SessionState); ok && session != nil {
		adopt(state, session)
	}
}
