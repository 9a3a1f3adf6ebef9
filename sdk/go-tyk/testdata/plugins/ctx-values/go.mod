module ctxvalues

go 1.21

require github.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5
