module oasdata

go 1.21

require (
	github.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5
	github.com/getkin/kin-openapi v0.115.0
)
