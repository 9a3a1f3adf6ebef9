package main

import (
	"net/http"

	"github.com/TykTechnologies/tyk/config"
)

// Secret is refused: TYK_CONFIG at the import.
func Secret(rw http.ResponseWriter, r *http.Request) { r.Header.Set("X-S", config.Global().Secret) }

func main() {}
