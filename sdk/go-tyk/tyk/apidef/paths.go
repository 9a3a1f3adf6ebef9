package apidef

// ExtendedPathsSet lists what is done to single paths.
type ExtendedPathsSet struct {
	Ignored                 []EndPointMeta        `json:"ignored,omitempty"`
	WhiteList               []EndPointMeta        `json:"white_list,omitempty"`
	BlackList               []EndPointMeta        `json:"black_list,omitempty"`
	MockResponse            []MockResponseMeta    `json:"mock_response,omitempty"`
	Cached                  []string              `json:"cache,omitempty"`
	AdvanceCacheConfig      []CacheMeta           `json:"advance_cache_config,omitempty"`
	Transform               []TemplateMeta        `json:"transform,omitempty"`
	TransformResponse       []TemplateMeta        `json:"transform_response,omitempty"`
	TransformJQ             []TransformJQMeta     `json:"transform_jq,omitempty"`
	TransformJQResponse     []TransformJQMeta     `json:"transform_jq_response,omitempty"`
	TransformHeader         []HeaderInjectionMeta `json:"transform_headers,omitempty"`
	TransformResponseHeader []HeaderInjectionMeta `json:"transform_response_headers,omitempty"`
	HardTimeouts            []HardTimeoutMeta     `json:"hard_timeouts,omitempty"`
	CircuitBreaker          []CircuitBreakerMeta  `json:"circuit_breakers,omitempty"`
	URLRewrite              []URLRewriteMeta      `json:"url_rewrites,omitempty"`
	Virtual                 []VirtualMeta         `json:"virtual,omitempty"`
	SizeLimit               []RequestSizeMeta     `json:"size_limits,omitempty"`
	MethodTransforms        []MethodTransformMeta `json:"method_transforms,omitempty"`
	TrackEndpoints          []TrackEndpointMeta   `json:"track_endpoints,omitempty"`
	DoNotTrackEndpoints     []TrackEndpointMeta   `json:"do_not_track_endpoints,omitempty"`
	ValidateJSON            []ValidatePathMeta    `json:"validate_json,omitempty"`
	ValidateRequest         []ValidateRequestMeta `json:"validate_request,omitempty"`
	Internal                []InternalMeta        `json:"internal,omitempty"`
	GoPlugin                []GoPluginMeta        `json:"go_plugin,omitempty"`
	PersistGraphQL          []PersistGraphQLMeta  `json:"persist_graphql"`
	RateLimit               []RateLimitMeta       `json:"rate_limit"`
}

// EndpointMethodMeta is what a listed path answers.
type EndpointMethodMeta struct {
	Action  EndpointMethodAction `json:"action"`
	Code    int                  `json:"code"`
	Data    string               `json:"data"`
	Headers map[string]string    `json:"headers"`
}

// EndPointMeta is a listed path.
type EndPointMeta struct {
	Disabled      bool                          `json:"disabled"`
	Path          string                        `json:"path"`
	Method        string                        `json:"method"`
	IgnoreCase    bool                          `json:"ignore_case"`
	MethodActions map[string]EndpointMethodMeta `json:"method_actions,omitempty"`
}

// MockResponseMeta answers in place of the upstream.
type MockResponseMeta struct {
	Disabled   bool              `json:"disabled"`
	Path       string            `json:"path"`
	Method     string            `json:"method"`
	IgnoreCase bool              `json:"ignore_case"`
	Code       int               `json:"code"`
	Body       string            `json:"body"`
	Headers    map[string]string `json:"headers"`
}

// CacheMeta says how answers of a path are cached.
type CacheMeta struct {
	Disabled               bool   `json:"disabled"`
	Method                 string `json:"method"`
	Path                   string `json:"path"`
	CacheKeyRegex          string `json:"cache_key_regex"`
	CacheOnlyResponseCodes []int  `json:"cache_response_codes"`
	Timeout                int64  `json:"timeout"`
}

// TemplateData is a template for a body.
type TemplateData struct {
	Input          RequestInputType `json:"input_type"`
	Mode           SourceMode       `json:"template_mode"`
	EnableSession  bool             `json:"enable_session"`
	TemplateSource string           `json:"template_source"`
}

// TemplateMeta applies a template to a path.
type TemplateMeta struct {
	Disabled     bool         `json:"disabled"`
	TemplateData TemplateData `json:"template_data"`
	Path         string       `json:"path"`
	Method       string       `json:"method"`
}

// TransformJQMeta applies a jq filter to a path.
type TransformJQMeta struct {
	Filter string `json:"filter"`
	Path   string `json:"path"`
	Method string `json:"method"`
}

// HeaderInjectionMeta adds and removes headers on a path.
type HeaderInjectionMeta struct {
	Disabled      bool              `json:"disabled"`
	DeleteHeaders []string          `json:"delete_headers"`
	AddHeaders    map[string]string `json:"add_headers"`
	Path          string            `json:"path"`
	Method        string            `json:"method"`
	ActOnResponse bool              `json:"act_on"`
}

// Enabled says whether there is anything to do.
func (h *HeaderInjectionMeta) Enabled() bool {
	return !h.Disabled && len(h.AddHeaders)+len(h.DeleteHeaders) > 0
}

// HardTimeoutMeta bounds the time of a path, in seconds.
type HardTimeoutMeta struct {
	Disabled bool        `json:"disabled"`
	Path     string      `json:"path"`
	Method   string      `json:"method"`
	TimeOut  interface{} `json:"timeout"`
}

// TrackEndpointMeta lists a path for statistics.
type TrackEndpointMeta struct {
	Disabled bool   `json:"disabled"`
	Path     string `json:"path"`
	Method   string `json:"method"`
}

// InternalMeta lists a path that clients do not reach.
type InternalMeta struct {
	Disabled bool   `json:"disabled"`
	Path     string `json:"path"`
	Method   string `json:"method"`
}

// RequestSizeMeta bounds the bodies of a path, in bytes.
type RequestSizeMeta struct {
	Disabled  bool   `json:"disabled"`
	Path      string `json:"path"`
	Method    string `json:"method"`
	SizeLimit int64  `json:"size_limit"`
}

// RateLimitMeta bounds the requests of a path.
type RateLimitMeta struct {
	Disabled bool    `json:"disabled"`
	Path     string  `json:"path"`
	Method   string  `json:"method"`
	Rate     float64 `json:"rate"`
	Per      float64 `json:"per"`
}

// Valid says whether there is a limit.
func (r *RateLimitMeta) Valid() bool { return r != nil && !r.Disabled && r.Per > 0 && r.Rate != 0 }

// CircuitBreakerMeta stops asking an upstream that fails.
type CircuitBreakerMeta struct {
	Disabled             bool    `json:"disabled"`
	Path                 string  `json:"path"`
	Method               string  `json:"method"`
	ThresholdPercent     float64 `json:"threshold_percent"`
	Samples              int64   `json:"samples"`
	ReturnToServiceAfter int     `json:"return_to_service_after"`
	DisableHalfOpenState bool    `json:"disable_half_open_state"`
}

// StringRegexMap is a pattern for a value.
type StringRegexMap struct {
	MatchPattern string `json:"match_rx"`
	Reverse      bool   `json:"reverse"`
}

// Empty says whether nothing is set.
func (r StringRegexMap) Empty() bool { return r == StringRegexMap{} }

// RoutingTriggerOptions are the conditions of a rewrite.
type RoutingTriggerOptions struct {
	HeaderMatches         map[string]StringRegexMap `json:"header_matches"`
	QueryValMatches       map[string]StringRegexMap `json:"query_val_matches"`
	PathPartMatches       map[string]StringRegexMap `json:"path_part_matches"`
	SessionMetaMatches    map[string]StringRegexMap `json:"session_meta_matches"`
	RequestContextMatches map[string]StringRegexMap `json:"request_context_matches"`
	PayloadMatches        StringRegexMap            `json:"payload_matches"`
}

// RoutingTrigger rewrites under conditions.
type RoutingTrigger struct {
	On        RoutingTriggerOnType  `json:"on"`
	Options   RoutingTriggerOptions `json:"options"`
	RewriteTo string                `json:"rewrite_to"`
}

// URLRewriteMeta rewrites a path.
type URLRewriteMeta struct {
	Disabled     bool             `json:"disabled"`
	Path         string           `json:"path"`
	Method       string           `json:"method"`
	MatchPattern string           `json:"match_pattern"`
	RewriteTo    string           `json:"rewrite_to"`
	Triggers     []RoutingTrigger `json:"triggers"`
}

// VirtualMeta answers a path with a script.
type VirtualMeta struct {
	Disabled             bool       `json:"disabled"`
	ResponseFunctionName string     `json:"response_function_name"`
	FunctionSourceType   SourceMode `json:"function_source_type"`
	FunctionSourceURI    string     `json:"function_source_uri"`
	Path                 string     `json:"path"`
	Method               string     `json:"method"`
	UseSession           bool       `json:"use_session"`
	ProxyOnError         bool       `json:"proxy_on_error"`
}

// MethodTransformMeta changes a path's method.
type MethodTransformMeta struct {
	Disabled bool   `json:"disabled"`
	Path     string `json:"path"`
	Method   string `json:"method"`
	ToMethod string `json:"to_method"`
}

// ValidatePathMeta checks bodies of a path by a JSON schema.
type ValidatePathMeta struct {
	Disabled          bool                   `json:"disabled"`
	Path              string                 `json:"path"`
	Method            string                 `json:"method"`
	Schema            map[string]interface{} `json:"schema"`
	SchemaB64         string                 `json:"schema_b64,omitempty"`
	ErrorResponseCode int                    `json:"error_response_code"`
}

// ValidateRequestMeta checks requests of a path by the OpenAPI document.
type ValidateRequestMeta struct {
	Enabled           bool   `json:"enabled"`
	Path              string `json:"path"`
	Method            string `json:"method"`
	ErrorResponseCode int    `json:"error_response_code"`
}

// PersistGraphQLMeta turns a path into a GraphQL query.
type PersistGraphQLMeta struct {
	Path      string                 `json:"path"`
	Method    string                 `json:"method"`
	Operation string                 `json:"operation"`
	Variables map[string]interface{} `json:"variables"`
}

// GoPluginMeta runs a function on a path.
type GoPluginMeta struct {
	Disabled   bool   `json:"disabled"`
	Path       string `json:"path"`
	Method     string `json:"method"`
	PluginPath string `json:"plugin_path"`
	SymbolName string `json:"func_name"`
}
