module github.com/TykTechnologies/tyk

go 1.21

require (
	gantry.example/sdk/go-tyk v0.0.0
	github.com/TykTechnologies/kin-openapi v0.90.0
	github.com/getkin/kin-openapi v0.76.0
	github.com/opentracing/opentracing-go v1.2.0
	github.com/sirupsen/logrus v1.8.1
)

require (
	github.com/ghodss/yaml v1.0.0 // indirect
	github.com/go-openapi/jsonpointer v0.19.5 // indirect
	github.com/go-openapi/swag v0.19.5 // indirect
	github.com/josharian/intern v1.0.0 // indirect
	github.com/mailru/easyjson v0.7.7 // indirect
	golang.org/x/sys v0.0.0-20191026070338-33540a1f6037 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
)

replace (
	gantry.example/sdk/go => ../../go
	gantry.example/sdk/go-tyk => ../
)
