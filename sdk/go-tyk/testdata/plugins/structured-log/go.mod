module structuredlog

go 1.20

require github.com/sirupsen/logrus v1.8.1

require (
	github.com/TykTechnologies/tyk v1.9.2-0.20230330071232-370295d796b5
	golang.org/x/sys v0.0.0-20191026070338-33540a1f6037 // indirect
)
