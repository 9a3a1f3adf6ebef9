package main

import "net/http"

// Greet sets a header of the answer, whoever gives it.
func Greet(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("X-Greeting", "hello "+r.Header.Get("X-Name"))
}
