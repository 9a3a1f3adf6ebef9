module gantry.example/sdk/go

go 1.21
