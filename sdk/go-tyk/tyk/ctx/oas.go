//go:build gantry_oas

package ctx

import (
	"context"
	"net/http"

	"github.com/TykTechnologies/tyk/apidef/oas"

	"gantry.example/sdk/go-tyk/call"
)

// documentKey holds what SetOASDefinition was given.
type documentKey struct{}

// GetOASDefinition gives a copy of the API's OpenAPI document; nil for an API of the classic kind.
func GetOASDefinition(r *http.Request) *oas.OAS {
	if r == nil {
		return nil
	}
	set, ok := r.Context().Value(documentKey{}).(*oas.OAS)
	if state := call.Of(r.Context()); !ok && state != nil {
		document, _ := documentOf(state).(*oas.OAS)
		return document
	}
	if !ok {
		set, _ = r.Context().Value(OASDefinition).(*oas.OAS)
	}
	if set == nil {
		return nil
	}
	if fresh, err := set.Clone(); err == nil {
		return fresh
	}
	shallow := *set // it holds what JSON cannot say
	return &shallow
}

// SetOASDefinition makes s what GetOASDefinition copies from here on, for this request and this library. The
// gateway goes on by its own document.
func SetOASDefinition(r *http.Request, s *oas.OAS) {
	if r == nil || s == nil {
		return
	}
	put(r, OASDefinition, s)
	*r = *r.WithContext(context.WithValue(r.Context(), documentKey{}, s))
}

func documentOf(state *call.State) any {
	if len(state.OpenAPI()) == 0 {
		return nil
	}
	document, err := oas.Parse(state.OpenAPI())
	if err != nil {
		state.Log("error", "OpenAPI document: "+err.Error())
		return nil
	}
	return document
}

func setConfigData(r *http.Request) (map[string]interface{}, bool) {
	set, ok := r.Context().Value(documentKey{}).(*oas.OAS)
	if !ok || set == nil {
		return nil, false
	}
	copied := GetOASDefinition(r)
	return copied.ConfigData(), true
}
