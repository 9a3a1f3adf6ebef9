// Rules on paths, with Tyk's wrapper of regular expressions.
package main

import (
	"net/http"

	"github.com/TykTechnologies/tyk/regexp"
)

var (
	order = regexp.MustCompile(`^/[^/]+/orders/([0-9]+)$`)
	words = regexp.MustCompile(`[aeiou]`)
)

// OrderNumber (Pre) takes the number of an order out of the path.
func OrderNumber(rw http.ResponseWriter, r *http.Request) {
	if found := order.FindStringSubmatch(r.URL.Path); len(found) == 2 {
		r.Header.Set("X-Order", found[1])
	}
	if matched, err := regexp.MatchString(`(?i)^/[^/]+/admin`, r.URL.Path); err == nil && matched {
		http.Error(rw, "not here", http.StatusNotFound)
		return
	}
	r.Header.Set("X-Path-Without-Vowels", words.ReplaceAllString(r.URL.Path, ""))
}

func main() {}
