//go:build gantry_oas

package ctx

import (
	"context"
	"testing"

	"github.com/TykTechnologies/tyk/apidef/oas"

	"gantry.example/sdk/go-tyk/call"
)

func TestOASDefinitionIsACopyInAGateway(t *testing.T) {
	r, _ := within(&call.Facts{Document: []byte(document)})
	first := GetOASDefinition(r)
	if first == nil || first.T.Info.Title != "Orders" || first.GetTykExtension().Info.ID != "orders" {
		t.Fatal(first)
	}
	first.T.Info.Title = "other"
	if GetOASDefinition(r).T.Info.Title != "Orders" {
		t.Error("not a copy")
	}
	if found, _ := r.Context().Value(OASDefinition).(*oas.OAS); found == nil {
		t.Error("the key does not answer")
	}
	facts := &call.Facts{Document: []byte("{")}
	broken, _ := within(facts)
	if GetOASDefinition(broken) != nil || len(facts.Lines()) != 1 {
		t.Error(facts.Lines())
	}
	classic, _ := within(&call.Facts{APIDefinition: []byte(`{}`)})
	if GetOASDefinition(classic) != nil || GetOASDefinition(request()) != nil || GetOASDefinition(nil) != nil {
		t.Error("a document came from nothing")
	}
}

func TestSetOASDefinitionIsWhatIsCopied(t *testing.T) {
	in, _ := within(&call.Facts{Document: []byte(document)})
	own, err := oas.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	own.GetTykExtension().Middleware.Global.PluginConfig.Data.Value["region"] = "us"
	SetOASDefinition(in, nil)
	SetOASDefinition(nil, own)
	outside := request()
	SetOASDefinition(in, own)
	SetOASDefinition(outside, own)
	if got := GetOASDefinition(in); got == own || got.ConfigData()["region"] != "us" || GetOASConfigData(in)["region"] != "us" {
		t.Error(got)
	}
	if got := GetOASDefinition(outside); got == nil || got == own || GetOASConfigData(outside)["region"] != "us" {
		t.Error(got)
	}
	byHand := request().WithContext(context.WithValue(context.Background(), OASDefinition, own))
	if GetOASDefinition(byHand) == nil {
		t.Error("a document put there by hand is not found")
	}
}
