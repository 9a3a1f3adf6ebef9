module example.com/acme/vendored

go 1.21

require (
	example.com/acme/greeting v1.2.3
	github.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5
)
