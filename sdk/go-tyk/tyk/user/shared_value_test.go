//go:build !gantry_limit_pointer

package user

import "testing"

func TestMapOfASessionThatOthersUseIsNotWrittenTo(t *testing.T) {
	rights := map[string]AccessDefinition{
		"a": {Limit: APILimit{RateLimit: RateLimit{Rate: 5, Per: 1}}},
		"b": {Limit: APILimit{Rate: 7, Per: 1}},
	}
	session := &SessionState{AccessRights: rights}
	AgreeLimits(session)
	if a, b := rights["a"].Limit, rights["b"].Limit; a.Rate != 0 || b.RateLimit.Rate != 0 {
		t.Error("the map that the plugin gave was written to", a, b)
	}
	if a, b := session.AccessRights["a"].Limit, session.AccessRights["b"].Limit; a.Rate != 5 || b.RateLimit.Rate != 7 {
		t.Error("the session's limits do not agree", a, b)
	}
}
