package oas

import (
	"encoding/json"

	"github.com/TykTechnologies/tyk/apidef"
)

// XTykAPIGateway is Tyk's extension.
type XTykAPIGateway struct {
	Info           Info            `json:"info"`
	Upstream       Upstream        `json:"upstream"`
	Server         Server          `json:"server"`
	Middleware     *Middleware     `json:"middleware,omitempty"`
	ErrorOverrides json.RawMessage `json:"errorOverrides,omitempty"`
}

// XTykStreaming is the extension for streams.
type XTykStreaming struct {
	Info       Info                   `json:"info"`
	Server     Server                 `json:"server"`
	Streams    map[string]interface{} `json:"streams"`
	Middleware *Middleware            `json:"middleware,omitempty"`
}

// Info names the API.
type Info struct {
	ID         string          `json:"id,omitempty"`
	DBID       apidef.ObjectID `json:"dbId,omitempty"`
	OrgID      string          `json:"orgId,omitempty"`
	Name       string          `json:"name"`
	Expiration string          `json:"expiration,omitempty"`
	State      State           `json:"state"`
	Versioning *Versioning     `json:"versioning,omitempty"`
}

// State says whether the API is served, and to whom.
type State struct {
	Active   bool `json:"active"`
	Internal bool `json:"internal,omitempty"`
}

// Versioning says where a request names its version, and which APIs are versions.
type Versioning struct {
	Enabled              bool          `json:"enabled"`
	Name                 string        `json:"name,omitempty"`
	Default              string        `json:"default"`
	Location             string        `json:"location"`
	Key                  string        `json:"key"`
	Versions             []VersionToID `json:"versions"`
	StripVersioningData  bool          `json:"stripVersioningData,omitempty"`
	UrlVersioningPattern string        `json:"urlVersioningPattern,omitempty"`
	FallbackToDefault    bool          `json:"fallbackToDefault,omitempty"`
}

// VersionToID names the API that is a version.
type VersionToID struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// Upstream is where requests go to.
type Upstream struct {
	URL                         string              `json:"url"`
	ServiceDiscovery            json.RawMessage     `json:"serviceDiscovery,omitempty"`
	UptimeTests                 json.RawMessage     `json:"uptimeTests,omitempty"`
	MutualTLS                   json.RawMessage     `json:"mutualTLS,omitempty"`
	CertificatePinning          json.RawMessage     `json:"certificatePinning,omitempty"`
	RateLimit                   *RateLimit          `json:"rateLimit,omitempty"`
	Authentication              json.RawMessage     `json:"authentication,omitempty"`
	LoadBalancing               json.RawMessage     `json:"loadBalancing,omitempty"`
	PreserveHostHeader          *PreserveHostHeader `json:"preserveHostHeader,omitempty"`
	PreserveTrailingSlash       json.RawMessage     `json:"preserveTrailingSlash,omitempty"`
	TLSTransport                json.RawMessage     `json:"tlsTransport,omitempty"`
	Proxy                       json.RawMessage     `json:"proxy,omitempty"`
	CheckHostAgainstUptimeTests json.RawMessage     `json:"checkHostAgainstUptimeTests,omitempty"`
}

// RateLimit bounds requests to the upstream; Per is a duration like "10s".
type RateLimit struct {
	Enabled bool                    `json:"enabled"`
	Rate    int                     `json:"rate"`
	Per     apidef.ReadableDuration `json:"per"`
}

// PreserveHostHeader hands the client's host on.
type PreserveHostHeader struct {
	Enabled bool `json:"enabled"`
}

// Server is where requests come in.
type Server struct {
	ListenPath           ListenPath            `json:"listenPath"`
	Authentication       *Authentication       `json:"authentication,omitempty"`
	ClientCertificates   *ClientCertificates   `json:"clientCertificates,omitempty"`
	GatewayTags          *GatewayTags          `json:"gatewayTags,omitempty"`
	CustomDomain         *Domain               `json:"customDomain,omitempty"`
	DetailedActivityLogs *DetailedActivityLogs `json:"detailedActivityLogs,omitempty"`
	DetailedTracing      *DetailedTracing      `json:"detailedTracing,omitempty"`
	EventHandlers        json.RawMessage       `json:"eventHandlers,omitempty"`
	IPAccessControl      json.RawMessage       `json:"ipAccessControl,omitempty"`
	BatchProcessing      json.RawMessage       `json:"batchProcessing,omitempty"`
	Protocol             string                `json:"protocol,omitempty"`
	Port                 int                   `json:"port,omitempty"`
}

// ListenPath is the path that requests come in at.
type ListenPath struct {
	Value string `json:"value"`
	Strip bool   `json:"strip,omitempty"`
}

// ClientCertificates lists the certificates of clients.
type ClientCertificates struct {
	Enabled   bool     `json:"enabled"`
	Allowlist []string `json:"allowlist"`
}

// GatewayTags say which gateways serve the API.
type GatewayTags struct {
	Enabled bool     `json:"enabled"`
	Tags    []string `json:"tags"`
}

// Domain is the host that requests come in at.
type Domain struct {
	Enabled      bool     `json:"enabled"`
	Name         string   `json:"name"`
	Certificates []string `json:"certificates,omitempty"`
}

// DetailedActivityLogs record requests whole.
type DetailedActivityLogs struct {
	Enabled bool `json:"enabled"`
}

// DetailedTracing traces each step.
type DetailedTracing struct {
	Enabled bool `json:"enabled"`
}

// Authentication says how clients authenticate. Schemes are as in the document: JSON values.
type Authentication struct {
	Enabled                bool                   `json:"enabled"`
	StripAuthorizationData bool                   `json:"stripAuthorizationData,omitempty"`
	BaseIdentityProvider   apidef.AuthTypeEnum    `json:"baseIdentityProvider,omitempty"`
	HMAC                   json.RawMessage        `json:"hmac,omitempty"`
	OIDC                   json.RawMessage        `json:"oidc,omitempty"`
	Custom                 *CustomPluginAuth      `json:"custom,omitempty"`
	SecuritySchemes        map[string]interface{} `json:"securitySchemes,omitempty"`
	CustomKeyLifetime      json.RawMessage        `json:"customKeyLifetime,omitempty"`
	SecurityProcessingMode string                 `json:"securityProcessingMode,omitempty"`
	Security               [][]string             `json:"security,omitempty"`
}

// CustomPluginAuth authenticates with a function.
type CustomPluginAuth struct {
	Enabled bool                  `json:"enabled"`
	Config  *AuthenticationPlugin `json:"config,omitempty"`
}

// AuthenticationPlugin is the function that authenticates.
type AuthenticationPlugin struct {
	Enabled        bool            `json:"enabled"`
	FunctionName   string          `json:"functionName"`
	Path           string          `json:"path"`
	RawBodyOnly    bool            `json:"rawBodyOnly,omitempty"`
	RequireSession bool            `json:"requireSession,omitempty"`
	IDExtractor    json.RawMessage `json:"idExtractor,omitempty"`
}
