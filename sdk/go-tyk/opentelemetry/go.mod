module github.com/TykTechnologies/opentelemetry

go 1.21

require (
	gantry.example/sdk/go-tyk v0.0.0
	go.opentelemetry.io/otel v1.24.0
	go.opentelemetry.io/otel/trace v1.24.0
)

require (
	github.com/go-logr/logr v1.4.1 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	go.opentelemetry.io/otel/metric v1.24.0 // indirect
)

replace (
	gantry.example/sdk/go => ../../go
	gantry.example/sdk/go-tyk => ../
)
