package main

import (
	"net/http"

	"github.com/TykTechnologies/tyk/gateway"
)

var _ = gateway.APISpec{}

// Hook is refused: TYK_INTERNAL at the import.
func Hook(rw http.ResponseWriter, r *http.Request) {}

func main() {}
