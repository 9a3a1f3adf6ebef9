module structuredlog

go 1.20

require (
	github.com/TykTechnologies/tyk v1.9.2-0.20230330071232-370295d796b5
	github.com/sirupsen/logrus v1.8.1
)
