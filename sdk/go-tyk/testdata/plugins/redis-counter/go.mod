module redis-counter

go 1.21

require github.com/redis/go-redis/v9 v9.5.1

require (
	github.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5
	github.com/cespare/xxhash/v2 v2.2.0 // indirect
	github.com/dgryski/go-rendezvous v0.0.0-20200823014737-9f7001d12a5f // indirect
)
