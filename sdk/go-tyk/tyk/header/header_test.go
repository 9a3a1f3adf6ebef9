package header

import (
	"net/http"
	"strings"
	"testing"
)

func TestConstantsNameTheirHeaders(t *testing.T) {
	for got, want := range map[string]string{
		Accept: "accept", AcceptEncoding: "accept-encoding", Authorization: "authorization",
		CacheControl: "cache-control", Connection: "connection", ContentEncoding: "content-encoding",
		ContentLength: "content-length", ContentType: "content-type", Cookie: "cookie", Expires: "expires",
		Host: "host", Pragma: "pragma", SetCookie: "set-cookie",
		StrictTransportSecurity: "strict-transport-security", TransferEncoding: "transfer-encoding",
		UserAgent: "user-agent", WWWAuthenticate: "www-authenticate", SecWebSocketKey: "sec-websocket-key",
		SecWebSocketProtocol: "sec-websocket-protocol", SecWebSocketVersion: "sec-websocket-version",
		Upgrade: "upgrade", ApplicationJSON: "application/json", ApplicationSoapXML: "application/soap+xml",
		ApplicationXML: "application/xml", TextXML: "text/xml", TykHookshot: "tyk-hookshot",
		XAuthResult: "x-auth-result", XContentTypeOptions: "x-content-type-options",
		XForwardFor: "x-forwarded-for", XForwardProto: "x-forwarded-proto", XFrameOptions: "x-frame-options",
		XGenerator: "x-generator", XInitialURI: "x-initial-uri", XRealIP: "x-real-ip",
		XSessionAlias: "x-session-alias", XTykAcceptExampleCode: "x-tyk-accept-example-code",
		XTykAcceptExampleName: "x-tyk-accept-example-name", XTykAuthorization: "x-tyk-authorization",
		XTykHostname: "x-tyk-hostname", XTykNodeID: "x-tyk-nodeid", XTykNonce: "x-tyk-nonce",
		XTykSessionID: "x-tyk-session-id", XXSSProtection: "x-xss-protection",
		XRateLimitLimit: "x-ratelimit-limit", XRateLimitRemaining: "x-ratelimit-remaining",
		XRateLimitReset: "x-ratelimit-reset",
	} {
		if strings.ToLower(got) != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	set := http.Header{}
	set.Set(XRealIP, "10.0.0.1")
	if set.Get("x-real-ip") != "10.0.0.1" {
		t.Error("a header set by its constant is not found")
	}
}
