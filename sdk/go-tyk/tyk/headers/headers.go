// Package headers is the older path of package header: the same constants.
package headers

import "github.com/TykTechnologies/tyk/header"

// The constants of package header.
const (
	Accept                  = header.Accept
	AcceptEncoding          = header.AcceptEncoding
	ApplicationJSON         = header.ApplicationJSON
	ApplicationSoapXML      = header.ApplicationSoapXML
	ApplicationXML          = header.ApplicationXML
	Authorization           = header.Authorization
	CacheControl            = header.CacheControl
	Connection              = header.Connection
	ContentEncoding         = header.ContentEncoding
	ContentLength           = header.ContentLength
	ContentType             = header.ContentType
	Cookie                  = header.Cookie
	Expires                 = header.Expires
	Host                    = header.Host
	Pragma                  = header.Pragma
	SecWebSocketKey         = header.SecWebSocketKey
	SecWebSocketProtocol    = header.SecWebSocketProtocol
	SecWebSocketVersion     = header.SecWebSocketVersion
	SetCookie               = header.SetCookie
	StrictTransportSecurity = header.StrictTransportSecurity
	TextXML                 = header.TextXML
	TransferEncoding        = header.TransferEncoding
	TykHookshot             = header.TykHookshot
	Upgrade                 = header.Upgrade
	UserAgent               = header.UserAgent
	WWWAuthenticate         = header.WWWAuthenticate
	XAuthResult             = header.XAuthResult
	XContentTypeOptions     = header.XContentTypeOptions
	XForwardFor             = header.XForwardFor
	XForwardProto           = header.XForwardProto
	XFrameOptions           = header.XFrameOptions
	XGenerator              = header.XGenerator
	XInitialURI             = header.XInitialURI
	XRateLimitLimit         = header.XRateLimitLimit
	XRateLimitRemaining     = header.XRateLimitRemaining
	XRateLimitReset         = header.XRateLimitReset
	XRealIP                 = header.XRealIP
	XSessionAlias           = header.XSessionAlias
	XTykAcceptExampleCode   = header.XTykAcceptExampleCode
	XTykAcceptExampleName   = header.XTykAcceptExampleName
	XTykAuthorization       = header.XTykAuthorization
	XTykHostname            = header.XTykHostname
	XTykNodeID              = header.XTykNodeID
	XTykNonce               = header.XTykNonce
	XTykSessionID           = header.XTykSessionID
	XXSSProtection          = header.XXSSProtection
)
