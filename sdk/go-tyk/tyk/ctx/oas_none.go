//go:build !gantry_oas

package ctx

import (
	"net/http"

	"gantry.example/sdk/go-tyk/call"
)

// documentOf gives nothing: the plugin imports no OpenAPI types, so nobody could use them.
func documentOf(*call.State) any { return nil }

func setConfigData(*http.Request) (map[string]interface{}, bool) { return nil, false }
