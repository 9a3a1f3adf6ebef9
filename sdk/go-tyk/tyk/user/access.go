package user

import (
	"encoding/json"
	"fmt"
)

// AccessSpec allows methods on paths that match a regular expression.
type AccessSpec struct {
	URL     string   `json:"url"`
	Methods []string `json:"methods"`
}

// GraphQLType names fields of a GraphQL type. Tyk takes it from its GraphQL library; the fields and their
// JSON are the same.
type GraphQLType struct {
	Name   string   `json:"name"`
	Fields []string `json:"fields"`
}

// FieldLimits bound queries for one field.
type FieldLimits struct {
	MaxQueryDepth int `json:"max_query_depth"`
}

// FieldAccessDefinition bounds one field of a GraphQL type.
type FieldAccessDefinition struct {
	TypeName  string      `json:"type_name"`
	FieldName string      `json:"field_name"`
	Limits    FieldLimits `json:"limits"`
}

// AccessDefinition is a session's right to one API. The gateway enforces that the API is named among the
// rights, and nothing finer.
type AccessDefinition struct {
	APIName              string                  `json:"api_name"`
	APIID                string                  `json:"api_id"`
	Versions             []string                `json:"versions"`
	AllowedURLs          []AccessSpec            `json:"allowed_urls"`
	RestrictedTypes      []GraphQLType           `json:"restricted_types"`
	AllowedTypes         []GraphQLType           `json:"allowed_types"`
	Limit                limitField              `json:"limit"`
	FieldAccessRights    []FieldAccessDefinition `json:"field_access_rights"`
	DisableIntrospection bool                    `json:"disable_introspection"`
	AllowanceScope       string                  `json:"allowance_scope"`
	Endpoints            Endpoints               `json:"endpoints,omitempty"`

	JSONRPCMethods             []JSONRPCMethodLimit `json:"json_rpc_methods,omitempty"`
	JSONRPCMethodsAccessRights AccessControlRules   `json:"json_rpc_methods_access_rights"`
	MCPPrimitives              []MCPPrimitiveLimit  `json:"mcp_primitives,omitempty"`
	MCPAccessRights            MCPAccessRights      `json:"mcp_access_rights"`
}

// MarshalJSON leaves out access lists that are empty.
func (a AccessDefinition) MarshalJSON() ([]byte, error) {
	type plain AccessDefinition
	outer := struct {
		plain
		JSONRPCMethodsAccessRights *AccessControlRules `json:"json_rpc_methods_access_rights,omitempty"`
		MCPAccessRights            *MCPAccessRights    `json:"mcp_access_rights,omitempty"`
	}{plain: plain(a)}
	if !a.JSONRPCMethodsAccessRights.IsEmpty() {
		outer.JSONRPCMethodsAccessRights = &a.JSONRPCMethodsAccessRights
	}
	if !a.MCPAccessRights.IsEmpty() {
		outer.MCPAccessRights = &a.MCPAccessRights
	}
	return json.Marshal(outer)
}

// IsEmpty says whether nothing is set.
func (a AccessDefinition) IsEmpty() bool {
	limit := a.limit()
	return a.APIName == "" && a.APIID == "" && len(a.Versions) == 0 && len(a.AllowedURLs) == 0 &&
		len(a.RestrictedTypes) == 0 && len(a.AllowedTypes) == 0 && limit.IsEmpty() &&
		len(a.FieldAccessRights) == 0 && !a.DisableIntrospection && a.AllowanceScope == "" &&
		len(a.Endpoints) == 0 && len(a.JSONRPCMethods) == 0 && a.JSONRPCMethodsAccessRights.IsEmpty() &&
		len(a.MCPPrimitives) == 0 && a.MCPAccessRights.IsEmpty()
}

// AccessControlRules allow and block names, each a regular expression for the whole name.
type AccessControlRules struct {
	Allowed []string `json:"allowed,omitempty"`
	Blocked []string `json:"blocked,omitempty"`
}

// IsEmpty says whether there is no rule.
func (a AccessControlRules) IsEmpty() bool { return len(a.Allowed)+len(a.Blocked) == 0 }

// IsZero is IsEmpty, for encoders that ask for it.
func (a AccessControlRules) IsZero() bool { return a.IsEmpty() }

// JSONRPCMethodLimit is the limit of one JSON-RPC method. It is kept and not enforced.
type JSONRPCMethodLimit struct {
	Name  string    `json:"name"`
	Limit RateLimit `json:"limit"`
}

// MCPPrimitiveLimit is the limit of one tool, resource or prompt. It is kept and not enforced.
type MCPPrimitiveLimit struct {
	Type  string    `json:"type"`
	Name  string    `json:"name"`
	Limit RateLimit `json:"limit"`
}

// Validate refuses types that there are none of.
func (m MCPPrimitiveLimit) Validate() error {
	switch m.Type {
	case "tool", "resource", "prompt":
		return nil
	}
	return fmt.Errorf("MCP primitive type %q: expected tool, resource or prompt", m.Type)
}

// MCPAccessRights are rules per kind of MCP primitive.
type MCPAccessRights struct {
	Tools     AccessControlRules `json:"tools"`
	Resources AccessControlRules `json:"resources"`
	Prompts   AccessControlRules `json:"prompts"`
}

// IsEmpty says whether there is no rule.
func (m MCPAccessRights) IsEmpty() bool {
	return m.Tools.IsEmpty() && m.Resources.IsEmpty() && m.Prompts.IsEmpty()
}

// IsZero is IsEmpty, for encoders that ask for it.
func (m MCPAccessRights) IsZero() bool { return m.IsEmpty() }
