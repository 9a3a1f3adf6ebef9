// Package oas holds an OpenAPI document with Tyk's extension x-tyk-api-gateway: what of it plugins read.
// Documents are decoded by the kin-openapi that the plugin imports: getkin's, or Tyk's fork of it under the
// build tag gantry_kin_tyk. Parts of the extension that have no type here are kept as JSON.
package oas

import (
	"encoding/json"
	"fmt"
)

// Keys of extensions in a document.
const (
	ExtensionTykAPIGateway = "x-tyk-api-gateway"
	ExtensionTykStreaming  = "x-tyk-streaming"
)

// OAS is an OpenAPI document.
type OAS struct {
	T
}

// Parse decodes a document. References inside of it are resolved; if one cannot be, none is. It is Gantry's
// own: ctx.GetOASDefinition calls it.
func Parse(text []byte) (*OAS, error) {
	document, err := load(text)
	if err != nil {
		document = new(T)
		if plain := json.Unmarshal(text, document); plain != nil {
			return nil, fmt.Errorf("%v; %w", err, plain)
		}
	}
	made := &OAS{*document}
	made.GetTykExtension()
	return made, nil
}

// MarshalJSON writes the whole document, extension included.
func (s *OAS) MarshalJSON() ([]byte, error) { return json.Marshal(&s.T) }

// UnmarshalJSON reads a document.
func (s *OAS) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &s.T) }

// Clone gives a copy that shares nothing.
func (s *OAS) Clone() (*OAS, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// GetTykExtension gives Tyk's extension, the live object; nil if the document has none or it cannot be read.
func (s *OAS) GetTykExtension() *XTykAPIGateway {
	found, err := extension[XTykAPIGateway](s, ExtensionTykAPIGateway)
	if err != nil {
		return nil
	}
	return found
}

// SetTykExtension sets Tyk's extension.
func (s *OAS) SetTykExtension(x *XTykAPIGateway) { s.set(ExtensionTykAPIGateway, x) }

// RemoveTykExtension removes Tyk's extension.
func (s *OAS) RemoveTykExtension() { delete(s.Extensions, ExtensionTykAPIGateway) }

// GetTykStreamingExtension gives the extension for streams; nil if the document has none.
func (s *OAS) GetTykStreamingExtension() *XTykStreaming {
	found, err := extension[XTykStreaming](s, ExtensionTykStreaming)
	if err != nil {
		return nil
	}
	return found
}

// SetTykStreamingExtension sets the extension for streams.
func (s *OAS) SetTykStreamingExtension(x *XTykStreaming) { s.set(ExtensionTykStreaming, x) }

// RemoveTykStreamingExtension removes the extension for streams.
func (s *OAS) RemoveTykStreamingExtension() { delete(s.Extensions, ExtensionTykStreaming) }

func (s *OAS) set(key string, value any) {
	if s.Extensions == nil {
		s.Extensions = map[string]interface{}{}
	}
	s.Extensions[key] = value
}

// extension finds an extension that is decoded already, or decodes it and keeps it so.
func extension[X any](s *OAS, key string) (*X, error) {
	found := s.Extensions[key]
	switch given := found.(type) {
	case nil:
		return nil, nil
	case *X:
		return given, nil
	}
	text, err := json.Marshal(found)
	if err != nil {
		return nil, err
	}
	decoded := new(X)
	if err := json.Unmarshal(text, decoded); err != nil {
		if _, other := err.(*json.UnmarshalTypeError); !other {
			return nil, err
		}
	}
	s.Extensions[key] = decoded
	return decoded, nil
}

// GetTykMiddleware gives the extension's middleware; nil without.
func (s *OAS) GetTykMiddleware() *Middleware {
	if x := s.GetTykExtension(); x != nil {
		return x.Middleware
	}
	return nil
}

// ConfigData gives the config data of plugins; nil without, or if it is not enabled. It is Gantry's own.
func (s *OAS) ConfigData() map[string]interface{} {
	middleware := s.GetTykMiddleware()
	if middleware == nil || middleware.Global == nil || middleware.Global.PluginConfig == nil {
		return nil
	}
	if data := middleware.Global.PluginConfig.Data; data != nil && data.Enabled {
		return data.Value
	}
	return nil
}
