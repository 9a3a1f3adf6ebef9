module gantry.example/sdk/go-tyk

go 1.21

require gantry.example/sdk/go v0.0.0

replace gantry.example/sdk/go => ../go
