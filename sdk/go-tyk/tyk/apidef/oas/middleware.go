package oas

import (
	"encoding/json"

	"github.com/TykTechnologies/tyk/apidef"
)

// Middleware is what is done to requests and responses.
type Middleware struct {
	Global       *Global         `json:"global,omitempty"`
	Operations   Operations      `json:"operations,omitempty"`
	McpTools     json.RawMessage `json:"mcpTools,omitempty"`
	McpResources json.RawMessage `json:"mcpResources,omitempty"`
	McpPrompts   json.RawMessage `json:"mcpPrompts,omitempty"`
}

// Global is what is done to all of them.
type Global struct {
	PluginConfig *PluginConfig `json:"pluginConfig,omitempty"`
	CORS         *CORS         `json:"cors,omitempty"`
	// Deprecated: PrePlugins is its newer name.
	PrePlugin  *PrePlugin    `json:"prePlugin,omitempty"`
	PrePlugins CustomPlugins `json:"prePlugins,omitempty"`
	// Deprecated: PostAuthenticationPlugins is its newer name.
	PostAuthenticationPlugin  *PostAuthenticationPlugin `json:"postAuthenticationPlugin,omitempty"`
	PostAuthenticationPlugins CustomPlugins             `json:"postAuthenticationPlugins,omitempty"`
	// Deprecated: PostPlugins is its newer name.
	PostPlugin  *PostPlugin   `json:"postPlugin,omitempty"`
	PostPlugins CustomPlugins `json:"postPlugins,omitempty"`
	// Deprecated: ResponsePlugins is its newer name.
	ResponsePlugin  *ResponsePlugin `json:"responsePlugin,omitempty"`
	ResponsePlugins CustomPlugins   `json:"responsePlugins,omitempty"`

	Cache                    *Cache                  `json:"cache,omitempty"`
	TransformRequestHeaders  *TransformHeaders       `json:"transformRequestHeaders,omitempty"`
	TransformResponseHeaders *TransformHeaders       `json:"transformResponseHeaders,omitempty"`
	ContextVariables         *ContextVariables       `json:"contextVariables,omitempty"`
	TrafficLogs              *TrafficLogs            `json:"trafficLogs,omitempty"`
	RequestSizeLimit         *GlobalRequestSizeLimit `json:"requestSizeLimit,omitempty"`
	IgnoreCase               *IgnoreCase             `json:"ignoreCase,omitempty"`
	SkipRateLimit            bool                    `json:"skipRateLimit,omitempty"`
	SkipQuota                bool                    `json:"skipQuota,omitempty"`
	SkipQuotaReset           bool                    `json:"skipQuotaReset,omitempty"`
}

// PluginConfig is what plugins have in common.
type PluginConfig struct {
	Driver apidef.MiddlewareDriver `json:"driver,omitempty"`
	Bundle *PluginBundle           `json:"bundle,omitempty"`
	Data   *PluginConfigData       `json:"data,omitempty"`
}

// PluginBundle names the bundle.
type PluginBundle struct {
	Enabled bool   `json:"enabled"`
	Path    string `json:"path"`
}

// PluginConfigData is config data of plugins.
type PluginConfigData struct {
	Enabled bool                   `json:"enabled"`
	Value   map[string]interface{} `json:"value"`
}

// CustomPlugin is one function at a hook.
type CustomPlugin struct {
	Enabled        bool   `json:"enabled"`
	FunctionName   string `json:"functionName"`
	Path           string `json:"path,omitempty"`
	Code           string `json:"code,omitempty"`
	RawBodyOnly    bool   `json:"rawBodyOnly,omitempty"`
	RequireSession bool   `json:"requireSession,omitempty"`
}

// CustomPlugins are the functions at a hook.
type CustomPlugins []CustomPlugin

// PrePlugin is the older shape of a hook.
type PrePlugin struct {
	Plugins CustomPlugins `json:"plugins,omitempty"`
}

// PostAuthenticationPlugin is the older shape of a hook.
type PostAuthenticationPlugin struct {
	Plugins CustomPlugins `json:"plugins,omitempty"`
}

// PostPlugin is the older shape of a hook.
type PostPlugin struct {
	Plugins CustomPlugins `json:"plugins,omitempty"`
}

// ResponsePlugin is the older shape of a hook.
type ResponsePlugin struct {
	Plugins CustomPlugins `json:"plugins,omitempty"`
}

// CORS is cross-origin resource sharing.
type CORS struct {
	Enabled            bool     `json:"enabled"`
	MaxAge             int      `json:"maxAge,omitempty"`
	AllowCredentials   bool     `json:"allowCredentials,omitempty"`
	ExposedHeaders     []string `json:"exposedHeaders,omitempty"`
	AllowedHeaders     []string `json:"allowedHeaders,omitempty"`
	OptionsPassthrough bool     `json:"optionsPassthrough,omitempty"`
	Debug              bool     `json:"debug,omitempty"`
	AllowedOrigins     []string `json:"allowedOrigins,omitempty"`
	AllowedMethods     []string `json:"allowedMethods,omitempty"`
}

// Cache says how answers are cached.
type Cache struct {
	Enabled                    bool     `json:"enabled"`
	Timeout                    int64    `json:"timeout,omitempty"`
	CacheAllSafeRequests       bool     `json:"cacheAllSafeRequests,omitempty"`
	CacheResponseCodes         []int    `json:"cacheResponseCodes,omitempty"`
	CacheByHeaders             []string `json:"cacheByHeaders,omitempty"`
	EnableUpstreamCacheControl bool     `json:"enableUpstreamCacheControl,omitempty"`
	ControlTTLHeaderName       string   `json:"controlTTLHeaderName,omitempty"`
}

// Header is a header's name and value.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Headers are names and values.
type Headers []Header

// Map gives them by name.
func (hs Headers) Map() map[string]string {
	byName := make(map[string]string, len(hs))
	for _, header := range hs {
		byName[header.Name] = header.Value
	}
	return byName
}

// TransformHeaders adds and removes headers.
type TransformHeaders struct {
	Enabled bool     `json:"enabled"`
	Remove  []string `json:"remove,omitempty"`
	Add     Headers  `json:"add,omitempty"`
}

// ContextVariables makes Tyk's variables.
type ContextVariables struct {
	Enabled bool `json:"enabled"`
}

// TrafficLogs records requests.
type TrafficLogs struct {
	Enabled    bool          `json:"enabled"`
	TagHeaders []string      `json:"tagHeaders"`
	Plugins    CustomPlugins `json:"plugins,omitempty"`
}

// GlobalRequestSizeLimit bounds bodies, in bytes.
type GlobalRequestSizeLimit struct {
	Enabled bool  `json:"enabled"`
	Value   int64 `json:"value"`
}

// IgnoreCase says that paths do not differ by case.
type IgnoreCase struct {
	Enabled bool `json:"enabled"`
}

// Operations are what is done to single endpoints, by operation id.
type Operations map[string]*Operation

// Operation is what is done to one endpoint. What has no type here is kept as JSON, by its name.
type Operation struct {
	PostPlugins EndpointPostPlugins
	Other       map[string]json.RawMessage
}

// UnmarshalJSON reads an operation.
func (o *Operation) UnmarshalJSON(text []byte) error {
	other := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &other); err != nil {
		return err
	}
	*o = Operation{Other: other}
	plugins, found := other["postPlugins"]
	if !found {
		return nil
	}
	delete(other, "postPlugins")
	return json.Unmarshal(plugins, &o.PostPlugins)
}

// MarshalJSON writes an operation.
func (o Operation) MarshalJSON() ([]byte, error) {
	all := make(map[string]interface{}, len(o.Other)+1)
	for name, value := range o.Other {
		all[name] = value
	}
	if len(o.PostPlugins) > 0 {
		all["postPlugins"] = o.PostPlugins
	}
	return json.Marshal(all)
}

// EndpointPostPlugin is a function at one endpoint.
type EndpointPostPlugin struct {
	Enabled      bool   `json:"enabled"`
	Name         string `json:"name,omitempty"` // an older name of FunctionName
	FunctionName string `json:"functionName"`
	Path         string `json:"path"`
}

// EndpointPostPlugins are the functions at one endpoint.
type EndpointPostPlugins []EndpointPostPlugin
