module github.com/TykTechnologies/tyk

go 1.21

require (
	gantry.example/sdk/go-tyk v0.0.0
	github.com/opentracing/opentracing-go v1.2.0
	github.com/sirupsen/logrus v1.8.1
)

require (
	github.com/stretchr/testify v1.8.1 // indirect
	golang.org/x/sys v0.0.0-20191026070338-33540a1f6037 // indirect
)

replace (
	gantry.example/sdk/go => ../../go
	gantry.example/sdk/go-tyk => ../
)
