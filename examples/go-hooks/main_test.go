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

func maskFields(body string) *gantrytest.Call {
	config := `{"masked":["card"]}`
	return gantrytest.New(gantry.Response).Config(config).ResponseHeader("Content-Type", "application/json; charset=utf-8").
		Body(body)
}

func TestMaskFieldsMasksWhereverTheFieldIs(t *testing.T) {
	done := maskFields(`{"card":"4711","total":1.50,"items":[{"card":{"a":1}},2]}`).ResponseHeader("ETag", "1").
		Run(t, "MaskFields")
	if done.ResponseBody() != `{"card":"***","items":[{"card":"***"},2],"total":1.50}` || done.ResponseHeader("etag") != "" {
		t.Error(done)
	}
}

func TestMaskFieldsLeavesOtherBodiesAsTheyAre(t *testing.T) {
	body := "{ \"total\": 1 }"
	if done := maskFields(body).Run(t, "MaskFields"); !done.Continued() || done.ResponseBody() != body {
		t.Error(done)
	}
	done := gantrytest.New(gantry.Response).ResponseHeader("Content-Type", "text/plain").Body("card").Run(t, "MaskFields")
	if !done.Continued() || done.ResponseBody() != "card" {
		t.Error(done)
	}
}

func TestMaskFieldsFailsWhereItCannotRead(t *testing.T) {
	for _, call := range []*gantrytest.Call{maskFields("{"), maskFields(`{}{"card":1}`), maskFields("{}").ResponseHeader("Content-Encoding", "br")} {
		if done := call.Run(t, "MaskFields"); !done.Failed() {
			t.Error(done)
		}
	}
}
