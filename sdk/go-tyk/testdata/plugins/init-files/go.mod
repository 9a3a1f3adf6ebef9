module initfiles

go 1.19

require github.com/TykTechnologies/tyk v1.9.2-0.20230330071232-370295d796b5
