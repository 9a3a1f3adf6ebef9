// Functions of other shapes beside real ones: they compile, are named and skipped.
package main

import (
	"net/http"
)

// Quick answers without waiting.
//
//gantry:inline
func Quick(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("X-Quick", "yes")
}

// Plain is a hook.
func Plain(writer http.ResponseWriter, request *http.Request) {
	writer.Header().Set("X-Plain", name(request))
}

// Blank takes parameters that it does not name.
func Blank(http.ResponseWriter, *http.Request) {}

// Grouped is a hook of the Response kind.
func Grouped(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	res.Header.Set("X-Grouped", "yes")
}

// WithResult returns something, so it is no hook.
func WithResult(rw http.ResponseWriter, r *http.Request) error { return nil }

// Swapped has its parameters the other way round, so it is no hook.
func Swapped(r *http.Request, rw http.ResponseWriter) {}

// Version is no hook.
func Version() string { return "1" }

func name(r *http.Request) string { return r.Method }

func main() {}
