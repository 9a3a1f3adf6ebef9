// Counts requests in a Redis of its own, with go-redis.
package main

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/TykTechnologies/tyk/log"
	"github.com/TykTechnologies/tyk/request"
)

var (
	logger  = log.Get()
	counter *redis.Client
)

func init() {
	address := os.Getenv("REDIS_ADDRESS")
	if address == "" {
		address = "127.0.0.1:6379"
	}
	counter = redis.NewClient(&redis.Options{Addr: address, DialTimeout: 2 * time.Second, MaxRetries: 1})
}

// Count (Pre) counts per client address; a Redis that does not answer stops nobody.
func Count(rw http.ResponseWriter, r *http.Request) {
	within, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	count, err := counter.Incr(within, "count:"+request.RealIP(r)).Result()
	if err != nil {
		logger.WithError(err).Warn("request not counted")
		rw.Header().Set("X-Count", "unknown")
		return
	}
	if count > 1000 {
		http.Error(rw, "too many", http.StatusTooManyRequests)
		return
	}
	rw.Header().Set("X-Count", strconv.FormatInt(count, 10))
}

func main() {}
