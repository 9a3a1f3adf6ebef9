// Hands values from one hook to the next in the request's context.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/TykTechnologies/tyk/ctx"
)

type key int

const started key = 1

type visit struct {
	At    time.Time
	Steps []string
}

// First (Pre) puts a value of its own and Tyk's context data into the context.
func First(rw http.ResponseWriter, r *http.Request) {
	within := context.WithValue(r.Context(), started, &visit{At: time.Now(), Steps: []string{"first"}})
	within = context.WithValue(within, ctx.ContextData, map[string]interface{}{"colour": "green"})
	*r = *r.WithContext(within)
}

// Second (Post) finds both.
func Second(rw http.ResponseWriter, r *http.Request) {
	seen, found := r.Context().Value(started).(*visit)
	if !found {
		http.Error(rw, "nothing came from the first hook", http.StatusInternalServerError)
		return
	}
	seen.Steps = append(seen.Steps, "second")
	data, _ := r.Context().Value(ctx.ContextData).(map[string]interface{})
	colour, _ := data["colour"].(string)
	r.Header.Set("X-Colour", colour)
	r.Header.Set("X-Steps", seen.Steps[0]+","+seen.Steps[1])
}

// Last (Response) still finds them.
func Last(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	if seen, found := req.Context().Value(started).(*visit); found {
		res.Header.Set("X-Last-Step", seen.Steps[len(seen.Steps)-1])
	}
}

func main() {}
