package main

import (
	"net/http"

	"github.com/TykTechnologies/tyk/internal/uuid"
)

// Number is refused: TYK_INTERNAL at the import.
func Number(rw http.ResponseWriter, r *http.Request) { r.Header.Set("X-Id", uuid.NewHex()) }

func main() {}
