package apidef

// Kinds of names.
type (
	// EndpointMethodAction says what a path that is listed does.
	EndpointMethodAction string
	// SourceMode says where a template is.
	SourceMode string
	// RequestInputType says what a body is.
	RequestInputType string
	// MiddlewareDriver says what runs custom middleware.
	MiddlewareDriver string
	// IdExtractorSource says where an id is.
	IdExtractorSource string
	// IdExtractorType says how an id is found.
	IdExtractorType string
	// AuthTypeEnum says which of several ways to authenticate gives the session.
	AuthTypeEnum string
	// RoutingTriggerOnType says whether all or any conditions must hold.
	RoutingTriggerOnType string
	// SubscriptionType says how GraphQL subscriptions travel.
	SubscriptionType string
	// AuthProviderCode names what checks keys.
	AuthProviderCode string
	// SessionProviderCode names what keeps sessions.
	SessionProviderCode string
	// StorageEngineCode names where something is kept.
	StorageEngineCode string
	// TykEvent names an event.
	TykEvent string
	// TykEventHandlerName names what handles an event.
	TykEventHandlerName string
	// AccessRequestType names an OAuth grant.
	AccessRequestType string
	// AuthorizeRequestType names an OAuth answer.
	AuthorizeRequestType string
	// GraphQLConfigVersion names an engine.
	GraphQLConfigVersion string
	// GraphQLExecutionMode says what the gateway does with a query.
	GraphQLExecutionMode string
	// IDExtractor is anything.
	IDExtractor interface{}
)

// The names that Tyk knows.
const (
	NoAction EndpointMethodAction = "no_action"
	Reply    EndpointMethodAction = "reply"

	UseBlob SourceMode = "blob"
	UseFile SourceMode = "file"

	RequestXML  RequestInputType = "xml"
	RequestJSON RequestInputType = "json"

	OttoDriver     MiddlewareDriver = "otto"
	PythonDriver   MiddlewareDriver = "python"
	LuaDriver      MiddlewareDriver = "lua"
	GrpcDriver     MiddlewareDriver = "grpc"
	GoPluginDriver MiddlewareDriver = "goplugin"

	BodySource        IdExtractorSource = "body"
	HeaderSource      IdExtractorSource = "header"
	QuerystringSource IdExtractorSource = "querystring"
	FormSource        IdExtractorSource = "form"

	ValueExtractor IdExtractorType = "value"
	XPathExtractor IdExtractorType = "xpath"
	RegexExtractor IdExtractorType = "regex"

	AuthTypeNone  AuthTypeEnum = ""
	AuthToken     AuthTypeEnum = "auth_token"
	CustomAuth    AuthTypeEnum = "custom_auth"
	HMACKey       AuthTypeEnum = "hmac_key"
	BasicAuthUser AuthTypeEnum = "basic_auth_user"
	JWTClaim      AuthTypeEnum = "jwt_claim"
	OIDCUser      AuthTypeEnum = "oidc_user"
	OAuthKey      AuthTypeEnum = "oauth_key"
	UnsetAuth     AuthTypeEnum = ""

	All RoutingTriggerOnType = "all"
	Any RoutingTriggerOnType = "any"

	GQLSubscriptionUndefined   SubscriptionType = ""
	GQLSubscriptionWS          SubscriptionType = "graphql-ws"
	GQLSubscriptionTransportWS SubscriptionType = "graphql-transport-ws"
	GQLSubscriptionSSE         SubscriptionType = "sse"

	GraphQLConfigVersionNone     GraphQLConfigVersion = ""
	GraphQLConfigVersion1        GraphQLConfigVersion = "1"
	GraphQLConfigVersion2        GraphQLConfigVersion = "2"
	GraphQLConfigVersion3Preview GraphQLConfigVersion = "3-preview"

	GraphQLExecutionModeProxyOnly       GraphQLExecutionMode = "proxyOnly"
	GraphQLExecutionModeExecutionEngine GraphQLExecutionMode = "executionEngine"
	GraphQLExecutionModeSubgraph        GraphQLExecutionMode = "subgraph"
	GraphQLExecutionModeSupergraph      GraphQLExecutionMode = "supergraph"

	TykInternalApiHeader = "x-tyk-internal"
	HeaderBaseAPIID      = "x-tyk-base-api-id"
	HeaderLocation       = "header"
	URLParamLocation     = "url-param"
	URLLocation          = "url"
	ExpirationTimeFormat = "2006-01-02 15:04"
	Self                 = "self"
	DefaultAPIVersionKey = "x-api-version"

	AuthTokenType     = "authToken"
	JWTType           = "jwt"
	HMACType          = "hmac"
	BasicType         = "basic"
	CoprocessType     = "coprocess"
	OAuthType         = "oauth"
	ExternalOAuthType = "externalOAuth"
	OIDCType          = "oidc"

	OAuthAuthorizationTypeClientCredentials = "clientCredentials"
	OAuthAuthorizationTypePassword          = "password"

	JsonRPC20      = "2.0"
	AppProtocolMCP = "mcp"
)
