package main

import (
	"testing"

	gantry "gantry.example/sdk/go"
	"gantry.example/sdk/go/gantrytest"
)

func TestCorrelateJoinsTagAndTrace(t *testing.T) {
	done := gantrytest.New(gantry.Pre).Header("X-Tag", "blue").Header("X-Trace-Id", "1234").Run(t, "Correlate")
	if !done.Continued() || done.Header("x-correlation-id") != "blue/1234" {
		t.Error(done)
	}
}

func TestMaintenanceAnswersForClosedPathsOnly(t *testing.T) {
	config := `{"closed":["/shop/checkout"]}`
	done := gantrytest.New(gantry.Pre).Config(config).Path("/shop/checkout/1").Run(t, "Maintenance")
	if !done.Answered() || done.Status() != "503" || done.ResponseHeader("retry-after") != "600" {
		t.Error(done)
	}
	done = gantrytest.New(gantry.Pre).Config(config).Path("/shop/checkouts").Run(t, "Maintenance")
	if !done.Continued() {
		t.Error(done)
	}
}

func TestMaintenanceRefusesABrokenConfiguration(t *testing.T) {
	if err := gantrytest.New(gantry.Pre).Config(`{"closed":1}`).StartError("Maintenance"); err == nil {
		t.Error("it started")
	}
}
