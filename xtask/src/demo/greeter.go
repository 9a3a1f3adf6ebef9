package main

import gantry "gantry.example/sdk/go"

func init() {
	gantry.Register(gantry.Plugin{
		Name: "greeter", Version: "1.0.0",
		Functions: []gantry.Function{
			{Name: "Greet", Hooks: []gantry.Hook{gantry.Pre}, Request: greet},
		},
	})
}

func greet(call *gantry.RequestCall) error {
	call.SetResponseHeader("X-Greeting", "hello "+call.Header("X-Name"))
	return nil
}

func main() { gantry.Main() }
