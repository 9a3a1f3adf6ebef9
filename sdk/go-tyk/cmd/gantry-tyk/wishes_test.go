package main

import (
	"strings"
	"testing"
)

func TestManifestAsksForFunctionsAsDirectivesDo(t *testing.T) {
	answer, found := plugin(t, map[string]string{"main.go": `package main

import "net/http"

func Quick(w http.ResponseWriter, r *http.Request) {}
func Reads(w http.ResponseWriter, res *http.Response, r *http.Request) {}
func Waits(w http.ResponseWriter, r *http.Request) {}

//gantry:inline body
func Marked(w http.ResponseWriter, r *http.Request) {}

func Helper() {}
func lower(w http.ResponseWriter, r *http.Request) {}
`})
	granted := wishes{manifest: "manifest.json"}
	for _, value := range []string{`Quick=true=pre[0].inline`, `Reads="body"=response[0].inline`, `Waits=false=pre[1].inline`, `Marked="body"=post[0].inline`} {
		if err := granted.Set(value); err != nil {
			t.Fatal(err)
		}
	}
	if refusals := granted.grant(found); len(refusals) != 0 {
		t.Errorf("refused: %v", refusals)
	}
	for _, text := range []string{glueSource("shop", "1.0.0", found), noteSource("shop", "1.0.0", found)} {
		for _, want := range []string{`"Quick", Request: `, `"Reads", Response: `, `"Waits", Request: `, `"Marked", Request: `} {
			_, rest, _ := strings.Cut(text, want)
			line, _, _ := strings.Cut(rest, "\n")
			_, said, _ := strings.Cut(line, ", ")
			wanted := map[string]string{"Quick": "Inline: true},", "Reads": "Inline: true, Body: true},", "Waits": "", "Marked": "Inline: true, Body: true},"}
			if name := strings.Split(want, `"`)[1]; said != wanted[name] {
				t.Errorf("%s is registered with %q in\n%s", name, said, text)
			}
		}
	}
	if !answer.Functions[1].Inline || answer.Functions[1].Name != "Quick" {
		t.Errorf("the answer tells %v", answer.Functions)
	}

	refused := wishes{manifest: "dir/manifest.json", of: []wish{
		{"Gone", "true", "pre[0].inline"}, {"Helper", "true", "pre[1].inline"}, {"lower", "false", "pre[2].inline"},
		{"Marked", "true", "pre[3].inline"}, {"Marked", "false", "pre[4].inline"},
	}}
	var got []string
	for _, refusal := range refused.grant(found) {
		if refusal.File != "dir/manifest.json" || refusal.Line != 0 || refusal.Advice == "" {
			t.Errorf("refused with %+v", refusal)
		}
		field, _, _ := strings.Cut(refusal.Message, ":")
		got = append(got, refusal.Code+" "+field)
	}
	want := "INLINE_FUNCTION_UNKNOWN pre[0].inline, INLINE_NOT_A_HOOK pre[1].inline, INLINE_NOT_A_HOOK pre[2].inline, " +
		"INLINE_CONFLICT pre[3].inline, INLINE_CONFLICT pre[4].inline"
	if strings.Join(got, ", ") != want {
		t.Errorf("refused:\n%s\nexpected:\n%s", strings.Join(got, ", "), want)
	}
	for _, value := range []string{"Quick", "Quick=yes=field", "Quick=true"} {
		if refused.Set(value) == nil {
			t.Errorf("%q was read", value)
		}
	}
}
