// Reads its settings in init(), from a file and from variables.
package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/TykTechnologies/tyk/log"
)

var calls int64

func init() {
	log.Get().WithField("banner", current.Banner).Info("settings are read")
}

// Banner (Pre) refuses paths that the settings deny, and counts its calls in a global.
func Banner(rw http.ResponseWriter, r *http.Request) {
	for _, prefix := range current.Deny {
		if strings.HasPrefix(r.URL.Path, prefix) {
			http.Error(rw, "denied", http.StatusForbidden)
			return
		}
	}
	rw.Header().Set("X-Banner", current.Banner)
	rw.Header().Set("X-Calls", strconv.FormatInt(atomic.AddInt64(&calls, 1), 10))
}

func main() {}
