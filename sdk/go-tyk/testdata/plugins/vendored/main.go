// Vendored: everything that it imports lies in vendor/.
package main

import (
	"net/http"

	"example.com/acme/greeting"

	"github.com/TykTechnologies/tyk/ctx"
)

// Greet (Pre or Post) greets the session's owner.
func Greet(rw http.ResponseWriter, r *http.Request) {
	name := ""
	if session := ctx.GetSession(r); session != nil {
		name = session.Alias
	}
	rw.Header().Set("X-Greeting", greeting.Of(name))
}

func main() {}
