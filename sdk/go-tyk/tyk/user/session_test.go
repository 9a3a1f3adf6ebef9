package user

import (
	"reflect"
	"testing"
	"time"
)

func TestMarksOfASession(t *testing.T) {
	session := NewSessionState()
	if session.IsModified() || session.IsRestored() || !session.KeyHashEmpty() || session.KeyHash() != "" {
		t.Errorf("%+v", session)
	}
	session.Touch()
	session.MarkAsRestored()
	session.SetKeyHash("h")
	if !session.IsModified() || !session.IsRestored() || session.KeyHash() != "h" || session.GetKeyHash() != "h" || session.KeyHashEmpty() {
		t.Errorf("%+v", session)
	}
	session.Reset()
	session.MarkAsNew()
	if session.IsModified() || session.IsRestored() {
		t.Errorf("%+v", session)
	}
}

func TestPoliciesOfASession(t *testing.T) {
	for name, c := range map[string]struct {
		session SessionState
		want    []string
	}{
		"none":  {SessionState{}, nil},
		"older": {SessionState{ApplyPolicyID: "a"}, []string{"a"}},
		"newer": {SessionState{ApplyPolicyID: "a", ApplyPolicies: []string{"b", "c"}}, []string{"b", "c"}},
	} {
		if got := c.session.PolicyIDs(); !reflect.DeepEqual(got, c.want) || !reflect.DeepEqual(c.session.GetPolicyIDs(), c.want) {
			t.Error(name, got)
		}
	}
	session := SessionState{ApplyPolicyID: "old"}
	session.SetPolicies("a", "b")
	for _, c := range []struct {
		ids  []string
		want bool
	}{{[]string{"b", "a"}, true}, {[]string{"a"}, false}, {[]string{"a", "c"}, false}, {nil, false}} {
		if session.ApplyPolicyID != "" || session.PoliciesEqualTo(c.ids) != c.want {
			t.Error(c.ids)
		}
	}
}

func TestQuotaIsTheAPIsBeforeTheSessions(t *testing.T) {
	session := SessionState{QuotaMax: 1, QuotaRemaining: 2, QuotaRenewalRate: 3, QuotaRenews: 4}
	limit := APILimit{QuotaMax: 5, QuotaRemaining: 6, QuotaRenewalRate: 7, QuotaRenews: 8}
	session.SetAccessRight("own", withLimit(limit))
	session.SetAccessRight("none", AccessDefinition{})
	for api, want := range map[string][4]int64{"own": {5, 6, 7, 8}, "none": {1, 2, 3, 4}, "other": {1, 2, 3, 4}} {
		max, remaining, rate, renews := session.GetQuotaLimitByAPIID(api)
		if got := [4]int64{max, remaining, rate, renews}; got != want {
			t.Error(api, got)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	_, session := golden(t)
	copied := session.Clone()
	if !reflect.DeepEqual(object(t, encoded(t, session)), object(t, encoded(t, copied))) {
		t.Error("the copy differs")
	}
	before := string(encoded(t, session))
	copied.AccessRights["orders"] = AccessDefinition{}
	copied.AccessRights["more"] = AccessDefinition{}
	copied.OauthKeys["client"] = "other"
	copied.MtlsStaticCertificateBindings[0] = "other"
	copied.ApplyPolicies[0] = "other"
	copied.Tags[0] = "other"
	copied.Monitor.TriggerLimits[0] = 1
	copied.MetaData["more"].(map[string]interface{})["a"].([]interface{})[0] = "other"
	copied.Smoothing.Step = 99
	if after := string(encoded(t, session)); after != before {
		t.Error(after)
	}
	if empty := (SessionState{}).Clone(); empty.AccessRights != nil || empty.MetaData != nil || empty.Tags != nil || empty.OauthKeys != nil {
		t.Errorf("%+v", empty)
	}
}

func TestMD5HashTellsSessionsApart(t *testing.T) {
	one, same, other := SessionState{Alias: "a"}, SessionState{Alias: "a"}, SessionState{Alias: "b"}
	if one.MD5Hash() != same.MD5Hash() || one.MD5Hash() == other.MD5Hash() || len(one.MD5Hash()) != 32 {
		t.Error(one.MD5Hash(), same.MD5Hash(), other.MD5Hash())
	}
	keyed := SessionState{Alias: "a", KeyID: "k"}
	if keyed.MD5Hash() == one.MD5Hash() {
		t.Error("the key is not in the digest")
	}
	broken := SessionState{MetaData: map[string]interface{}{"f": func() {}}}
	if len(broken.MD5Hash()) != 32 {
		t.Error("no digest of what JSON cannot say")
	}
}

func TestLifetimeInEachShape(t *testing.T) {
	later := time.Now().Add(time.Hour).Unix()
	for name, c := range map[string]struct {
		session SessionState
		shape   []interface{}
		min     int64
		max     int64
	}{
		"own":                    {SessionState{SessionLifetime: 5}, []interface{}{int64(7)}, 5, 5},
		"fallback":               {SessionState{}, []interface{}{int64(7)}, 7, 7},
		"fallback, constant":     {SessionState{}, []interface{}{7}, 7, 7},
		"nothing":                {SessionState{}, nil, 0, 0},
		"negative":               {SessionState{}, []interface{}{int64(-1)}, 0, 0},
		"newer, fallback":        {SessionState{}, []interface{}{false, int64(7), false, int64(9)}, 7, 7},
		"newer, forced":          {SessionState{SessionLifetime: 5}, []interface{}{false, int64(7), true, int64(9)}, 9, 9},
		"newer, expires later":   {SessionState{SessionLifetime: 5, Expires: later}, []interface{}{true, int64(7), false, int64(9)}, 3590, 3600},
		"newer, expires ignored": {SessionState{SessionLifetime: 5, Expires: later}, []interface{}{false, int64(7), false, int64(9)}, 5, 5},
	} {
		if got := c.session.Lifetime(c.shape...); got < c.min || got > c.max {
			t.Error(name, got)
		}
	}
}

func TestAccessorsOfTyk29(t *testing.T) {
	session := NewSessionState()
	session.SetMetaDataKey("a", 1)
	session.SetMetaDataKey("b", 2)
	session.RemoveMetaData("b")
	if value, found := session.GetMetaDataByKey("a"); !found || value != 1 || len(session.GetMetaData()) != 1 {
		t.Error(value, found)
	}
	if _, found := session.GetMetaDataByKey("b"); found {
		t.Error("b is still there")
	}
	session.SetMetaData(nil)
	session.SetAccessRight("x", AccessDefinition{APIName: "X"})
	if right, found := session.GetAccessRightByAPIID("x"); !found || right.APIName != "X" || len(session.GetAccessRights()) != 1 {
		t.Error(right, found)
	}
	session.SetAccessRights(nil)
	if session.GetAccessRights() != nil || session.GetMetaData() != nil {
		t.Errorf("%+v", session)
	}
}

func TestPasswordMakesBasicAuth(t *testing.T) {
	session := SessionState{BasicAuthData: BasicAuthData{Password: "p", Hash: HashBCrypt}}
	if !session.IsBasicAuth() || (&SessionState{}).IsBasicAuth() {
		t.Error("basic auth")
	}
	for name, want := range map[string]bool{"": true, "bcrypt": true, "sha256": true, "murmur32": true, "murmur64": true,
		"murmur128": true, "rot13": false} {
		if IsHashType(name) != want {
			t.Error(name)
		}
	}
	var _ HashType = HashBCrypt
	var _ PostExpiryAction = PostExpiryActionDelete
	if PostExpiryActionDelete != "delete" || PostExpiryActionRetain != "retain" || HashPlainText != "" ||
		HashSha256 != "sha256" || HashMurmur32 != "murmur32" || HashMurmur64 != "murmur64" || HashMurmur128 != "murmur128" {
		t.Error("names")
	}
}

func TestCustomPoliciesGoThroughMetadataInOrder(t *testing.T) {
	session := NewSessionState()
	if _, err := session.GetCustomPolicies(); err == nil {
		t.Error("policies where there are none")
	}
	if _, err := session.CustomPolicies(); err == nil {
		t.Error("policies where there are none")
	}
	session.SetCustomPolicies([]Policy{
		{ID: "b", Rate: 2, Per: 1, QuotaMax: 3, Partitions: PolicyPartitions{Quota: true}},
		{ID: "a", AccessRights: map[string]AccessDefinition{"x": {APIID: "x"}}},
	})
	_, decoded := golden(t)
	text := encoded(t, session)
	decoded.MetaData = object(t, text)["meta_data"].(map[string]any)
	for name, of := range map[string]*SessionState{"live": session, "decoded": decoded} {
		list, err := of.GetCustomPolicies()
		if err != nil || len(list) != 2 || list[0].ID != "b" || list[1].ID != "a" || list[1].AccessRights["x"].APIID != "x" {
			t.Error(name, list, err)
		}
		byID, err := of.CustomPolicies()
		if err != nil || byID["b"].QuotaMax != 3 {
			t.Error(name, byID, err)
		}
	}
	session.MetaData["policies"] = []interface{}{1}
	if _, err := session.GetCustomPolicies(); err == nil {
		t.Error("a number is a policy")
	}
	session.MetaData["policies"] = []interface{}{func() {}}
	if _, err := session.GetCustomPolicies(); err == nil {
		t.Error("a function is a policy")
	}
	if !(PolicyPartitions{Acl: true}).Enabled() || (PolicyPartitions{PerAPI: true}).Enabled() {
		t.Error("partitions")
	}
	if limit := (&Policy{Rate: 4, Per: 2, QuotaMax: 3}).APILimit(); limit.Rate != 4 || limit.RateLimit.Per != 2 || limit.QuotaMax != 3 {
		t.Error(limit)
	}
	var _ map[string]GraphAccessDefinition = Policy{}.GraphQL
}
