// Package apidef holds the shape of an API definition of the classic kind: names, types and JSON are Tyk's.
// It only holds and decodes. The gateway's own definitions use the same names, so what a plugin sees is what
// the gateway was given; fields that the gateway does not know are zero.
package apidef

import (
	"encoding/json"
	"time"
)

// ObjectID is the id of a definition in Tyk's database, hexadecimal.
type ObjectID string

// Hex gives the id's text.
func (id ObjectID) Hex() string { return string(id) }

// String gives the id's text.
func (id ObjectID) String() string { return string(id) }

// Valid says whether the id has the 24 hexadecimal characters of a database's.
func (id ObjectID) Valid() bool {
	if len(id) != 24 {
		return false
	}
	for _, c := range id {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// APIDefinition is one API.
type APIDefinition struct {
	Id                  ObjectID      `json:"id,omitempty"`
	Name                string        `json:"name"`
	Expiration          string        `json:"expiration,omitempty"`
	ExpirationTs        time.Time     `json:"-"`
	Slug                string        `json:"slug"`
	ListenPort          int           `json:"listen_port"`
	Protocol            string        `json:"protocol"`
	EnableProxyProtocol bool          `json:"enable_proxy_protocol"`
	JsonRpcVersion      string        `json:"json_rpc_version,omitempty"`
	ApplicationProtocol string        `json:"application_protocol,omitempty"`
	APIID               string        `json:"api_id"`
	OrgID               string        `json:"org_id"`
	UseKeylessAccess    bool          `json:"use_keyless"`
	UseOauth2           bool          `json:"use_oauth2"`
	ExternalOAuth       ExternalOAuth `json:"external_oauth"`
	UseOpenID           bool          `json:"use_openid"`
	OpenIDOptions       OpenIDOptions `json:"openid_options"`
	Oauth2Meta          struct {
		AllowedAccessTypes     []AccessRequestType    `json:"allowed_access_types"`
		AllowedAuthorizeTypes  []AuthorizeRequestType `json:"allowed_authorize_types"`
		AuthorizeLoginRedirect string                 `json:"auth_login_redirect"`
	} `json:"oauth_meta"`
	// Deprecated: AuthConfigs holds one for each way to authenticate.
	Auth         AuthConfig            `json:"auth"`
	AuthConfigs  map[string]AuthConfig `json:"auth_configs"`
	UseBasicAuth bool                  `json:"use_basic_auth"`
	BasicAuth    struct {
		DisableCaching     bool   `json:"disable_caching"`
		CacheTTL           int    `json:"cache_ttl"`
		ExtractFromBody    bool   `json:"extract_from_body"`
		BodyUserRegexp     string `json:"body_user_regexp"`
		BodyPasswordRegexp string `json:"body_password_regexp"`
	} `json:"basic_auth"`
	UseMutualTLSAuth             bool              `json:"use_mutual_tls_auth"`
	ClientCertificates           []string          `json:"client_certificates"`
	UpstreamCertificates         map[string]string `json:"upstream_certificates"`
	UpstreamCertificatesDisabled bool              `json:"upstream_certificates_disabled,omitempty"`
	PinnedPublicKeys             map[string]string `json:"pinned_public_keys"`
	CertificatePinningDisabled   bool              `json:"certificate_pinning_disabled,omitempty"`
	EnableJWT                    bool              `json:"enable_jwt"`
	UseStandardAuth              bool              `json:"use_standard_auth"`
	// Deprecated: CustomPluginAuthEnabled is its newer name.
	UseGoPluginAuth bool `json:"use_go_plugin_auth"`
	// Deprecated: CustomPluginAuthEnabled is its newer name.
	EnableCoProcessAuth                  bool                   `json:"enable_coprocess_auth"`
	CustomPluginAuthEnabled              bool                   `json:"custom_plugin_auth_enabled"`
	JWTSigningMethod                     string                 `json:"jwt_signing_method"`
	JWTSource                            string                 `json:"jwt_source"`
	JWTJwksURIs                          []JWK                  `json:"jwt_jwks_uris"`
	JWTIdentityBaseField                 string                 `json:"jwt_identity_base_field"`
	JWTClientIDBaseField                 string                 `json:"jwt_client_base_field"`
	JWTPolicyFieldName                   string                 `json:"jwt_policy_field_name"`
	JWTDefaultPolicies                   []string               `json:"jwt_default_policies"`
	JWTIssuedAtValidationSkew            uint64                 `json:"jwt_issued_at_validation_skew"`
	JWTExpiresAtValidationSkew           uint64                 `json:"jwt_expires_at_validation_skew"`
	JWTNotBeforeValidationSkew           uint64                 `json:"jwt_not_before_validation_skew"`
	JWTSkipKid                           bool                   `json:"jwt_skip_kid"`
	Scopes                               Scopes                 `json:"scopes,omitempty"`
	IDPClientIDMappingDisabled           bool                   `json:"idp_client_id_mapping_disabled"`
	JWTScopeToPolicyMapping              map[string]string      `json:"jwt_scope_to_policy_mapping"`
	JWTScopeClaimName                    string                 `json:"jwt_scope_claim_name"`
	NotificationsDetails                 NotificationsManager   `json:"notifications"`
	EnableSignatureChecking              bool                   `json:"enable_signature_checking"`
	HmacAllowedClockSkew                 float64                `json:"hmac_allowed_clock_skew"`
	HmacAllowedAlgorithms                []string               `json:"hmac_allowed_algorithms"`
	RequestSigning                       RequestSigningMeta     `json:"request_signing"`
	BaseIdentityProvidedBy               AuthTypeEnum           `json:"base_identity_provided_by"`
	VersionDefinition                    VersionDefinition      `json:"definition"`
	VersionData                          VersionData            `json:"version_data"`
	UptimeTests                          UptimeTests            `json:"uptime_tests"`
	Proxy                                ProxyConfig            `json:"proxy"`
	DisableRateLimit                     bool                   `json:"disable_rate_limit"`
	DisableQuota                         bool                   `json:"disable_quota"`
	CustomMiddleware                     MiddlewareSection      `json:"custom_middleware"`
	CustomMiddlewareBundle               string                 `json:"custom_middleware_bundle"`
	CustomMiddlewareBundleDisabled       bool                   `json:"custom_middleware_bundle_disabled"`
	CacheOptions                         CacheOptions           `json:"cache_options"`
	SessionLifetimeRespectsKeyExpiration bool                   `json:"session_lifetime_respects_key_expiration,omitempty"`
	SessionLifetime                      int64                  `json:"session_lifetime"`
	Active                               bool                   `json:"active"`
	Internal                             bool                   `json:"internal"`
	AuthProvider                         AuthProviderMeta       `json:"auth_provider"`
	SessionProvider                      SessionProviderMeta    `json:"session_provider"`
	EventHandlers                        EventHandlerMetaConfig `json:"event_handlers"`
	EnableBatchRequestSupport            bool                   `json:"enable_batch_request_support"`
	EnableIpWhiteListing                 bool                   `json:"enable_ip_whitelisting"`
	AllowedIPs                           []string               `json:"allowed_ips"`
	EnableIpBlacklisting                 bool                   `json:"enable_ip_blacklisting"`
	BlacklistedIPs                       []string               `json:"blacklisted_ips"`
	IPAccessControlDisabled              bool                   `json:"ip_access_control_disabled"`
	DontSetQuotasOnCreate                bool                   `json:"dont_set_quota_on_create"`
	ExpireAnalyticsAfter                 int64                  `json:"expire_analytics_after"`
	ResponseProcessors                   []ResponseProcessor    `json:"response_processors"`
	CORS                                 CORSConfig             `json:"CORS"`
	Domain                               string                 `json:"domain"`
	DomainDisabled                       bool                   `json:"domain_disabled,omitempty"`
	Certificates                         []string               `json:"certificates"`
	DoNotTrack                           bool                   `json:"do_not_track"`
	EnableContextVars                    bool                   `json:"enable_context_vars"`
	ConfigData                           map[string]interface{} `json:"config_data"`
	ConfigDataDisabled                   bool                   `json:"config_data_disabled"`
	TagHeaders                           []string               `json:"tag_headers"`
	GlobalRateLimit                      GlobalRateLimit        `json:"global_rate_limit"`
	StripAuthData                        bool                   `json:"strip_auth_data"`
	EnableDetailedRecording              bool                   `json:"enable_detailed_recording"`
	GraphQL                              GraphQLConfig          `json:"graphql"`
	AnalyticsPlugin                      AnalyticsPluginConfig  `json:"analytics_plugin,omitempty"`
	TagsDisabled                         bool                   `json:"tags_disabled,omitempty"`
	Tags                                 []string               `json:"tags"`
	IsOAS                                bool                   `json:"is_oas,omitempty"`
	VersionName                          string                 `json:"-"`
	DetailedTracing                      bool                   `json:"detailed_tracing"`
	UpstreamAuth                         UpstreamAuth           `json:"upstream_auth"`
	SecurityRequirements                 [][]string             `json:"security_requirements,omitempty"`
}

// GetAPIDomain gives the domain; empty if it is disabled.
func (a *APIDefinition) GetAPIDomain() string {
	if a.DomainDisabled {
		return ""
	}
	return a.Domain
}

// IsMCP says whether the API speaks the Model Context Protocol.
func (a *APIDefinition) IsMCP() bool { return a.ApplicationProtocol == AppProtocolMCP }

// IsChildAPI says whether the API is a version of another.
func (a *APIDefinition) IsChildAPI() bool {
	base := a.VersionDefinition.BaseID
	return base != "" && base != a.APIID
}

// IsBaseAPI says whether other APIs are versions of this one.
func (a *APIDefinition) IsBaseAPI() bool {
	return len(a.VersionDefinition.Versions) > 0 && !a.IsChildAPI()
}

// IsBaseAPIWithVersioning says whether the API has a version name of its own and versioning switched on.
func (a *APIDefinition) IsBaseAPIWithVersioning() bool {
	return a.VersionDefinition.Enabled && a.VersionDefinition.Name != "" && !a.IsChildAPI()
}

// GetScopeClaimName names the claim that holds scopes, from Scopes if that says anything, else from the
// older field.
func (a *APIDefinition) GetScopeClaimName() string {
	switch {
	case a.Scopes.empty():
		return a.JWTScopeClaimName
	case a.UseOpenID:
		return a.Scopes.OIDC.ScopeClaimName
	}
	return a.Scopes.JWT.ScopeClaimName
}

// GetScopeToPolicyMapping maps scopes to policies, from Scopes if that says anything, else from the older
// field.
func (a *APIDefinition) GetScopeToPolicyMapping() map[string]string {
	switch {
	case a.Scopes.empty():
		return a.JWTScopeToPolicyMapping
	case a.UseOpenID:
		return a.Scopes.OIDC.ScopeToPolicy
	}
	return a.Scopes.JWT.ScopeToPolicy
}

// Clone gives a copy that shares nothing.
func (a *APIDefinition) Clone() (*APIDefinition, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	copied := new(APIDefinition)
	if err := json.Unmarshal(text, copied); err != nil {
		return nil, err
	}
	copied.ExpirationTs, copied.VersionName = a.ExpirationTs, a.VersionName
	copied.VersionDefinition.BaseID = a.VersionDefinition.BaseID
	return copied, nil
}
