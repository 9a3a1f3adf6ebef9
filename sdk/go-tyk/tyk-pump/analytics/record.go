// Package analytics holds the shape of an analytics record, so that plugins compile whose source has a
// function for records beside functions for requests. The gateway makes no records, and functions that take
// one are named by gantry build and skipped.
package analytics

import "time"

// PredefinedTagGraphAnalytics is the tag of records of GraphQL requests.
const PredefinedTagGraphAnalytics = "tyk-graph-analytics"

// SQLTable is the table that Tyk keeps records in.
const SQLTable = "tyk_analytics"

// AnalyticsRecord is what Tyk records of one request.
type AnalyticsRecord struct {
	Method        string       `json:"method"`
	Host          string       `json:"host"`
	Path          string       `json:"path"`
	RawPath       string       `json:"raw_path"`
	ContentLength int64        `json:"content_length"`
	UserAgent     string       `json:"user_agent"`
	Day           int          `json:"day"`
	Month         time.Month   `json:"month"`
	Year          int          `json:"year"`
	Hour          int          `json:"hour"`
	ResponseCode  int          `json:"response_code"`
	APIKey        string       `json:"api_key"`
	TimeStamp     time.Time    `json:"timestamp"`
	APIVersion    string       `json:"api_version"`
	APIName       string       `json:"api_name"`
	APIID         string       `json:"api_id"`
	OrgID         string       `json:"org_id"`
	OauthID       string       `json:"oauth_id"`
	RequestTime   int64        `json:"request_time"` // milliseconds
	RawRequest    string       `json:"raw_request"`  // base64
	RawResponse   string       `json:"raw_response"` // base64
	IPAddress     string       `json:"ip_address"`
	Geo           GeoData      `json:"geo"`
	Network       NetworkStats `json:"network"`
	Latency       Latency      `json:"latency"`
	Tags          []string     `json:"tags"`
	Alias         string       `json:"alias"`
	TrackPath     bool         `json:"track_path"`
	ExpireAt      time.Time    `json:"expireAt"`
	ApiSchema     string       `json:"api_schema"`
}

// TableName gives SQLTable.
func (a *AnalyticsRecord) TableName() string { return SQLTable }

// SetExpiry says in how many seconds the record goes; in a hundred years for 0.
func (a *AnalyticsRecord) SetExpiry(expiresInSeconds int64) {
	if expiresInSeconds == 0 {
		expiresInSeconds = 100 * 365 * 24 * 60 * 60
	}
	a.ExpireAt = time.Now().Add(time.Duration(expiresInSeconds) * time.Second)
}

// TrimRawData cuts raw request and response to a number of bytes.
func (a *AnalyticsRecord) TrimRawData(size int) {
	a.RawRequest, a.RawResponse = trim(a.RawRequest, size), trim(a.RawResponse, size)
}

func trim(text string, size int) string {
	if size < 0 || len(text) <= size {
		return text
	}
	return text[:size]
}

// IsGraphRecord says whether the record has the tag of GraphQL requests.
func (a *AnalyticsRecord) IsGraphRecord() bool {
	for _, tag := range a.Tags {
		if tag == PredefinedTagGraphAnalytics {
			return true
		}
	}
	return false
}

// Latency is in milliseconds.
type Latency struct {
	Total    int64 `json:"total"`
	Upstream int64 `json:"upstream"`
	Gateway  int64 `json:"gateway"`
}

// NetworkStats counts connections and bytes.
type NetworkStats struct {
	OpenConnections  int64 `json:"open_connections"`
	ClosedConnection int64 `json:"closed_connections"`
	BytesIn          int64 `json:"bytes_in"`
	BytesOut         int64 `json:"bytes_out"`
}

// Country is a country.
type Country struct {
	ISOCode string `json:"iso_code"`
}

// City is a city; its names are by language.
type City struct {
	GeoNameID uint              `json:"geoname_id"`
	Names     map[string]string `json:"names"`
}

// Location is a place.
type Location struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
	TimeZone  string  `json:"time_zone"`
}

// GeoData is where a client is.
type GeoData struct {
	Country  Country  `json:"country"`
	City     City     `json:"city"`
	Location Location `json:"location"`
}
