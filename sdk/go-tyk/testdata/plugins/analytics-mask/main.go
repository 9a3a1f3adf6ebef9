// A function for analytics records beside one for requests: the first is named and skipped, the second runs.
package main

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/TykTechnologies/tyk-pump/analytics"
)

// MaskRecord (analytics) hides the key of a record.
func MaskRecord(record *analytics.AnalyticsRecord) {
	record.APIKey = "****"
	raw, err := base64.StdEncoding.DecodeString(record.RawRequest)
	if err != nil {
		return
	}
	masked := strings.ReplaceAll(string(raw), "secret", "******")
	record.RawRequest = base64.StdEncoding.EncodeToString([]byte(masked))
	record.Tags = append(record.Tags, "masked")
	record.Latency.Total++
}

// MaskHeader (Pre) hides a header from the upstream.
func MaskHeader(rw http.ResponseWriter, r *http.Request) {
	r.Header.Set("X-Secret", "****")
}

func main() {}
