package apidef

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fill puts something into each field of a value, so that one that JSON loses shows.
func fill(value reflect.Value, depth int) {
	switch value.Kind() {
	case reflect.String:
		value.SetString("s")
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int, reflect.Int64:
		value.SetInt(3)
	case reflect.Uint16, reflect.Uint64:
		value.SetUint(4)
	case reflect.Float64:
		value.SetFloat(1.5)
	case reflect.Interface:
		value.Set(reflect.ValueOf("i"))
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		fill(value.Elem(), depth)
	case reflect.Slice:
		if value.Type() == reflect.TypeOf(json.RawMessage{}) {
			value.SetBytes([]byte(`{"raw":1}`))
			return
		}
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
		fill(value.Index(0), depth)
	case reflect.Map:
		key, element := reflect.New(value.Type().Key()).Elem(), reflect.New(value.Type().Elem()).Elem()
		fill(key, depth)
		fill(element, depth)
		value.Set(reflect.MakeMap(value.Type()))
		value.SetMapIndex(key, element)
	case reflect.Struct:
		if value.Type() == reflect.TypeOf(time.Time{}) {
			value.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for i := 0; i < value.NumField(); i++ {
			if value.Type().Field(i).Tag.Get("json") != "-" {
				fill(value.Field(i), depth+1)
			}
		}
	}
}

func filled(t *testing.T) *APIDefinition {
	t.Helper()
	definition := new(APIDefinition)
	fill(reflect.ValueOf(definition).Elem(), 0)
	return definition
}

func TestDefinitionKeepsEachFieldThroughJSON(t *testing.T) {
	definition := filled(t)
	text, err := json.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	again := new(APIDefinition)
	if err := json.Unmarshal(text, again); err != nil || !reflect.DeepEqual(definition, again) {
		t.Errorf("%v\n%s", err, text)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	hidden := 2 // ExpirationTs and VersionName
	if want := reflect.TypeOf(*definition).NumField() - hidden; len(fields) != want {
		t.Errorf("%d fields, not %d: two have one name", len(fields), want)
	}
}

func TestNamesThatPluginsUseAreTyks(t *testing.T) {
	const text = `{"name":"Orders","api_id":"orders","org_id":"acme","use_keyless":true,"use_go_plugin_auth":true,
		"custom_plugin_auth_enabled":true,"enable_coprocess_auth":true,"use_standard_auth":true,"strip_auth_data":true,
		"auth":{"auth_header_name":"X-Key"},"auth_configs":{"authToken":{"auth_header_name":"X-Key","use_param":true}},
		"proxy":{"listen_path":"/orders/","target_url":"http://up","strip_listen_path":true},
		"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true,
		"extended_paths":{"go_plugin":[{"disabled":true,"path":"/a","method":"GET","plugin_path":"p.so","func_name":"F"}]}}}},
		"custom_middleware":{"driver":"goplugin","pre":[{"name":"A","path":"p.so","require_session":true,"raw_body_only":true}],
		"auth_check":{"name":"B","disabled":true},"post_key_auth":[{"name":"C"}],"post":[{"name":"D"}],"response":[{"name":"E"}],
		"id_extractor":{"extract_from":"header","extract_with":"value"}},
		"custom_middleware_bundle":"b.zip","custom_middleware_bundle_disabled":true,
		"config_data":{"region":"eu"},"config_data_disabled":true,"domain":"x.example","tags":["t"],"active":true,
		"analytics_plugin":{"enable":true,"plugin_path":"p.so","func_name":"G"},"detailed_tracing":true,
		"global_rate_limit":{"rate":1,"per":2},"cache_options":{"cache_timeout":3}}`
	d := new(APIDefinition)
	if err := json.Unmarshal([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	m, goPlugin := d.CustomMiddleware, d.VersionData.Versions["Default"].ExtendedPaths.GoPlugin[0]
	got := []any{d.Name, d.APIID, d.OrgID, d.UseKeylessAccess, d.UseGoPluginAuth, d.CustomPluginAuthEnabled,
		d.EnableCoProcessAuth, d.UseStandardAuth, d.StripAuthData, d.Auth.AuthHeaderName, d.AuthConfigs[AuthTokenType].UseParam,
		d.Proxy.ListenPath, d.Proxy.TargetURL, d.Proxy.StripListenPath, d.VersionData.NotVersioned, goPlugin.Disabled,
		goPlugin.Path, goPlugin.Method, goPlugin.PluginPath, goPlugin.SymbolName, m.Driver == GoPluginDriver, m.Pre[0].Name,
		m.Pre[0].RequireSession, m.Pre[0].RawBodyOnly, m.AuthCheck.Disabled, m.PostKeyAuth[0].Name, m.Post[0].Name,
		m.Response[0].Name, m.IdExtractor.ExtractFrom == HeaderSource, d.CustomMiddlewareBundle,
		d.CustomMiddlewareBundleDisabled, d.ConfigData["region"], d.ConfigDataDisabled, d.Domain, d.Tags[0], d.Active,
		d.AnalyticsPlugin.FuncName, d.DetailedTracing, d.GlobalRateLimit.Per, d.CacheOptions.CacheTimeout}
	want := []any{"Orders", "orders", "acme", true, true, true, true, true, true, "X-Key", true, "/orders/", "http://up", true,
		true, true, "/a", "GET", "p.so", "F", true, "A", true, true, true, "C", "D", "E", true, "b.zip", true, "eu", true,
		"x.example", "t", true, "G", true, 2.0, int64(3)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%v", got, want)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	definition := filled(t)
	definition.VersionName = "v1"
	definition.VersionDefinition.BaseID = "base"
	copied, err := definition.Clone()
	if err != nil || !reflect.DeepEqual(definition, copied) {
		t.Fatal(err)
	}
	copied.ConfigData["s"] = "other"
	copied.Tags[0] = "other"
	copied.CustomMiddleware.Pre[0].Name = "other"
	if definition.ConfigData["s"] != "i" || definition.Tags[0] != "s" || definition.CustomMiddleware.Pre[0].Name != "s" {
		t.Error("the copy is the definition's own")
	}
	definition.ConfigData["f"] = func() {}
	if _, err := definition.Clone(); err == nil {
		t.Error("a function was copied")
	}
}

func TestMethodsOfADefinition(t *testing.T) {
	d := APIDefinition{Domain: "x.example", APIID: "a"}
	if d.GetAPIDomain() != "x.example" || d.IsMCP() || d.IsChildAPI() || d.IsBaseAPI() || d.IsBaseAPIWithVersioning() {
		t.Error("plain API")
	}
	d.DomainDisabled, d.ApplicationProtocol = true, AppProtocolMCP
	if d.GetAPIDomain() != "" || !d.IsMCP() {
		t.Error("MCP API without a domain")
	}
	d.VersionDefinition = VersionDefinition{Enabled: true, Name: "v1", Default: Self, Versions: map[string]string{"v2": "b"}}
	if !d.IsBaseAPI() || !d.IsBaseAPIWithVersioning() || d.VersionDefinition.ResolvedDefault() != "v1" {
		t.Error("base API")
	}
	d.VersionDefinition.BaseID, d.VersionDefinition.Default = "other", "v2"
	if !d.IsChildAPI() || d.IsBaseAPI() || d.IsBaseAPIWithVersioning() || d.VersionDefinition.ResolvedDefault() != "v2" {
		t.Error("child API")
	}
	scopes := APIDefinition{JWTScopeClaimName: "old", JWTScopeToPolicyMapping: map[string]string{"a": "old"}}
	if scopes.GetScopeClaimName() != "old" || scopes.GetScopeToPolicyMapping()["a"] != "old" {
		t.Error("older scopes")
	}
	scopes.Scopes = Scopes{JWT: ScopeClaim{"jwt", map[string]string{"a": "jwt"}}, OIDC: ScopeClaim{"oidc", map[string]string{"a": "oidc"}}}
	if scopes.GetScopeClaimName() != "jwt" || scopes.GetScopeToPolicyMapping()["a"] != "jwt" {
		t.Error("scopes of tokens")
	}
	scopes.UseOpenID = true
	if scopes.GetScopeClaimName() != "oidc" || scopes.GetScopeToPolicyMapping()["a"] != "oidc" {
		t.Error("scopes of OpenID")
	}
}

func TestMethodsOfParts(t *testing.T) {
	if !(&HeaderInjectionMeta{DeleteHeaders: []string{"a"}}).Enabled() || (&HeaderInjectionMeta{}).Enabled() ||
		(&HeaderInjectionMeta{Disabled: true, AddHeaders: map[string]string{"a": "b"}}).Enabled() {
		t.Error("headers")
	}
	if !(&RateLimitMeta{Rate: 1, Per: 1}).Valid() || (&RateLimitMeta{Rate: 1}).Valid() || (*RateLimitMeta)(nil).Valid() {
		t.Error("limits")
	}
	if !(&RateLimitSmoothing{true, 1, 0.5, 1, 1}).Valid() || (&RateLimitSmoothing{}).Valid() || (*RateLimitSmoothing)(nil).Valid() {
		t.Error("smoothing")
	}
	if !(StringRegexMap{}).Empty() || (StringRegexMap{MatchPattern: "a"}).Empty() {
		t.Error("patterns")
	}
	id := ObjectID("5d8a1fc2f1a2b3c4d5e6f708")
	if !id.Valid() || id.Hex() != id.String() || ObjectID("x").Valid() || ObjectID(strings.Repeat("x", 24)).Valid() {
		t.Error("ids")
	}
}

func TestDurationsAreTextOrNanoseconds(t *testing.T) {
	for text, want := range map[string]time.Duration{`"5m"`: 5 * time.Minute, `1000000000`: time.Second, `""`: 0, `null`: 0} {
		var jwk JWK
		if err := json.Unmarshal([]byte(`{"url":"u","cache_timeout":`+text+`}`), &jwk); err != nil || time.Duration(jwk.CacheTimeout) != want {
			t.Error(text, jwk, err)
		}
	}
	for _, text := range []string{`"x"`, `[]`, `tru`} {
		if err := new(ReadableDuration).UnmarshalJSON([]byte(text)); err == nil {
			t.Error(text)
		}
	}
	if d := ReadableDuration(time.Minute); d.String() != "1m0s" || d.Seconds() != 60 {
		t.Error(d)
	}
	var _ = BundleManifest{CustomMiddleware: MiddlewareSection{Response: []MiddlewareDefinition{{}}}}
}
