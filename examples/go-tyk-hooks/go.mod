module example.com/acme/go-tyk-hooks

go 1.21

require (
	github.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5
	github.com/google/uuid v1.6.0
)
