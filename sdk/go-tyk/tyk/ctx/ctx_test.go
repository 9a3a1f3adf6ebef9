package ctx

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/TykTechnologies/tyk/apidef"
	"github.com/TykTechnologies/tyk/user"

	"gantry.example/sdk/go-tyk/call"
)

func request() *http.Request { return httptest.NewRequest(http.MethodGet, "/orders/1", nil) }

// gatewayContext does what a call's context in a gateway does.
type gatewayContext struct {
	context.Context
	state *call.State
}

func (c gatewayContext) Value(key any) any {
	if key == call.Key {
		return c.state
	}
	if value, own := call.Provided(c.state, key); own {
		return value
	}
	return c.Context.Value(key)
}

func within(facts *call.Facts) (*http.Request, *call.State) {
	state := call.New(facts)
	return request().WithContext(gatewayContext{context.Background(), state}), state
}

func finished(t *testing.T, state *call.State) *call.Session {
	t.Helper()
	session, err := state.Finish(true)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestWithoutAGatewayNothingPanicsAndValuesAreKept(t *testing.T) {
	r := request()
	if GetSession(r) != nil || GetAuthToken(r) != "" || GetDefinition(r) != nil || GetOASConfigData(r) != nil ||
		GetMCPMethod(r)+GetMCPPrimitiveName(r)+GetMCPPrimitiveType(r) != "" || GetJSONRPCErrorCode(r) != 0 {
		t.Error("something came from nothing")
	}
	SetSession(r, nil, true)
	SetDefinition(r, nil)
	SetSession(nil, &user.SessionState{}, true)
	SetDefinition(nil, &apidef.APIDefinition{})
	if GetSession(nil) != nil || GetAuthToken(nil) != "" || GetDefinition(nil) != nil || GetOASConfigData(nil) != nil ||
		GetMCPMethod(nil) != "" || GetJSONRPCErrorCode(nil) != 0 {
		t.Error("something came from no request")
	}
	session := &user.SessionState{KeyID: "key", Alias: "ada"}
	SetSession(r, session, true)
	if GetSession(r) != session || GetAuthToken(r) != "key" || session.KeyHash() != "key" {
		t.Error(GetSession(r), GetAuthToken(r))
	}
	if GetSession(request()) != nil {
		t.Error("another request has the session")
	}
}

func TestBothShapesOfSetSession(t *testing.T) {
	for name, c := range map[string]struct {
		set   func(*http.Request, *user.SessionState)
		key   string
		store bool
	}{
		"update":           {func(r *http.Request, s *user.SessionState) { SetSession(r, s, true) }, "id", true},
		"no update":        {func(r *http.Request, s *user.SessionState) { SetSession(r, s, false) }, "id", false},
		"update, hash":     {func(r *http.Request, s *user.SessionState) { SetSession(r, s, true, true) }, "id", true},
		"no update, hash":  {func(r *http.Request, s *user.SessionState) { SetSession(r, s, false, true) }, "id", false},
		"token, update":    {func(r *http.Request, s *user.SessionState) { SetSession(r, s, "token", true) }, "token", true},
		"token, no update": {func(r *http.Request, s *user.SessionState) { SetSession(r, s, "token", false) }, "token", false},
		"spread":           {func(r *http.Request, s *user.SessionState) { SetSession(r, s, true, []bool{true}) }, "id", true},
		"nothing":          {func(r *http.Request, s *user.SessionState) { SetSession(r, s) }, "id", false},
	} {
		r, state := within(&call.Facts{})
		session := &user.SessionState{KeyID: "id"}
		c.set(r, session)
		if GetSession(r) != session || GetAuthToken(r) != c.key || session.KeyID != c.key {
			t.Error(name, GetSession(r), GetAuthToken(r))
		}
		told := finished(t, state)
		if told == nil || told.Key != c.key || told.Store != c.store || strings.Contains(string(told.JSON), "key_id") {
			t.Errorf("%s: %+v", name, told)
		}
	}
}

func TestHashIsOfTheKeyOnlyIfAskedFor(t *testing.T) {
	plain, hashed, kept := &user.SessionState{KeyID: "k"}, &user.SessionState{KeyID: "k"}, &user.SessionState{KeyID: "k"}
	kept.SetKeyHash("mine")
	SetSession(request(), plain, false)
	SetSession(request(), hashed, false, true)
	SetSession(request(), kept, false, true)
	if plain.KeyHash() != "k" || len(hashed.KeyHash()) != 64 || kept.KeyHash() != "mine" {
		t.Error(plain.KeyHash(), hashed.KeyHash(), kept.KeyHash())
	}
}

func TestSessionWithoutKeyTakesTheTokenOrLivesForTheRequest(t *testing.T) {
	r, state := within(&call.Facts{Token: "token"})
	SetSession(r, &user.SessionState{}, true)
	if told := finished(t, state); told.Key != "token" || !told.Store {
		t.Errorf("%+v", told)
	}
	facts := &call.Facts{}
	r, state = within(facts)
	SetSession(r, &user.SessionState{}, true)
	if told := finished(t, state); told.Key != "" || told.Store || !strings.HasPrefix(facts.Lines()[0], "warn: ") {
		t.Errorf("%+v %v", told, facts.Lines())
	}
	SetSession(r, nil, true)
	if GetSession(r) == nil || !strings.HasPrefix(facts.Lines()[1], "error: ") {
		t.Error("a session that is none replaced one")
	}
}

func TestGatewaysSessionIsLive(t *testing.T) {
	facts := &call.Facts{Token: "key", Session: []byte(`{"alias":"ada","meta_data":{"n":1},"of_others":{"a":[1]},"rate":"x"}`)}
	r, state := within(facts)
	session := GetSession(r)
	if session == nil || session.Alias != "ada" || session.KeyID != "key" || !session.IsRestored() || GetSession(r) != session {
		t.Fatal(session)
	}
	if told := finished(t, state); told != nil {
		t.Errorf("told what did not change: %s", told.JSON)
	}
	session.MetaData["n"] = 2
	told := finished(t, state)
	if told == nil || told.Store {
		t.Fatal(told)
	}
	var fields map[string]any
	if err := json.Unmarshal(told.JSON, &fields); err != nil || fields["alias"] != "ada" ||
		fields["meta_data"].(map[string]any)["n"] != 2.0 || fields["of_others"] == nil {
		t.Errorf("%s", told.JSON)
	}
	if told := finished(t, state); told != nil {
		t.Errorf("told twice: %s", told.JSON)
	}
}

func TestSessionsThatAreNoneGiveNone(t *testing.T) {
	for _, text := range []string{"", "{", `"x"`, "[1]"} {
		facts := &call.Facts{Session: []byte(text)}
		r, _ := within(facts)
		session := GetSession(r)
		if text == "" && session != nil || text == "{" && (session != nil || len(facts.Lines()) == 0) {
			t.Error(text, session, facts.Lines())
		}
	}
}

func TestSessionOfAnotherTypeIsConverted(t *testing.T) {
	type other struct {
		Alias string `json:"alias"`
	}
	r := request().WithContext(context.WithValue(context.Background(), SessionData, &other{"ada"}))
	if session := GetSession(r); session == nil || session.Alias != "ada" {
		t.Error(session)
	}
	r = request().WithContext(context.WithValue(context.Background(), SessionData, func() {}))
	if GetSession(r) != nil {
		t.Error("a function is a session")
	}
	in, state := within(&call.Facts{})
	state.SetSession(&other{"bob"}, "k", false, func() ([]byte, error) { return []byte(`{}`), nil })
	if session := GetSession(in); session == nil || session.Alias != "bob" {
		t.Error(session)
	}
}

func TestSessionPutIntoTheContextByHandIsTold(t *testing.T) {
	r, state := within(&call.Facts{Token: "key"})
	session := &user.SessionState{Alias: "by hand"}
	r = r.WithContext(context.WithValue(r.Context(), SessionData, session))
	call.Leave(state, r.Context())
	if told := finished(t, state); told == nil || told.Key != "key" || !strings.Contains(string(told.JSON), "by hand") {
		t.Errorf("%+v", told)
	}
	r, state = within(&call.Facts{Session: []byte(`{"alias":"ada"}`)})
	r = r.WithContext(context.WithValue(r.Context(), SessionData, session))
	if GetSession(r) != session {
		t.Error("the session that was put there is hidden")
	}
	own := &user.SessionState{KeyID: "own"}
	SetSession(r, own, false)
	call.Leave(state, r.Context())
	if told := finished(t, state); GetSession(r) != own || told.Key != "own" {
		t.Errorf("%+v", told)
	}
}

func TestLeavingDecodesNoSession(t *testing.T) {
	facts := &call.Facts{Session: []byte(`{"alias":"ada"}`)}
	r, state := within(facts)
	r = r.WithContext(context.WithValue(r.Context(), ContextData, map[string]interface{}{"a": 1}))
	call.Leave(state, r.Context())
	if state.LiveSession() != nil || finished(t, state) != nil {
		t.Error("a session was decoded that nobody asked for")
	}
}

func TestKeysOfDataAnswerInAGateway(t *testing.T) {
	r, _ := within(&call.Facts{Token: "key", Session: []byte(`{"alias":"ada"}`), APIDefinition: []byte(`{"api_id":"orders"}`)})
	session, _ := r.Context().Value(SessionData).(*user.SessionState)
	definition, _ := r.Context().Value(Definition).(*apidef.APIDefinition)
	if session == nil || session != GetSession(r) || r.Context().Value(AuthToken) != "key" || definition == nil || definition.APIID != "orders" {
		t.Error(session, definition)
	}
	empty, _ := within(&call.Facts{})
	for _, key := range []Key{SessionData, AuthToken, Definition, OASDefinition, ContextData, TrackThisEndpoint,
		DoNotTrackThisEndpoint, OrigRequestURL, Trace, RequestStartTime, MCPMethod, MCPPrimitiveType, MCPPrimitiveName, JSONRPCErrorCode} {
		if value := empty.Context().Value(key); value != nil {
			t.Error(key, value)
		}
		kept := empty.WithContext(context.WithValue(empty.Context(), key, "kept"))
		if kept.Context().Value(key) != "kept" {
			t.Error(key, "is not kept")
		}
	}
	set := request().WithContext(context.WithValue(context.WithValue(context.Background(), MCPMethod, "tools/call"), JSONRPCErrorCode, 5))
	if GetMCPMethod(set) != "tools/call" || GetJSONRPCErrorCode(set) != 5 {
		t.Error("values of MCP")
	}
}

func TestDefinitionIsACopy(t *testing.T) {
	r, _ := within(&call.Facts{APIDefinition: []byte(`{"api_id":"orders","active":"odd","config_data":{"region":"eu"}}`)})
	first := GetDefinition(r)
	if first == nil || first.APIID != "orders" || first.ConfigData["region"] != "eu" {
		t.Fatal(first)
	}
	first.ConfigData["region"] = "us"
	if GetDefinition(r).ConfigData["region"] != "eu" {
		t.Error("not a copy")
	}
	for _, in := range []*http.Request{r, request()} {
		own := &apidef.APIDefinition{Name: "own", ConfigData: map[string]interface{}{"a": "b"}}
		SetDefinition(in, own)
		got := GetDefinition(in)
		if got == own || !reflect.DeepEqual(got, own) {
			t.Error(got)
		}
		own.ConfigData["f"] = func() {}
		if GetDefinition(in).Name != "own" {
			t.Error("a definition that JSON cannot say is lost")
		}
	}
	facts := &call.Facts{APIDefinition: []byte(`{`)}
	broken, _ := within(facts)
	if GetDefinition(broken) != nil || len(facts.Lines()) != 1 {
		t.Error(facts.Lines())
	}
	byHand := request().WithContext(context.WithValue(context.Background(), Definition, &apidef.APIDefinition{Name: "hand"}))
	if GetDefinition(byHand).Name != "hand" {
		t.Error("a definition put there by hand is not found")
	}
}

const document = `{"openapi":"3.0.3","info":{"title":"Orders","version":"1"},"paths":{},"x-tyk-api-gateway":{"info":{"id":"orders"},
	"middleware":{"global":{"pluginConfig":{"data":{"enabled":true,"value":{"region":"eu"}}}}}}}`

func TestDefinitionSaysWhereTokensAreInBothPlaces(t *testing.T) {
	for text, want := range map[string]string{
		`{"auth":{"auth_header_name":"X-Key"}}`:                                                           "X-Key",
		`{"auth":{"auth_header_name":"X-Key"},"auth_configs":{"authToken":{"auth_header_name":"X-Own"}}}`: "X-Own",
		`{}`: "",
	} {
		r, _ := within(&call.Facts{APIDefinition: []byte(text)})
		if got := GetDefinition(r).AuthConfigs[apidef.AuthTokenType].AuthHeaderName; got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestConfigDataOfADocument(t *testing.T) {
	r, _ := within(&call.Facts{Document: []byte(document)})
	if GetOASConfigData(r)["region"] != "eu" || GetDefinition(r) != nil {
		t.Error(GetOASConfigData(r), GetDefinition(r))
	}
	off, _ := within(&call.Facts{Document: []byte(strings.Replace(document, `"enabled":true`, `"enabled":false`, 1))})
	facts := &call.Facts{Document: []byte("{")}
	broken, _ := within(facts)
	if GetOASConfigData(off) != nil || GetOASConfigData(broken) != nil || len(facts.Lines()) != 1 {
		t.Error(GetOASConfigData(off), facts.Lines())
	}
}

func TestLimitsOfBothGenerationsAgreeOnceSet(t *testing.T) {
	r, _ := within(&call.Facts{})
	session := &user.SessionState{KeyID: "k", AccessRights: map[string]user.AccessDefinition{"a": right()}}
	SetSession(r, session, false)
	limit := GetSession(r).AccessRights["a"].Limit
	if limit.Rate != 5 || limit.RateLimit.Rate != 5 {
		t.Error(limit)
	}
}

func TestOneSessionIsDecodedHoweverManyAsk(t *testing.T) {
	r, state := within(&call.Facts{Session: []byte(`{"alias":"ada"}`)})
	const many = 16
	found := make(chan *user.SessionState, many)
	for i := 0; i < many; i++ {
		go func() {
			session := GetSession(r)
			_ = GetAuthToken(r)
			found <- session
		}()
	}
	for i := 0; i < many; i++ {
		if session := <-found; session == nil || session != state.LiveSession() {
			t.Error(session)
		}
	}
}

func TestLargeSessionGoesToTheGatewayWithoutItsZeros(t *testing.T) {
	r, state := within(&call.Facts{})
	session := &user.SessionState{
		Alias: "ada", MetaData: map[string]interface{}{"zero": 0.0, "none": nil, "empty": map[string]interface{}{}},
		AccessRights: map[string]user.AccessDefinition{},
	}
	for api := 0; api < 100; api++ {
		id := fmt.Sprintf("5e9d9544a1dcd60001d0e%03d", api)
		right := right()
		right.APIID, right.APIName, right.Versions, right.Limit.QuotaMax = id, "Orders", []string{"Default"}, -1
		session.AccessRights[id] = right
	}
	SetSession(r, session, "key-of-ada", true)
	text := finished(t, state).JSON
	if len(text) > 16<<10 {
		t.Errorf("%d bytes", len(text))
	}
	read := new(user.SessionState)
	if err := json.Unmarshal(text, read); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read.AccessRights, session.AccessRights) || !reflect.DeepEqual(read.MetaData, session.MetaData) ||
		read.Alias != "ada" {
		t.Errorf("read %+v", read)
	}
}

func TestLargeSessionOfTheGatewayKeepsWhatWasEmptiedEmpty(t *testing.T) {
	before := fmt.Sprintf(`{"alias":"ada","tags":["a"],"others":{"x":1},"meta_data":{"text":%q}}`, strings.Repeat("x", 13<<10))
	r, state := within(&call.Facts{Session: []byte(before), Token: "key-of-ada"})
	session := GetSession(r)
	session.Alias, session.Tags = "", nil
	var fields map[string]interface{}
	if err := json.Unmarshal(finished(t, state).JSON, &fields); err != nil {
		t.Fatal(err)
	}
	if fields["alias"] != nil || fields["tags"] != nil || fields["others"] == nil {
		t.Error(fields["alias"], fields["tags"], fields["others"])
	}
}
