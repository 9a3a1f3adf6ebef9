package ctx

// Key is a key of Tyk's in the context of a request.
type Key uint

// The keys that hold data. Where a name is missing between two, Tyk has a key there that steers Tyk itself,
// which is refused here by name: refused.json says why. Numbers are Tyk's.
const (
	// SessionData is the session, *user.SessionState.
	SessionData Key = iota
	_               // UpdateSession
	// AuthToken is the consumer key, string.
	AuthToken
	_ // HashedAuthToken
	_ // VersionData
	_ // VersionName
	_ // VersionDefault
	_ // OrgSessionContext
	// ContextData holds values for all hooks of the request, map[string]interface{}.
	ContextData
	_ // RetainHost
	// TrackThisEndpoint asks Tyk to count a request by its path. Setting it has no effect here.
	TrackThisEndpoint
	// DoNotTrackThisEndpoint asks Tyk to keep a request out of its statistics. Setting it has no effect here.
	DoNotTrackThisEndpoint
	_ // UrlRewritePath
	_ // InternalRedirectTarget
	_ // RequestMethod
	// OrigRequestURL is the URL before Tyk rewrote it, *url.URL; nothing here unless a plugin sets it.
	OrigRequestURL
	_ // LoopLevel
	_ // LoopLevelLimit
	_ // ThrottleLevel
	_ // ThrottleLevelLimit
	// Trace is Tyk's switch for traces, bool; nothing here unless a plugin sets it.
	Trace
	_ // CheckLoopLimits
	_ // UrlRewriteTarget
	_ // TransformedRequestMethod
	// Definition is the API definition of the classic kind, *apidef.APIDefinition.
	Definition
	_ // RequestStatus
	_ // GraphQLRequest
	_ // GraphQLIsWebSocketUpgrade
	_ // CacheOptions
	// OASDefinition is the OpenAPI document, *oas.OAS.
	OASDefinition
	_ // SelfLooping
	// RequestStartTime is when the request came, time.Time; nothing here unless a plugin sets it.
	RequestStartTime
	_ // ErrorClassification
	_ // JsonRPCRouting
	_ // JSONRPCRequest
	_ // JSONRPCRoutingState
	_ // MCPRouting
	// MCPMethod, MCPPrimitiveType and MCPPrimitiveName tell of an MCP request, string; nothing here unless a
	// plugin sets them.
	MCPMethod
	MCPPrimitiveType
	MCPPrimitiveName
	// JSONRPCErrorCode is the code of a JSON-RPC error, int; nothing here unless a plugin sets it.
	JSONRPCErrorCode
	_ // MatchedIdPBinding
)
