package main

import (
	"net/http"

	"github.com/TykTechnologies/tyk/storage"
)

var store = storage.RedisCluster{KeyPrefix: "acme-"}

// Count is refused: TYK_STORAGE at the import.
func Count(rw http.ResponseWriter, r *http.Request) { _ = store.Connect() }

func main() {}
