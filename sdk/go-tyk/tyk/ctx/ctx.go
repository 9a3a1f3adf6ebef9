// Package ctx gives plugins what Tyk keeps in the context of a request: session, token and definition. In a
// gateway they come from the call that the handler runs in; outside of one, as in a plugin's own unit tests,
// from plain context values. Nothing here panics.
//
// It imports package oas, and with it kin-openapi, only under the build tag gantry_oas.
package ctx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/TykTechnologies/tyk/apidef"
	"github.com/TykTechnologies/tyk/user"

	"gantry.example/sdk/go-tyk/call"
)

func init() { call.Provide(provider{}) }

// put sets a value in a request's context, in place, so that the caller's request has it too.
func put(r *http.Request, key Key, value interface{}) {
	*r = *r.WithContext(context.WithValue(r.Context(), key, value))
}

// GetSession gives the request's session, the live object: what is changed in it is seen by later hooks and
// told to the gateway. Nil without a session.
func GetSession(r *http.Request) *user.SessionState {
	if r == nil {
		return nil
	}
	found := sessionIn(r.Context())
	if state := call.Of(r.Context()); state != nil {
		if found == nil {
			return sessionOf(state)
		}
		adopt(state, found)
	}
	return found
}

// SetSession makes s the request's session. Both shapes of Tyk compile:
//
//	SetSession(r, s, scheduleUpdate bool, hashKey ...bool)
//	SetSession(r, s, token string, scheduleUpdate bool)
//
// With scheduleUpdate the session is kept among the environment's consumer keys, under its KeyID; without, it
// lives for the request. A session without KeyID takes the token that the request has. A nil session is
// logged and changes nothing.
func SetSession(r *http.Request, s *user.SessionState, shape ...interface{}) {
	if r == nil {
		return
	}
	state := call.Of(r.Context())
	if s == nil {
		if state != nil {
			state.Log("error", "SetSession was given no session; the request keeps the one it has")
		}
		return
	}
	token, store, hash := read(shape)
	if token != "" {
		s.KeyID = token
	}
	if s.KeyID == "" {
		s.KeyID = GetAuthToken(r)
	}
	if s.KeyHashEmpty() {
		s.SetKeyHash(hashed(s.KeyID, hash))
	}
	user.AgreeLimits(s)
	if state == nil {
		put(r, SessionData, s)
		put(r, AuthToken, s.KeyID)
		return
	}
	if store && s.KeyID == "" {
		state.Log("warn", "SetSession was to keep a session that has no KeyID; it lives for this request only")
		store = false
	}
	state.SetSession(s, s.KeyID, store, encoder(s))
	if byHand := sessionIn(r.Context()); byHand != nil && byHand != s {
		put(r, SessionData, s) // else the session that was put there by hand would hide this one
	}
}

// read takes the arguments of either shape apart.
func read(shape []interface{}) (token string, store, hash bool) {
	flags := make([]bool, 0, 2)
	for _, given := range shape {
		value := reflect.ValueOf(given)
		switch value.Kind() {
		case reflect.String:
			token = value.String()
		case reflect.Bool:
			flags = append(flags, value.Bool())
		case reflect.Slice: // hashKey... with a slice cannot be told apart, and []bool is its only type
			if more, ok := given.([]bool); ok {
				flags = append(flags, more...)
			}
		}
	}
	if len(flags) > 0 {
		store = flags[0]
	}
	if len(flags) > 1 {
		hash = flags[1]
	}
	return token, store, hash
}

func hashed(key string, hash bool) string {
	if !hash || key == "" {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// GetAuthToken gives the consumer key of the request; empty without.
func GetAuthToken(r *http.Request) string {
	if r == nil {
		return ""
	}
	if token, ok := r.Context().Value(AuthToken).(string); ok && token != "" {
		return token
	}
	if state := call.Of(r.Context()); state != nil {
		return state.AuthToken()
	}
	return ""
}

// GetDefinition gives a copy of the API definition; nil for an API that is made from an OpenAPI document.
func GetDefinition(r *http.Request) *apidef.APIDefinition {
	if r == nil {
		return nil
	}
	if set, ok := r.Context().Value(definitionKey{}).(*apidef.APIDefinition); ok {
		return copied(set)
	}
	if state := call.Of(r.Context()); state != nil {
		return definitionOf(state)
	}
	set, _ := r.Context().Value(Definition).(*apidef.APIDefinition)
	return copied(set)
}

// definitionKey holds what SetDefinition was given.
type definitionKey struct{}

// SetDefinition makes s what GetDefinition copies from here on, for this request and this library. The
// gateway goes on by its own definition.
func SetDefinition(r *http.Request, s *apidef.APIDefinition) {
	if r == nil || s == nil {
		return
	}
	put(r, Definition, s)
	*r = *r.WithContext(context.WithValue(r.Context(), definitionKey{}, s))
}

func copied(set *apidef.APIDefinition) *apidef.APIDefinition {
	if set == nil {
		return nil
	}
	if fresh, err := set.Clone(); err == nil {
		return fresh
	}
	shallow := *set // it holds what JSON cannot say
	return &shallow
}

func definitionOf(state *call.State) *apidef.APIDefinition {
	if state == nil {
		return nil
	}
	text := state.Definition()
	if len(text) == 0 {
		return nil
	}
	definition := new(apidef.APIDefinition)
	if err := json.Unmarshal(text, definition); err != nil {
		// A field of another type than Tyk's is left out, and the others are there.
		if _, other := err.(*json.UnmarshalTypeError); !other {
			state.Log("error", "API definition: "+err.Error())
			return nil
		}
	}
	if definition.AuthConfigs == nil && definition.Auth.AuthHeaderName != "" {
		// Tyk fills them from the older field when it loads a definition.
		definition.AuthConfigs = map[string]apidef.AuthConfig{apidef.AuthTokenType: definition.Auth}
	}
	return definition
}

// GetOASConfigData gives a copy of the config data in the OpenAPI document; nil without, or if it is not
// enabled.
func GetOASConfigData(r *http.Request) map[string]interface{} {
	if r == nil {
		return nil
	}
	if data, set := setConfigData(r); set {
		return data
	}
	state := call.Of(r.Context())
	if state == nil || len(state.OpenAPI()) == 0 {
		return nil
	}
	var document struct {
		Tyk struct {
			Middleware struct {
				Global struct {
					PluginConfig struct {
						Data struct {
							Enabled bool                   `json:"enabled"`
							Value   map[string]interface{} `json:"value"`
						} `json:"data"`
					} `json:"pluginConfig"`
				} `json:"global"`
			} `json:"middleware"`
		} `json:"x-tyk-api-gateway"`
	}
	if err := json.Unmarshal(state.OpenAPI(), &document); err != nil {
		state.Log("error", "OpenAPI document: "+err.Error())
		return nil
	}
	if data := document.Tyk.Middleware.Global.PluginConfig.Data; data.Enabled {
		return data.Value
	}
	return nil
}

// GetMCPMethod gives the MCP method that a plugin set; the gateway sets none.
func GetMCPMethod(r *http.Request) string { return text(r, MCPMethod) }

// GetMCPPrimitiveType gives the kind of MCP primitive that a plugin set; the gateway sets none.
func GetMCPPrimitiveType(r *http.Request) string { return text(r, MCPPrimitiveType) }

// GetMCPPrimitiveName gives the name of the MCP primitive that a plugin set; the gateway sets none.
func GetMCPPrimitiveName(r *http.Request) string { return text(r, MCPPrimitiveName) }

// GetJSONRPCErrorCode gives the JSON-RPC error that a plugin set; the gateway sets none.
func GetJSONRPCErrorCode(r *http.Request) int {
	if r == nil {
		return 0
	}
	code, _ := r.Context().Value(JSONRPCErrorCode).(int)
	return code
}

func text(r *http.Request, key Key) string {
	if r == nil {
		return ""
	}
	value, _ := r.Context().Value(key).(string)
	return value
}
