module jwtauth

go 1.18

require (
	github.com/golang-jwt/jwt/v5 v5.2.1
	github.com/sirupsen/logrus v1.9.3
)

require (
	github.com/TykTechnologies/tyk v1.9.2-0.20230330071232-370295d796b5
	golang.org/x/sys v0.0.0-20220715151400-c0bba94af5f8 // indirect
)
