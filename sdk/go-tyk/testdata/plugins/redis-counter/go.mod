module redis-counter

go 1.21

require (
	github.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5
	github.com/redis/go-redis/v9 v9.5.1
)
