package request

import (
	"context"
	"net/http"
	"testing"
)

func TestRealIPTakesTheNearestSource(t *testing.T) {
	for name, c := range map[string]struct {
		headers map[string]string
		remote  string
		value   any
		want    string
	}{
		"connection":           {nil, "10.0.0.1:80", nil, "10.0.0.1"},
		"connection, IPv6":     {nil, "[::1]:80", nil, "::1"},
		"connection, no port":  {nil, "10.0.0.1", nil, "10.0.0.1"},
		"X-Forwarded-For, one": {map[string]string{"X-Forwarded-For": "10.0.0.2"}, "10.0.0.1:80", nil, "10.0.0.2"},
		"X-Forwarded-For, two": {map[string]string{"X-Forwarded-For": " 10.0.0.2 , 10.0.0.3"}, "10.0.0.1:80", nil, "10.0.0.2"},
		"X-Real-IP first":      {map[string]string{"X-Real-Ip": "10.0.0.4", "X-Forwarded-For": "10.0.0.2"}, "10.0.0.1:80", nil, "10.0.0.4"},
		"context before all":   {map[string]string{"X-Real-Ip": "10.0.0.4"}, "10.0.0.1:80", "10.0.0.5", "10.0.0.5"},
		"context of no string": {nil, "10.0.0.1:80", 5, "10.0.0.1"},
	} {
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		for key, value := range c.headers {
			r.Header.Set(key, value)
		}
		if c.value != nil {
			r = r.WithContext(context.WithValue(r.Context(), "remote_addr", c.value)) //nolint // Tyk's key is a string
		}
		if got := RealIP(r); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}
