// Package header holds names of headers and media types as constants. It holds nothing else.
package header

// Headers that HTTP defines.
const (
	Accept                  = "Accept"
	AcceptEncoding          = "Accept-Encoding"
	Authorization           = "Authorization"
	CacheControl            = "Cache-Control"
	Connection              = "Connection"
	ContentEncoding         = "Content-Encoding"
	ContentLength           = "Content-Length"
	ContentType             = "Content-Type"
	Cookie                  = "Cookie"
	Expires                 = "Expires"
	Host                    = "Host"
	Pragma                  = "Pragma"
	SetCookie               = "Set-Cookie"
	StrictTransportSecurity = "Strict-Transport-Security"
	TransferEncoding        = "Transfer-Encoding"
	UserAgent               = "User-Agent"
	WWWAuthenticate         = "WWW-Authenticate"
)

// Headers of a connection that changes its protocol.
const (
	SecWebSocketKey      = "Sec-WebSocket-Key"
	SecWebSocketProtocol = "Sec-WebSocket-Protocol"
	SecWebSocketVersion  = "Sec-WebSocket-Version"
	Upgrade              = "Upgrade"
)

// Media types, and the user agent of Tyk's webhooks.
const (
	ApplicationJSON    = "application/json"
	ApplicationSoapXML = "application/soap+xml"
	ApplicationXML     = "application/xml"
	TextXML            = "text/xml"
	TykHookshot        = "Tyk-Hookshot"
)

// Headers that proxies use.
const (
	XAuthResult           = "X-Auth-Result"
	XContentTypeOptions   = "X-Content-Type-Options"
	XForwardFor           = "X-Forwarded-For"
	XForwardProto         = "X-Forwarded-Proto"
	XFrameOptions         = "X-Frame-Options"
	XGenerator            = "X-Generator"
	XInitialURI           = "X-Initial-URI"
	XRealIP               = "X-Real-IP"
	XSessionAlias         = "X-Session-Alias"
	XTykAcceptExampleCode = "X-Tyk-Accept-Example-Code"
	XTykAcceptExampleName = "X-Tyk-Accept-Example-Name"
	XTykAuthorization     = "X-Tyk-Authorization"
	XTykHostname          = "x-tyk-hostname"
	XTykNodeID            = "x-tyk-nodeid"
	XTykNonce             = "x-tyk-nonce"
	XTykSessionID         = "x-tyk-session-id"
	XXSSProtection        = "X-XSS-Protection"
)

// Headers that tell a client of its limits.
const (
	XRateLimitLimit     = "X-RateLimit-Limit"
	XRateLimitRemaining = "X-RateLimit-Remaining"
	XRateLimitReset     = "X-RateLimit-Reset"
)
