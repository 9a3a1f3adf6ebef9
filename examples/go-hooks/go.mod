module gantry.example/examples/go-hooks

go 1.21

require gantry.example/sdk/go v0.0.0

replace gantry.example/sdk/go => ../../sdk/go
