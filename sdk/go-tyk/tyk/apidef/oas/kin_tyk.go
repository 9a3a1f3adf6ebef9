//go:build gantry_kin_tyk

package oas

import "github.com/TykTechnologies/kin-openapi/openapi3"

// T is the document type of Tyk's fork of kin-openapi, which the plugin imports.
type T = openapi3.T

func load(text []byte) (*T, error) { return openapi3.NewLoader().LoadFromData(text) }
