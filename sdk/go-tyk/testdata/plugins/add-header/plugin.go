// Plugin of one file without a go.mod, as a first plugin is written.
package main

import (
	"net/http"

	"github.com/TykTechnologies/tyk/header"
	"github.com/TykTechnologies/tyk/log"
)

var logger = log.Get()

func init() {
	logger.Info("add-header is loaded")
}

// AddGreeting gives the request a header that the upstream sees.
func AddGreeting(rw http.ResponseWriter, r *http.Request) {
	r.Header.Add("X-Greeting", "hello")
	r.Header.Del(header.Cookie)
}

// Stop answers by itself.
func Stop(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set(header.ContentType, header.ApplicationJSON)
	rw.WriteHeader(http.StatusTeapot)
	rw.Write([]byte(`{"stopped":true}`))
}

func main() {}
