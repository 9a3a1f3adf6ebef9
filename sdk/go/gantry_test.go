package gantry

import (
	"strings"
	"testing"

	"gantry.example/sdk/go/layer"
)

func nothing(*RequestCall) error       { return nil }
func nothingAfter(*ResponseCall) error { return nil }
func noLayer(layer.Place) (layer.Function, error) {
	return nil, nil
}
func request(name string, hooks ...Hook) Function {
	return Function{Name: name, Hooks: hooks, Request: nothing}
}

func TestPluginThatBreaksARuleIsRefusedByName(t *testing.T) {
	both := request("Both", Pre)
	both.Response = nothingAfter
	twice := request("Twice", Pre)
	twice.Detached, twice.MayBlock = true, true
	inline := request("Inline", Pre)
	inline.Inline = true
	for want, functions := range map[string][]Function{
		"Inline is for layers":                   {inline},
		"Detached is enough":                     {twice},
		"0 functions":                            nil,
		"letters, digits and underscores":        {request("a-b", Pre)},
		"exactly one of":                         {both},
		"no hook":                                {request("A")},
		"it cannot run at response":              {request("A", Response)},
		"it cannot run at pre":                   {{Name: "A", Hooks: []Hook{Pre}, Response: nothingAfter}},
		`function "A": registered twice`:         {request("A", Pre), request("A", Post)},
		`function "B": exactly one of Request, `: {request("A", Pre), {Name: "B", Hooks: []Hook{Pre}}},
	} {
		err := Plugin{Name: "p", Version: "1", Functions: functions}.check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: expected %q", err, want)
		}
	}
	if err := (Plugin{Version: "1", Functions: []Function{request("A", Pre)}}).check(); err == nil {
		t.Error("a plugin without a name was accepted")
	}
}

func TestNoteNamesWhatWasRegistered(t *testing.T) {
	blocking := request("Wait", Pre, Post)
	blocking.MayBlock, blocking.WantsBody = true, true
	plugin := Plugin{Name: `odd */ "name"`, Version: "1.0.0", Functions: []Function{
		blocking, {Name: "Later", Hooks: []Hook{Pre}, Detached: true, WantsBody: true, Request: nothing}, {Name: "Stamp", Response: nothingAfter}, {Name: "Mask", WantsBody: true, Response: nothingAfter},
		{Name: "Quick", Hooks: []Hook{Pre}, Inline: true, Layer: noLayer}, {Name: "Slow", Hooks: []Hook{Pre}, Layer: noLayer},
	}}
	source, err := plugin.noteSource("v5.3.0")
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, want := range []string{
		`\"name\":\"Wait\",\"hooks\":[\"pre\",\"post\"],\"flags\":[\"may_block\",\"wants_request_body\"]`,
		`\"name\":\"Mask\",\"hooks\":[\"response\"],\"flags\":[\"wants_response_body\"]`,
		`\"name\":\"Stamp\",\"hooks\":[\"response\"],\"flags\":[]`,
		`\"name\":\"Later\",\"hooks\":[\"pre\"],\"flags\":[\"may_pend\"]`,
		`\"name\":\"Quick\",\"hooks\":[\"pre\"],\"flags\":[\"may_pend\"],\"inline\":true}`,
		`\"name\":\"Slow\",\"hooks\":[\"pre\"],\"flags\":[\"may_pend\"]}`,
		`\"gateway_version\":\"5.3.0\"`, `\"language\":\"go\"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Count(text, "*/") != 1 {
		t.Errorf("the plugin's name ends the comment: %s", text)
	}
	if _, err := plugin.noteSource("latest"); err == nil {
		t.Error("a gateway version that is none was accepted")
	}
}
