package user

import (
	"encoding/json"
	"sort"
	"testing"
	"time"

	"github.com/TykTechnologies/tyk/apidef"
)

func rates(t *testing.T, limit APILimit) [2]float64 {
	t.Helper()
	fields := object(t, encoded(t, limit))
	return [2]float64{fields["rate"].(float64), fields["per"].(float64)}
}

func TestBothKindsOfLimitsCompileAndAreWritten(t *testing.T) {
	var read, embedded, direct APILimit
	for _, limit := range []*APILimit{&read, &embedded, &direct} {
		if err := json.Unmarshal([]byte(`{"rate":10,"per":1}`), limit); err != nil {
			t.Fatal(err)
		}
	}
	embedded.RateLimit.Rate = 0
	direct.Rate, direct.Per = 20, 2
	for name, c := range map[string]struct {
		limit APILimit
		want  [2]float64
	}{
		"up to 5.4":              {APILimit{Rate: 3, Per: 4}, [2]float64{3, 4}},
		"since 5.5":              {APILimit{RateLimit: RateLimit{Rate: 3, Per: 4}}, [2]float64{3, 4}},
		"read":                   {read, [2]float64{10, 1}},
		"read, embedded changed": {embedded, [2]float64{0, 1}},
		"read, direct changed":   {direct, [2]float64{20, 2}},
	} {
		if got := rates(t, c.limit); got != c.want {
			t.Error(name, got)
		}
	}
	if read.Rate != 10 || read.RateLimit.Rate != 10 {
		t.Error(read)
	}
	if err := json.Unmarshal([]byte(`{"rate":"x"}`), &read); err == nil {
		t.Error("a text is a rate")
	}
}

func TestAgreedLimitsSayTheSameInBothKindsOfFields(t *testing.T) {
	session := NewSessionState()
	session.SetAccessRight("a", withLimit(APILimit{RateLimit: RateLimit{Rate: 3, Per: 4}}))
	session.SetAccessRight("b", withLimit(APILimit{Rate: 5, Per: 6}))
	session.SetAccessRight("c", AccessDefinition{})
	AgreeLimits(session)
	for api, want := range map[string]RateLimit{"a": {Rate: 3, Per: 4}, "b": {Rate: 5, Per: 6}, "c": {}} {
		limit := session.AccessRights[api].limit()
		if limit.RateLimit != want || limit.Rate != want.Rate || limit.Per != want.Per {
			t.Error(api, limit)
		}
	}
}

func TestDurationsOfLimits(t *testing.T) {
	if got := (APILimit{Rate: 2, Per: 1}).Duration(); got != 500*time.Millisecond {
		t.Error(got)
	}
	if (RateLimit{Rate: 2}).Duration() != 0 || (APILimit{}).Duration() != 0 {
		t.Error("no limit has a duration")
	}
	if fast, slow := (APILimit{Rate: 10, Per: 1}), (APILimit{Rate: 1, Per: 1}); !fast.Less(slow) || slow.Less(fast) {
		t.Error("order")
	}
}

func TestEmptyLimits(t *testing.T) {
	if !(APILimit{}).IsEmpty() || !(AccessDefinition{}).IsEmpty() {
		t.Error("nothing is something")
	}
	for name, limit := range map[string]APILimit{
		"rate": {Rate: 1}, "embedded": {RateLimit: RateLimit{Per: 1}}, "interval": {ThrottleInterval: 1},
		"retries": {ThrottleRetryLimit: 1}, "depth": {MaxQueryDepth: 1}, "quota": {QuotaMax: -1}, "renews": {QuotaRenews: 1},
		"remaining": {QuotaRemaining: 1}, "renewal": {QuotaRenewalRate: 1}, "set by": {SetBy: "p"},
		"smoothing": {Smoothing: &apidef.RateLimitSmoothing{}},
	} {
		if limit.IsEmpty() || withLimit(limit).IsEmpty() {
			t.Error(name)
		}
	}
}

func TestClonedLimitSharesNothing(t *testing.T) {
	limit := APILimit{Rate: 1, SetBy: "p", Smoothing: &apidef.RateLimitSmoothing{Step: 1}}
	copied := limit.Clone()
	copied.Smoothing.Step = 2
	if limit.Smoothing.Step != 1 || copied.Rate != 1 || copied.RateLimit.Rate != 1 || copied.SetBy != "p" {
		t.Error(limit, copied)
	}
}

func TestEndpointsSortByName(t *testing.T) {
	var _ = Endpoint{Methods: EndpointMethods{EndpointMethod{}}}
	endpoints := Endpoints{{Path: "/b"}, {Path: "/a", Methods: EndpointMethods{{Name: "PUT"}, {Name: "GET"}}}}
	sort.Sort(endpoints)
	sort.Sort(endpoints[0].Methods)
	if endpoints[0].Path != "/a" || endpoints[0].Methods[0].Name != "GET" || !endpoints[0].Methods.Contains("PUT") ||
		endpoints[0].Methods.Contains("POST") {
		t.Error(endpoints)
	}
}

func TestRulesOfMCP(t *testing.T) {
	for kind, good := range map[string]bool{"tool": true, "resource": true, "prompt": true, "other": false} {
		if (MCPPrimitiveLimit{Type: kind}.Validate() == nil) != good {
			t.Error(kind)
		}
	}
	rules := AccessControlRules{Blocked: []string{"x"}}
	if rules.IsEmpty() || rules.IsZero() || (MCPAccessRights{Prompts: rules}).IsEmpty() || !(MCPAccessRights{}).IsZero() {
		t.Error("rules")
	}
	if (AccessDefinition{JSONRPCMethods: []JSONRPCMethodLimit{{Name: "m"}}}).IsEmpty() {
		t.Error("a definition with a method is empty")
	}
	var _ = FieldAccessDefinition{Limits: FieldLimits{MaxQueryDepth: 1}}
	var _ = AccessSpec{URL: "/"}
	var _ = GraphQLType{Name: "Query"}
}
