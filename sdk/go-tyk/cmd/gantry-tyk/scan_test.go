package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sdk = "../../.."

// plugin writes files to a folder and reads it as the generator does.
func plugin(t *testing.T, files map[string]string) (*scanned, offer) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	modules := locals{{path: "example.com/shop", folder: folder}}
	answer, found, err := newReader(folder, "linux", "amd64", nil).scan(folder, sdk, modules)
	if err != nil {
		t.Fatal(err)
	}
	return answer, found
}

func functionNames(answer *scanned) string {
	var names []string
	for _, function := range answer.Functions {
		names = append(names, function.Name)
	}
	return strings.Join(names, " ")
}

// places tells findings as file:line:column code.
func places(findings []finding) string {
	var places []string
	for _, each := range findings {
		places = append(places, fmt.Sprintf("%s:%d:%d %s", each.File, each.Line, each.Column, each.Code))
	}
	return strings.Join(places, "\n")
}

func TestFunctionsAreFoundWhateverTheirImportsAreCalled(t *testing.T) {
	answer, _ := plugin(t, map[string]string{
		"alias.go": "package main\nimport web \"net/http\"\nfunc Alias(w web.ResponseWriter, r *web.Request) {}\n",
		"dot.go":   "package main\nimport . \"net/http\"\nfunc Dot(w ResponseWriter, _ *Response, r *Request) {}\n",
		"other.go": "package main\nimport http \"example.com/shop/http\"\nfunc Other(w http.ResponseWriter, r *http.Request) {}\n",
		"generic.go": "package main\nimport \"net/http\"\n" +
			"func Generic[T any](w http.ResponseWriter, r *http.Request) {}\n" +
			"func Value(w http.ResponseWriter, r http.Request) {}\n" +
			"func lower(w http.ResponseWriter, r *http.Request) {}\n",
		"arm.go":       "//go:build arm64\n\npackage main\nimport \"net/http\"\nfunc Arm(w http.ResponseWriter, r *http.Request) {}\n",
		"helper.go":    "//go:build ignore\n\npackage tool\n",
		"main_test.go": "package main\nimport \"net/http\"\nfunc Tested(w http.ResponseWriter, r *http.Request) {}\n",
	})
	if names := functionNames(answer); names != "Alias Dot" {
		t.Errorf("found %q", names)
	}
	if len(answer.Skipped) != 4 {
		t.Errorf("expected Other, Generic, Value and lower to be skipped, found %v", answer.Skipped)
	}
	if len(answer.Refusals) != 0 {
		t.Errorf("refused: %v", answer.Refusals)
	}
}

func TestDirectivesBeforeFunctionsAreReadAndOthersRefused(t *testing.T) {
	answer, found := plugin(t, map[string]string{"main.go": `package main

import "net/http"

//gantry:inline
func Quick(w http.ResponseWriter, r *http.Request) {}

// Reads the body.
//
//gantry:inline body
func Reads(w http.ResponseWriter, r *http.Request) {}

//gantry:detached
func Typo(w http.ResponseWriter, r *http.Request) {}

//gantry:inline
func helper() {}
`})
	glue := glueSource("shop", "1.0.0", found)
	for _, want := range []string{
		`{Name: "Quick", Request: Quick, Inline: true},`,
		`{Name: "Reads", Request: Reads, Inline: true, Body: true},`,
		"func main() { gantry_shim.Main() }",
	} {
		if !strings.Contains(glue, want) {
			t.Errorf("no %q in\n%s", want, glue)
		}
	}
	want := "main.go:13:1 DIRECTIVE_UNKNOWN\nmain.go:17:6 DIRECTIVE_UNKNOWN"
	if got := places(answer.Refusals); got != want {
		t.Errorf("refused:\n%s\nexpected:\n%s", got, want)
	}
}

func TestHooksThatAreNoFunctionsAreRefusedAndHelpersAreNot(t *testing.T) {
	answer, found := plugin(t, map[string]string{"main.go": `package main

import "net/http"

type server struct{}

func (server) ServeHTTP(w http.ResponseWriter, r *http.Request) {}
func (server) Helper(w http.ResponseWriter, r *http.Request)    {}
func (*server) Hook(w http.ResponseWriter, r *http.Request)     {}

var Variable = func(w http.ResponseWriter, r *http.Request) {}
var Handler http.HandlerFunc
var Used = http.HandlerFunc(Real)

func Real(w http.ResponseWriter, r *http.Request) { server{}.Helper(w, r); _ = Used }
func Real(w http.ResponseWriter, r *http.Request) {}

func main() {}
`})
	want := "main.go:9:16 NOT_A_FUNCTION\nmain.go:11:5 NOT_A_FUNCTION\nmain.go:12:5 NOT_A_FUNCTION\nmain.go:16:6 DUPLICATE_FUNCTION"
	if got := places(answer.Refusals); got != want {
		t.Errorf("refused:\n%s\nexpected:\n%s", got, want)
	}
	if strings.Contains(glueSource("shop", "1.0.0", found), "func main") {
		t.Error("the author's main is declared again")
	}
}

func TestSkippedFunctionsSayWhy(t *testing.T) {
	answer, _ := plugin(t, map[string]string{"main.go": `package main

import (
	"github.com/TykTechnologies/tyk-pump/analytics"
	old "github.com/TykTechnologies/tyk/analytics"
)

func Mask(record *analytics.AnalyticsRecord) {}
func MaskOld(record *old.Record)             {}
func Helper(record analytics.AnalyticsRecord) {}
`})
	var reasons []string
	for _, each := range answer.Skipped {
		reasons = append(reasons, each.Name+" "+each.Reason[:2])
	}
	if got := strings.Join(reasons, ", "); got != "Mask it, MaskOld it, Helper an" {
		t.Error(got)
	}
}

func TestVariablesThatNameFunctionsAreRefusedAsHooks(t *testing.T) {
	answer, _ := plugin(t, map[string]string{
		"main.go": `package main

import (
	"net/http"

	"example.com/shop/hooks"
)

var Before = hooks.Before
var After = after
var Limit, Rule = hooks.Limit, hooks.Rule
var Absent = hooks.Absent

func after(w http.ResponseWriter, r *http.Request) {}
`,
		"hooks/hooks.go": `package hooks

import "net/http"

var Limit = 3

func Before(w http.ResponseWriter, res *http.Response, r *http.Request) {}
func Rule() {}
`,
	})
	want := "main.go:9:5 NOT_A_FUNCTION\nmain.go:10:5 NOT_A_FUNCTION"
	if got := places(answer.Refusals); got != want {
		t.Errorf("refused:\n%s\nexpected:\n%s", got, want)
	}
}

func TestVariablesThatHoldMethodsOrMadeFunctionsAreRefusedAsHooks(t *testing.T) {
	answer, _ := plugin(t, map[string]string{
		"main.go": `package main

import (
	"net/http"

	"example.com/shop/hooks"
)

type plugin struct{}
type Handler func(http.ResponseWriter, *http.Request)

func (p *plugin) Hook(w http.ResponseWriter, r *http.Request) {}
func (p *plugin) Count() int { return 1 }

var p = &plugin{}
var Value = p.Hook
var Literal = (&plugin{}).Hook
var Theirs = hooks.New().Before
var Made = make("x")
var Typed Handler
var Converted = Handler(nil)
var Number = p.Count()
var Counter = p.Count
var Other = hooks.New()

func make(name string) http.HandlerFunc { return nil }
`,
		"hooks/hooks.go": `package hooks

import "net/http"

type T struct{}

func New() *T { return nil }

func (t *T) Before(w http.ResponseWriter, res *http.Response, r *http.Request) {}
`,
	})
	var want []string
	for line := 16; line <= 21; line++ {
		want = append(want, fmt.Sprintf("main.go:%d:5 NOT_A_FUNCTION", line))
	}
	if got := places(answer.Refusals); got != strings.Join(want, "\n") {
		t.Errorf("refused:\n%s\nexpected:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestModuleFileSaysWhichOpenAPIPackageIsMeant(t *testing.T) {
	const ours, theirs = "github.com/TykTechnologies/kin-openapi", "github.com/getkin/kin-openapi"
	text := "package main\nimport \"github.com/TykTechnologies/tyk/ctx\"\nvar x = ctx.GetOASDefinition\n"
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	sources, err := newReader(folder, "linux", "amd64", nil).read(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range []struct {
		requires []string
		tags     string
	}{
		{nil, "gantry_oas"},
		{[]string{ours}, "gantry_kin_tyk,gantry_oas"},
		{[]string{ours, theirs}, "gantry_oas"},
	} {
		if got := strings.Join(tagsFor(sources, each.requires), ","); got != each.tags {
			t.Errorf("%v: tags %q, expected %q", each.requires, got, each.tags)
		}
	}
}

func TestSourcesSayWhichGenerationOfOpenAPIDocumentsTheyAreFor(t *testing.T) {
	const head = "package main\nimport (\n\"github.com/TykTechnologies/tyk/ctx\"\n\"github.com/getkin/kin-openapi/openapi3\"\n)\n" +
		"var document = ctx.GetOASDefinition(nil)\nvar item openapi3.PathItem\n"
	for body, newer := range map[string]bool{
		"func f() { for range document.Paths {} }":                                  false,
		"func f() { document.Paths.Find(`/a`) }":                                    false,
		"func f() { _ = document.Paths[`/a`].Get.Responses.Get(200) }":              false,
		"func f() { for range document.Paths.Map() {} }":                            true,
		"func f() { document.Paths.Value(`/a`).Get.Responses.Status(200) }":         true,
		"func f(s *openapi3.Schema) bool { return s.Type.Is(`object`) }":            true,
		"var paths = openapi3.NewPaths()":                                           true,
		"type list struct{ Paths map[string]int }\nfunc f(l list) { len(l.Paths) }": false,
	} {
		answer, _ := plugin(t, map[string]string{"main.go": head + body})
		if answer.newerKin != newer {
			t.Errorf("%s: newer %v", body, answer.newerKin)
		}
	}
	needs := []requirement{{Path: "github.com/sirupsen/logrus", Version: "v1.8.1"}, {Path: kinPath, Version: "v0.76.0"}}
	raise(needs)
	if needs[0].Version != "v1.8.1" || needs[1].Version != newerKin {
		t.Error(needs)
	}
}

func TestPackagesBelowTyksPathMayBeTheAuthors(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"main.go": "package main\nimport _ \"github.com/TykTechnologies/tyk/plugins/mine/helper\"\n" +
			"import _ \"github.com/TykTechnologies/tyk/plugins/theirs\"\nimport _ \"github.com/TykTechnologies/tyk/ctx\"\n",
		"tyk/ctx/ctx.go":   "package ctx\nimport _ \"github.com/TykTechnologies/tyk/storage\"\n",
		"helper/helper.go": "package helper\nimport _ \"github.com/TykTechnologies/tyk/config\"\n",
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	modules := locals{
		{path: "github.com/TykTechnologies/tyk/plugins/mine", folder: folder},
		{path: "github.com/TykTechnologies/tyk", folder: filepath.Join(folder, "tyk")},
	}
	answer, _, err := newReader(folder, "linux", "amd64", nil).scan(folder, sdk, modules)
	if err != nil {
		t.Fatal(err)
	}
	want := "main.go:3:8 TYK_INTERNAL\nhelper/helper.go:2:8 TYK_CONFIG"
	if got := places(answer.Refusals); got != want {
		t.Errorf("refused:\n%s\nexpected:\n%s", got, want)
	}
}

func TestWhatGatewaysDoNotHaveIsRefusedInThePluginsOwnPackagesToo(t *testing.T) {
	answer, _ := plugin(t, map[string]string{
		"main.go": "package main\nimport \"net/http\"\nimport _ \"example.com/shop/inner\"\n" +
			"func Hook(w http.ResponseWriter, r *http.Request) {}\n",
		"inner/inner.go": `package inner

import (
	tyk "github.com/TykTechnologies/tyk/ctx"
	_ "github.com/TykTechnologies/storage/temporal"
	_ "github.com/TykTechnologies/tyk/config"
	_ "github.com/TykTechnologies/tyk/dnscache"
	_ "github.com/TykTechnologies/tyk/storage"
)

var target = tyk.UrlRewriteTarget
var session = tyk.SessionData
`})
	want := `inner/inner.go:5:2 TYK_STORAGE
inner/inner.go:6:2 TYK_CONFIG
inner/inner.go:7:2 TYK_INTERNAL
inner/inner.go:8:2 TYK_STORAGE
inner/inner.go:11:14 TYK_CONTEXT_KEY`
	if got := places(answer.Refusals); got != want {
		t.Errorf("refused:\n%s\nexpected:\n%s", got, want)
	}
}

func TestNamesThatTyksPackagesDoNotHaveHereAreRefused(t *testing.T) {
	answer, _ := plugin(t, map[string]string{"main.go": `package main

import (
	"net/http"

	"github.com/TykTechnologies/opentelemetry/semconv/v1.0.0"
	"github.com/TykTechnologies/opentelemetry/trace"
	"github.com/TykTechnologies/tyk-pump/analytics"
	"github.com/TykTechnologies/tyk/apidef/oas"
	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/user"
)

var status, route = trace.SPAN_STATUS_OK, semconv.HTTPRoute

func Hook(w http.ResponseWriter, r *http.Request) {
	ctx.SetContext(r, "a", "b")
	_ = r.Context().Value(ctx.UpstreamHostOverride)
	_, _ = user.SessionState{}, user.Session{}
	_, _ = analytics.AnalyticsRecord{}, oas.OAS{}
	{
		ctx, user := r.Context(), map[string]func(){}
		ctx.Done()
		user["Session"]()
	}
}
`})
	want := `main.go:6:2 TYK_INTERNAL
main.go:17:2 TYK_INTERNAL
main.go:18:24 TYK_CONTEXT_KEY
main.go:19:30 TYK_INTERNAL`
	if got := places(answer.Refusals); got != want {
		t.Errorf("refused:\n%s\nexpected:\n%s", got, want)
	}
}

func TestTagsAndModulesFollowWhatThePluginUses(t *testing.T) {
	modules, err := embeddedModules(sdk)
	if err != nil {
		t.Fatal(err)
	}
	source := func(imports, body string) []source {
		folder := t.TempDir()
		text := "package main\nimport (\n" + imports + ")\n" + body
		if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		sources, err := newReader(folder, "linux", "amd64", nil).read(folder)
		if err != nil {
			t.Fatal(err)
		}
		return sources
	}
	cases := []struct{ imports, body, tags, needs string }{
		{`"net/http"` + "\n", "", "", ""},
		{`"github.com/TykTechnologies/tyk/ctx"` + "\n", "", "", ""},
		{`"github.com/TykTechnologies/tyk/ctx"` + "\n", "var x = ctx.GetOASDefinition", "gantry_oas", ""},
		{`"github.com/TykTechnologies/tyk/log"` + "\n", "", "", "github.com/sirupsen/logrus"},
		{`"github.com/TykTechnologies/opentelemetry/trace"` + "\n", "", "", "go.opentelemetry.io/otel"},
		{`"github.com/TykTechnologies/kin-openapi/openapi3"` + "\n", "", "gantry_kin_tyk", ""},
		{`"github.com/TykTechnologies/tyk/user"` + "\n", "var x = user.AccessDefinition{Limit: &user.APILimit{}}", "gantry_limit_pointer", ""},
		{`"github.com/TykTechnologies/tyk/user"` + "\n", "func f(x user.AccessDefinition) { x.Limit = &user.APILimit{} }", "gantry_limit_pointer", ""},
		{`"github.com/TykTechnologies/tyk/user"` + "\n", "var x = user.AccessDefinition{Limit: user.APILimit{}}", "", ""},
	}
	for _, each := range cases {
		sources := source(each.imports, each.body)
		tags := tagsFor(sources, nil)
		if got := strings.Join(tags, ","); got != each.tags {
			t.Errorf("%s: tags %q, expected %q", each.imports, got, each.tags)
		}
		if each.tags != "" {
			continue
		}
		needs, _, err := thirdParties(modules, importsOf(sources), "linux", "amd64", tags)
		if err != nil {
			t.Fatal(err)
		}
		first := ""
		if len(needs) > 0 {
			first = needs[0].Path
		}
		if first != each.needs {
			t.Errorf("%s: needs %v, expected %q", each.imports, needs, each.needs)
		}
	}
}

func TestModulesArePackedAsGoTakesThem(t *testing.T) {
	modules, err := embeddedModules(sdk)
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]embedded{}
	for _, module := range modules {
		byPath[module.Path] = module
	}
	packed := &packed{goMod: []byte("module m\n"), files: map[string][]byte{}}
	if err := packed.collect(sdk, byPath["gantry.example/sdk/go-tyk"], "m@v1"); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(packed.files) {
		if strings.HasPrefix(name, "m@v1/tyk/") || strings.Contains(name, "testdata") || strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s is no part of the module", name)
		}
	}
	// As Go itself computes it for a module that has a go.mod and nothing else.
	empty := sumOf(map[string][]byte{"go.mod": []byte("module example.com/m\n")})
	if !strings.HasPrefix(empty, "h1:") || len(empty) != 47 {
		t.Errorf("found %q", empty)
	}
}

func TestHooksMayBeWrittenWithAliasesAndHaveNamesThatGatewaysTake(t *testing.T) {
	long := "F" + strings.Repeat("x", nameBytesMax)
	answer, _ := plugin(t, map[string]string{
		"main.go": `package main

func Aliased(rw W, r *R, other Other) {}
func Request(rw W, r Pointer)        {}
func Mixed(rw Again, res *Response, r Pointer) {}
func Ünï(rw W, r Pointer)             {}
func ` + long + `(rw W, r Pointer) {}
func main() {}
`,
		"types.go": `package main

import web "net/http"

type (
	W        = web.ResponseWriter
	Again    = W
	R        = web.Request
	Pointer  = *R
	Response = web.Response
	Other    = Circle
	Circle   = Other
)
`,
	})
	var names []string
	for _, function := range answer.Functions {
		names = append(names, function.Name)
	}
	if got := strings.Join(names, " "); got != "Mixed Request" || !answer.Functions[0].Response {
		t.Errorf("found %s", got)
	}
	if len(answer.Skipped) != 3 || !strings.Contains(answer.Skipped[1].Reason, "ASCII letters") ||
		!strings.Contains(answer.Skipped[2].Reason, "ASCII letters") {
		t.Errorf("skipped %v", answer.Skipped)
	}
}
