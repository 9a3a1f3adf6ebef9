// Package analytics holds the shape of an analytics record under the path that it had before it moved to
// tyk-pump, so that plugins of that time compile. The gateway makes no records, and functions that take one
// are named by gantry build and skipped. Where its method NormalisePath takes Tyk's configuration, there is
// none here.
package analytics

import (
	"sync/atomic"
	"time"
)

// Record is what Tyk records of one request.
type Record struct {
	Method        string
	Host          string
	Path          string
	RawPath       string
	ContentLength int64
	UserAgent     string
	Day           int
	Month         time.Month
	Year          int
	Hour          int
	ResponseCode  int
	APIKey        string
	TimeStamp     time.Time
	APIVersion    string
	APIName       string
	APIID         string
	OrgID         string
	OauthID       string
	RequestTime   int64 // milliseconds
	Latency       Latency
	RawRequest    string // base64
	RawResponse   string // base64
	IPAddress     string
	Geo           GeoData
	Network       NetworkStats
	Tags          []string
	Alias         string
	TrackPath     bool
	ExpireAt      time.Time `json:"expireAt"`
}

// SetExpiry says in how many seconds the record goes; in a hundred years for 0.
func (a *Record) SetExpiry(expiresInSeconds int64) {
	if expiresInSeconds == 0 {
		expiresInSeconds = 100 * 365 * 24 * 60 * 60
	}
	a.ExpireAt = time.Now().Add(time.Duration(expiresInSeconds) * time.Second)
}

// Latency is in milliseconds.
type Latency struct {
	Total    int64
	Upstream int64
}

// NetworkStats counts connections and bytes.
type NetworkStats struct {
	OpenConnections  int64
	ClosedConnection int64
	BytesIn          int64
	BytesOut         int64
}

// Flush gives the counts and begins at zero again.
func (n *NetworkStats) Flush() NetworkStats {
	return NetworkStats{
		OpenConnections:  atomic.SwapInt64(&n.OpenConnections, 0),
		ClosedConnection: atomic.SwapInt64(&n.ClosedConnection, 0),
		BytesIn:          atomic.SwapInt64(&n.BytesIn, 0),
		BytesOut:         atomic.SwapInt64(&n.BytesOut, 0),
	}
}

// GeoData is where a client is.
type GeoData struct {
	Country struct {
		ISOCode string
	}
	City struct {
		Names map[string]string
	}
	Location struct {
		Latitude  float64
		Longitude float64
		TimeZone  string
	}
}
