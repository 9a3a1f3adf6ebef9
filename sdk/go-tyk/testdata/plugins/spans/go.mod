module example.com/acme/spans

go 1.20

require (
	github.com/TykTechnologies/opentelemetry v0.0.21
	github.com/TykTechnologies/tyk v1.9.2-0.20240412150117-df79cb1f1a54
)
