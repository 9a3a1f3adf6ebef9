package oas

import (
	"encoding/json"
	"reflect"
	"testing"
)

const document = `{
  "openapi": "3.0.3",
  "info": {"title": "Orders", "version": "1"},
  "paths": {"/orders": {"get": {"operationId": "list", "responses": {"200": {"description": "ok", "content":
    {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}}}}}},
  "components": {"schemas": {"Order": {"type": "object", "properties": {"parent": {"$ref": "#/components/schemas/Order"}}}}},
  "x-tyk-api-gateway": {
    "info": {"id": "orders", "dbId": "5d8a1fc2f1a2b3c4d5e6f708", "orgId": "acme", "name": "Orders API", "state": {"active": true},
      "versioning": {"enabled": true, "name": "v1", "default": "self", "location": "header", "key": "v",
      "versions": [{"name": "v2", "id": "b"}]}},
    "upstream": {"url": "http://up", "rateLimit": {"enabled": true, "rate": 5, "per": "10s"}, "tlsTransport": {"a": 1}},
    "server": {"listenPath": {"value": "/orders/", "strip": true}, "customDomain": {"enabled": true, "name": "x.example"},
      "gatewayTags": {"enabled": true, "tags": ["t"]}, "detailedTracing": {"enabled": true},
      "authentication": {"enabled": true, "custom": {"enabled": true, "config": {"enabled": true, "functionName": "B", "path": "p.so"}},
      "securitySchemes": {"authToken": {"enabled": true}}}},
    "middleware": {
      "global": {
        "pluginConfig": {"driver": "goplugin", "bundle": {"enabled": true, "path": "b.zip"},
          "data": {"enabled": true, "value": {"region": "eu", "list": [1, 2]}}},
        "prePlugins": [{"enabled": true, "functionName": "A", "path": "p.so"}],
        "postPlugin": {"plugins": [{"enabled": true, "functionName": "D", "path": "p.so"}]},
        "transformRequestHeaders": {"enabled": true, "add": [{"name": "a", "value": "b"}]},
        "trafficLogs": {"enabled": true, "tagHeaders": []}},
      "operations": {"list": {"allow": {"enabled": true},
        "postPlugins": [{"enabled": true, "functionName": "F", "path": "p.so"}]}}
    }
  }
}`

func parsed(t *testing.T) *OAS {
	t.Helper()
	made, err := Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestDocumentGivesItsExtension(t *testing.T) {
	made := parsed(t)
	x := made.GetTykExtension()
	if x == nil || made.T.Info.Title != "Orders" {
		t.Fatal(x)
	}
	global := made.GetTykMiddleware().Global
	got := []any{x.Info.ID, x.Info.OrgID, x.Info.Name, x.Info.State.Active, x.Info.Versioning.Versions[0].ID, x.Upstream.URL,
		x.Upstream.RateLimit.Per.Seconds(), x.Server.ListenPath.Value, x.Server.ListenPath.Strip, x.Server.CustomDomain.Name,
		x.Server.GatewayTags.Tags[0], x.Server.DetailedTracing.Enabled, x.Server.Authentication.Custom.Config.FunctionName,
		global.PluginConfig.Driver == "goplugin", global.PluginConfig.Bundle.Path, global.PluginConfig.Data.Value["region"],
		global.PrePlugins[0].FunctionName, global.PostPlugin.Plugins[0].FunctionName,
		global.TransformRequestHeaders.Add.Map()["a"], x.Middleware.Operations["list"].PostPlugins[0].FunctionName}
	want := []any{"orders", "acme", "Orders API", true, "b", "http://up", 10.0, "/orders/", true, "x.example", "t", true, "B",
		true, "b.zip", "eu", "A", "D", "b", "F"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%v", got, want)
	}
	if made.GetTykExtension() != x || made.ConfigData()["region"] != "eu" {
		t.Error("the extension is not the live object")
	}
}

func TestCloneSharesNothingAndKeepsAll(t *testing.T) {
	made := parsed(t)
	copied, err := made.Clone()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain(t, made), plain(t, copied)) {
		t.Error("the copy differs")
	}
	copied.GetTykExtension().Middleware.Global.PluginConfig.Data.Value["region"] = "us"
	copied.T.Info.Title = "Other"
	if made.ConfigData()["region"] != "eu" || made.T.Info.Title != "Orders" {
		t.Error("the copy is the document's own")
	}
	var before, after map[string]any
	if json.Unmarshal([]byte(document), &before) != nil {
		t.Fatal("the document is no JSON")
	}
	after = plain(t, made)
	for name, want := range before {
		if name != "x-tyk-api-gateway" && !reflect.DeepEqual(after[name], want) {
			t.Errorf("%s: %v\n%v", name, after[name], want)
		}
	}
	operation := after["x-tyk-api-gateway"].(map[string]any)["middleware"].(map[string]any)["operations"].(map[string]any)["list"]
	if operation.(map[string]any)["allow"] == nil || operation.(map[string]any)["postPlugins"] == nil {
		t.Error(operation)
	}
}

func plain(t *testing.T, made *OAS) (fields map[string]any) {
	t.Helper()
	text, err := json.Marshal(made)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestDocumentsWithoutExtension(t *testing.T) {
	for _, text := range []string{
		`{"openapi":"3.0.3","info":{"title":"a","version":"1"},"paths":{}}`,
		`{"openapi":"3.0.3","info":{"title":"a","version":"1"},"paths":{},"x-tyk-api-gateway":{"middleware":{}}}`,
		`{"openapi":"3.0.3","info":{"title":"a","version":"1"},"paths":{},"x-tyk-api-gateway":
			{"middleware":{"global":{"pluginConfig":{"data":{"enabled":false,"value":{"a":1}}}}}}}`,
	} {
		made, err := Parse([]byte(text))
		if err != nil || made.ConfigData() != nil {
			t.Error(text, err)
		}
	}
	none := &OAS{}
	if none.GetTykExtension() != nil || none.GetTykMiddleware() != nil || none.GetTykStreamingExtension() != nil {
		t.Error("an empty document has an extension")
	}
	none.SetTykExtension(&XTykAPIGateway{Info: Info{ID: "a"}})
	none.SetTykStreamingExtension(&XTykStreaming{Info: Info{ID: "b"}})
	if none.GetTykExtension().Info.ID != "a" || none.GetTykStreamingExtension().Info.ID != "b" {
		t.Error("extensions were not set")
	}
	none.RemoveTykExtension()
	none.RemoveTykStreamingExtension()
	if none.GetTykExtension() != nil || none.GetTykStreamingExtension() != nil {
		t.Error("extensions were not removed")
	}
}

func TestBrokenDocumentsAreErrors(t *testing.T) {
	for _, text := range []string{`{`, `[]`, `"x"`} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Error(text)
		}
	}
	odd, err := Parse([]byte(`{"openapi":"3.0.3","info":{"title":"a","version":"1"},"paths":{},"x-tyk-api-gateway":5}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = odd.GetTykExtension() // of another type: nothing of it is read, and nothing panics
	unresolved := `{"openapi":"3.0.3","info":{"title":"a","version":"1"},"paths":{},
		"components":{"schemas":{"A":{"$ref":"#/components/schemas/None"}}},"x-tyk-api-gateway":{"info":{"id":"a"}}}`
	made, err := Parse([]byte(unresolved))
	if err != nil || made.GetTykExtension().Info.ID != "a" {
		t.Error(err)
	}
}
