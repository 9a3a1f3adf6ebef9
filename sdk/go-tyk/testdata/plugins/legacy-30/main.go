// Written for Tyk 3.0: an old go line, the definition's versions and config_data, limits per API.
package main

import (
	"fmt"
	"net/http"

	"github.com/TykTechnologies/tyk/apidef"
	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/headers"
	"github.com/TykTechnologies/tyk/request"
	"github.com/TykTechnologies/tyk/user"
)

// Limits (Auth) gives rights for the API that is asked.
func Limits(rw http.ResponseWriter, r *http.Request) {
	definition := ctx.GetDefinition(r)
	if definition == nil {
		http.Error(rw, "no definition", http.StatusInternalServerError)
		return
	}
	session := &user.SessionState{
		OrgID: definition.OrgID,
		KeyID: r.Header.Get(headers.Authorization),
		AccessRights: map[string]user.AccessDefinition{
			definition.APIID: {
				APIName:  definition.Name,
				APIID:    definition.APIID,
				Versions: []string{"Default"},
				Limit:    user.APILimit{Rate: 10, Per: 1, QuotaMax: -1},
			},
		},
	}
	if session.KeyID == "" {
		http.Error(rw, "no key", http.StatusUnauthorized)
		return
	}
	ctx.SetSession(r, session, true, true)
}

// Describe (Post) writes what the definition says into headers.
func Describe(rw http.ResponseWriter, r *http.Request) {
	definition := ctx.GetDefinition(r)
	if definition == nil {
		return
	}
	r.Header.Set("X-Api", fmt.Sprintf("%s %s", definition.Name, definition.Proxy.ListenPath))
	r.Header.Set("X-Region", text(definition, "region"))
	r.Header.Set("X-Client", request.RealIP(r))
}

func text(definition *apidef.APIDefinition, name string) string {
	value, _ := definition.ConfigData[name].(string)
	return value
}

func main() {}
