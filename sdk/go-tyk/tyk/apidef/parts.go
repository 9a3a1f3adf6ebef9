package apidef

import (
	"encoding/json"
	"fmt"
	"time"
)

// ReadableDuration is a time that JSON may give as nanoseconds or as text like "5m".
type ReadableDuration time.Duration

// Seconds gives the time in seconds.
func (d ReadableDuration) Seconds() float64 { return time.Duration(d).Seconds() }

// String gives the time as text.
func (d ReadableDuration) String() string { return time.Duration(d).String() }

// MarshalJSON writes text.
func (d ReadableDuration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads text or nanoseconds.
func (d *ReadableDuration) UnmarshalJSON(text []byte) error {
	var value interface{}
	if err := json.Unmarshal(text, &value); err != nil {
		return err
	}
	switch given := value.(type) {
	case nil:
		*d = 0
	case float64:
		*d = ReadableDuration(given)
	case string:
		if given == "" {
			*d = 0
			return nil
		}
		parsed, err := time.ParseDuration(given)
		if err != nil {
			return err
		}
		*d = ReadableDuration(parsed)
	default:
		return fmt.Errorf("duration: expected text or a number, got %s", text)
	}
	return nil
}

// VersionData holds the versions of an API inside of its definition.
type VersionData struct {
	NotVersioned   bool                   `json:"not_versioned"`
	DefaultVersion string                 `json:"default_version"`
	Versions       map[string]VersionInfo `json:"versions"`
}

// VersionInfo is one version.
type VersionInfo struct {
	Name      string    `json:"name"`
	Expires   string    `json:"expires"`
	ExpiresTs time.Time `json:"-"`
	Paths     struct {
		Ignored   []string `json:"ignored"`
		WhiteList []string `json:"white_list"`
		BlackList []string `json:"black_list"`
	} `json:"paths"`
	UseExtendedPaths              bool              `json:"use_extended_paths"`
	ExtendedPaths                 ExtendedPathsSet  `json:"extended_paths"`
	GlobalHeaders                 map[string]string `json:"global_headers"`
	GlobalHeadersRemove           []string          `json:"global_headers_remove"`
	GlobalHeadersDisabled         bool              `json:"global_headers_disabled"`
	GlobalResponseHeaders         map[string]string `json:"global_response_headers"`
	GlobalResponseHeadersRemove   []string          `json:"global_response_headers_remove"`
	GlobalResponseHeadersDisabled bool              `json:"global_response_headers_disabled"`
	IgnoreEndpointCase            bool              `json:"ignore_endpoint_case"`
	GlobalSizeLimit               int64             `json:"global_size_limit"`
	GlobalSizeLimitDisabled       bool              `json:"global_size_limit_disabled"`
	OverrideTarget                string            `json:"override_target"`
}

// VersionDefinition says where a request names its version, and which APIs are versions.
type VersionDefinition struct {
	Enabled bool   `json:"enabled"`
	Name    string `json:"name"`
	Default string `json:"default"`
	// Location is header, url-param or url.
	Location             string            `json:"location"`
	Key                  string            `json:"key"`
	StripPath            bool              `json:"strip_path"`
	StripVersioningData  bool              `json:"strip_versioning_data"`
	UrlVersioningPattern string            `json:"url_versioning_pattern"`
	FallbackToDefault    bool              `json:"fallback_to_default"`
	Versions             map[string]string `json:"versions"`
	BaseID               string            `json:"-"`
}

// ResolvedDefault gives the default version's name.
func (v *VersionDefinition) ResolvedDefault() string {
	if v.Default == Self {
		return v.Name
	}
	return v.Default
}

// ProxyConfig says where requests come in and go to.
type ProxyConfig struct {
	PreserveHostHeader          bool                          `json:"preserve_host_header"`
	ListenPath                  string                        `json:"listen_path"`
	TargetURL                   string                        `json:"target_url"`
	DisableStripSlash           bool                          `json:"disable_strip_slash"`
	StripListenPath             bool                          `json:"strip_listen_path"`
	EnableLoadBalancing         bool                          `json:"enable_load_balancing"`
	Targets                     []string                      `json:"target_list"`
	CheckHostAgainstUptimeTests bool                          `json:"check_host_against_uptime_tests"`
	ServiceDiscovery            ServiceDiscoveryConfiguration `json:"service_discovery"`
	Transport                   struct {
		SSLInsecureSkipVerify   bool     `json:"ssl_insecure_skip_verify"`
		SSLCipherSuites         []string `json:"ssl_ciphers"`
		SSLMinVersion           uint16   `json:"ssl_min_version"`
		SSLMaxVersion           uint16   `json:"ssl_max_version"`
		SSLForceCommonNameCheck bool     `json:"ssl_force_common_name_check"`
		ProxyURL                string   `json:"proxy_url"`
	} `json:"transport"`
}

// ServiceDiscoveryConfiguration finds upstreams.
type ServiceDiscoveryConfiguration struct {
	UseDiscoveryService bool   `json:"use_discovery_service"`
	QueryEndpoint       string `json:"query_endpoint"`
	UseNestedQuery      bool   `json:"use_nested_query"`
	ParentDataPath      string `json:"parent_data_path"`
	DataPath            string `json:"data_path"`
	PortDataPath        string `json:"port_data_path"`
	TargetPath          string `json:"target_path"`
	UseTargetList       bool   `json:"use_target_list"`
	CacheDisabled       bool   `json:"cache_disabled"`
	CacheTimeout        int64  `json:"cache_timeout"`
	EndpointReturnsList bool   `json:"endpoint_returns_list"`
}

// AuthConfig says where a credential is.
type AuthConfig struct {
	Name              string          `json:"name"`
	UseParam          bool            `json:"use_param"`
	ParamName         string          `json:"param_name"`
	UseCookie         bool            `json:"use_cookie"`
	CookieName        string          `json:"cookie_name"`
	DisableHeader     bool            `json:"disable_header"`
	AuthHeaderName    string          `json:"auth_header_name"`
	UseCertificate    bool            `json:"use_certificate"`
	ValidateSignature bool            `json:"validate_signature"`
	Signature         SignatureConfig `json:"signature,omitempty"`
}

// SignatureConfig says how a credential is signed.
type SignatureConfig struct {
	Algorithm        string `json:"algorithm"`
	Header           string `json:"header"`
	UseParam         bool   `json:"use_param"`
	ParamName        string `json:"param_name"`
	Secret           string `json:"secret"`
	AllowedClockSkew int64  `json:"allowed_clock_skew"`
	ErrorCode        int    `json:"error_code"`
	ErrorMessage     string `json:"error_message"`
}

// AuthProviderMeta names what checks keys.
type AuthProviderMeta struct {
	Name          AuthProviderCode       `json:"name"`
	StorageEngine StorageEngineCode      `json:"storage_engine"`
	Meta          map[string]interface{} `json:"meta"`
}

// SessionProviderMeta names what keeps sessions.
type SessionProviderMeta struct {
	Name          SessionProviderCode    `json:"name"`
	StorageEngine StorageEngineCode      `json:"storage_engine"`
	Meta          map[string]interface{} `json:"meta"`
}

// JWK is where keys for tokens come from.
type JWK struct {
	URL          string           `json:"url"`
	CacheTimeout ReadableDuration `json:"cache_timeout"`
}

// ScopeClaim maps scopes to policies.
type ScopeClaim struct {
	ScopeClaimName string            `json:"scope_claim_name,omitempty"`
	ScopeToPolicy  map[string]string `json:"scope_to_policy,omitempty"`
}

// Scopes are the scopes of tokens.
type Scopes struct {
	JWT  ScopeClaim `json:"jwt,omitempty"`
	OIDC ScopeClaim `json:"oidc,omitempty"`
}

func (s Scopes) empty() bool {
	return s.JWT.ScopeClaimName == "" && s.JWT.ScopeToPolicy == nil &&
		s.OIDC.ScopeClaimName == "" && s.OIDC.ScopeToPolicy == nil
}

// OIDProviderConfig is an OpenID provider.
type OIDProviderConfig struct {
	Issuer    string            `json:"issuer"`
	ClientIDs map[string]string `json:"client_ids"`
}

// OpenIDOptions are the OpenID providers.
type OpenIDOptions struct {
	Providers         []OIDProviderConfig `json:"providers"`
	SegregateByClient bool                `json:"segregate_by_client"`
}

// ExternalOAuth checks tokens of OAuth servers of others.
type ExternalOAuth struct {
	Enabled   bool       `json:"enabled"`
	Providers []Provider `json:"providers"`
}

// Provider is an OAuth server.
type Provider struct {
	JWT           JWTValidation `json:"jwt"`
	Introspection Introspection `json:"introspection"`
}

// JWTValidation checks tokens by their signature.
type JWTValidation struct {
	Enabled                 bool   `json:"enabled"`
	SigningMethod           string `json:"signing_method"`
	Source                  string `json:"source"`
	IssuedAtValidationSkew  uint64 `json:"issued_at_validation_skew"`
	NotBeforeValidationSkew uint64 `json:"not_before_validation_skew"`
	ExpiresAtValidationSkew uint64 `json:"expires_at_validation_skew"`
	IdentityBaseField       string `json:"identity_base_field"`
}

// Introspection checks tokens by asking.
type Introspection struct {
	Enabled           bool               `json:"enabled"`
	URL               string             `json:"url"`
	ClientID          string             `json:"client_id"`
	ClientSecret      string             `json:"client_secret"`
	IdentityBaseField string             `json:"identity_base_field"`
	Cache             IntrospectionCache `json:"cache"`
}

// IntrospectionCache keeps answers.
type IntrospectionCache struct {
	Enabled bool  `json:"enabled"`
	Timeout int64 `json:"timeout"`
}

// RequestSigningMeta signs requests to the upstream.
type RequestSigningMeta struct {
	IsEnabled       bool     `json:"is_enabled"`
	Secret          string   `json:"secret"`
	KeyId           string   `json:"key_id"`
	Algorithm       string   `json:"algorithm"`
	HeaderList      []string `json:"header_list"`
	CertificateId   string   `json:"certificate_id"`
	SignatureHeader string   `json:"signature_header"`
}

// CacheOptions say how answers are cached.
type CacheOptions struct {
	CacheTimeout               int64    `json:"cache_timeout"`
	EnableCache                bool     `json:"enable_cache"`
	CacheAllSafeRequests       bool     `json:"cache_all_safe_requests"`
	CacheOnlyResponseCodes     []int    `json:"cache_response_codes"`
	EnableUpstreamCacheControl bool     `json:"enable_upstream_cache_control"`
	CacheControlTTLHeader      string   `json:"cache_control_ttl_header"`
	CacheByHeaders             []string `json:"cache_by_headers"`
}

// CORSConfig is cross-origin resource sharing.
type CORSConfig struct {
	Enable             bool     `json:"enable"`
	AllowedOrigins     []string `json:"allowed_origins"`
	AllowedMethods     []string `json:"allowed_methods"`
	AllowedHeaders     []string `json:"allowed_headers"`
	ExposedHeaders     []string `json:"exposed_headers"`
	AllowCredentials   bool     `json:"allow_credentials"`
	MaxAge             int      `json:"max_age"`
	OptionsPassthrough bool     `json:"options_passthrough"`
	Debug              bool     `json:"debug"`
}

// GlobalRateLimit bounds the requests of the whole API.
type GlobalRateLimit struct {
	Disabled bool    `json:"disabled"`
	Rate     float64 `json:"rate"`
	Per      float64 `json:"per"`
}

// RateLimitSmoothing moves a limit up and down in steps.
type RateLimitSmoothing struct {
	Enabled   bool    `json:"enabled"`
	Threshold int64   `json:"threshold"`
	Trigger   float64 `json:"trigger"`
	Step      int64   `json:"step"`
	Delay     int64   `json:"delay"` // seconds
}

// Valid says whether the values can be used.
func (r *RateLimitSmoothing) Valid() bool {
	return r != nil && r.Enabled && r.Threshold > 0 && r.Trigger > 0 && r.Step > 0 && r.Delay > 0
}

// CheckCommand is a line of a TCP check.
type CheckCommand struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// HostCheckObject is one check of an upstream.
type HostCheckObject struct {
	CheckURL            string            `json:"url"`
	Protocol            string            `json:"protocol"`
	Timeout             time.Duration     `json:"timeout"`
	EnableProxyProtocol bool              `json:"enable_proxy_protocol"`
	Commands            []CheckCommand    `json:"commands"`
	Method              string            `json:"method"`
	Headers             map[string]string `json:"headers"`
	Body                string            `json:"body"`
}

// UptimeTestsConfig says how checks are kept.
type UptimeTestsConfig struct {
	ExpireUptimeAnalyticsAfter int64                         `json:"expire_utime_after"`
	ServiceDiscovery           ServiceDiscoveryConfiguration `json:"service_discovery"`
	RecheckWait                int                           `json:"recheck_wait"`
}

// UptimeTests check upstreams.
type UptimeTests struct {
	Disabled  bool              `json:"disabled"`
	CheckList []HostCheckObject `json:"check_list"`
	Config    UptimeTestsConfig `json:"config"`
}

// UpstreamAuth authenticates at the upstream.
type UpstreamAuth struct {
	Enabled   bool              `json:"enabled"`
	BasicAuth UpstreamBasicAuth `json:"basic_auth"`
	OAuth     UpstreamOAuth     `json:"oauth"`
}

// AuthSource is a header or the like.
type AuthSource struct {
	Enabled bool   `json:"enabled"`
	Name    string `json:"name"`
}

// UpstreamBasicAuth authenticates with a password.
type UpstreamBasicAuth struct {
	Enabled  bool       `json:"enabled,omitempty"`
	Username string     `json:"username"`
	Password string     `json:"password"`
	Header   AuthSource `json:"header"`
}

// ClientAuthData is a client of an OAuth server.
type ClientAuthData struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret,omitempty"`
}

// ClientCredentials is OAuth's grant of that name.
type ClientCredentials struct {
	ClientAuthData
	Header        AuthSource `json:"header"`
	TokenURL      string     `json:"token_url"`
	Scopes        []string   `json:"scopes,omitempty"`
	ExtraMetadata []string   `json:"extra_metadata,omitempty"`
}

// PasswordAuthentication is OAuth's grant of that name.
type PasswordAuthentication struct {
	ClientAuthData
	Header        AuthSource `json:"header"`
	Username      string     `json:"username"`
	Password      string     `json:"password"`
	TokenURL      string     `json:"token_url"`
	Scopes        []string   `json:"scopes,omitempty"`
	ExtraMetadata []string   `json:"extra_metadata,omitempty"`
}

// UpstreamOAuth authenticates with a token.
type UpstreamOAuth struct {
	Enabled                bool                   `json:"enabled"`
	AllowedAuthorizeTypes  []string               `json:"allowed_authorize_types"`
	ClientCredentials      ClientCredentials      `json:"client_credentials"`
	PasswordAuthentication PasswordAuthentication `json:"password,omitempty"`
}

// GraphQLPlayground is a page to try queries on.
type GraphQLPlayground struct {
	Enabled bool   `json:"enabled"`
	Path    string `json:"path"`
}

// GraphQLConfig says what is done with GraphQL queries. The parts that only Tyk's engine reads are kept as
// JSON.
type GraphQLConfig struct {
	Enabled                 bool                 `json:"enabled"`
	ExecutionMode           GraphQLExecutionMode `json:"execution_mode"`
	Version                 GraphQLConfigVersion `json:"version"`
	Schema                  string               `json:"schema"`
	LastSchemaUpdate        *time.Time           `json:"last_schema_update,omitempty"`
	TypeFieldConfigurations json.RawMessage      `json:"type_field_configurations,omitempty"`
	GraphQLPlayground       GraphQLPlayground    `json:"playground"`
	Engine                  json.RawMessage      `json:"engine,omitempty"`
	Proxy                   json.RawMessage      `json:"proxy,omitempty"`
	Subgraph                json.RawMessage      `json:"subgraph,omitempty"`
	Supergraph              json.RawMessage      `json:"supergraph,omitempty"`
	Introspection           struct {
		Disabled bool `json:"disabled"`
	} `json:"introspection"`
}
