module acme_legacy

go 1.12

require github.com/TykTechnologies/tyk v2.9.5+incompatible
