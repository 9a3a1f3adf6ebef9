package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/TykTechnologies/tyk/ctx"
)

// Reroute is refused: TYK_CONTEXT_KEY at ctx.UrlRewriteTarget.
func Reroute(rw http.ResponseWriter, r *http.Request) {
	target, _ := url.Parse("http://127.0.0.1:1/")
	*r = *r.WithContext(context.WithValue(r.Context(), ctx.UrlRewriteTarget, target))
}

func main() {}
