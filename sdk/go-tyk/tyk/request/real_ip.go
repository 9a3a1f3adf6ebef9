// Package request says where a request came from.
package request

import (
	"net"
	"net/http"
	"strings"

	"github.com/TykTechnologies/tyk/header"
)

// RealIP gives the client's address: the context value "remote_addr" if somebody set one, else X-Real-IP,
// else the first of X-Forwarded-For, else the address that the connection came from. Headers can be made up
// by clients: trust them only behind a proxy that sets them.
func RealIP(r *http.Request) string {
	if set, ok := r.Context().Value("remote_addr").(string); ok {
		return set
	}
	if address := r.Header.Get(header.XRealIP); address != "" {
		return address
	}
	if chain := r.Header.Get(header.XForwardFor); chain != "" {
		first, _, _ := strings.Cut(chain, ",")
		return strings.TrimSpace(first)
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}
