// Written for Tyk 2.9: no go.mod, constants under the older path, and a session set with its key.
package main

import (
	"encoding/json"
	"io/ioutil"
	"net/http"

	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/headers"
	"github.com/TykTechnologies/tyk/log"
	"github.com/TykTechnologies/tyk/user"
)

const keys = "valid-key"

// MyPluginAuthCheck (Auth) knows one key.
func MyPluginAuthCheck(rw http.ResponseWriter, r *http.Request) {
	token := r.Header.Get(headers.Authorization)
	if token != keys {
		rw.Header().Set(headers.ContentType, headers.ApplicationJSON)
		rw.WriteHeader(http.StatusForbidden)
		data, _ := json.Marshal(map[string]interface{}{"error": "wrong key"})
		rw.Write(data)
		return
	}
	session := &user.SessionState{
		OrgID: "default",
		Alias: "old-friend",
		MetaData: map[string]interface{}{
			"token": token,
		},
	}
	ctx.SetSession(r, session, token, true)
	log.Get().Println("session of an old friend")
}

// MyPluginPost (Post) puts something of the session into the request.
func MyPluginPost(rw http.ResponseWriter, r *http.Request) {
	session := ctx.GetSession(r)
	if session == nil {
		return
	}
	r.Header.Set("X-Alias", session.Alias)
	r.Header.Set("X-Key", ctx.GetAuthToken(r))
}

// MyPluginUpper (Post) reads the body and leaves it as it is.
func MyPluginUpper(rw http.ResponseWriter, r *http.Request) {
	body, err := ioutil.ReadAll(r.Body)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	if len(body) == 0 {
		http.Error(rw, "a body is needed", http.StatusBadRequest)
	}
}

// MyPluginLimits (Auth) gives rights to one API, whose limit was a pointer then.
func MyPluginLimits(rw http.ResponseWriter, r *http.Request) {
	definition := ctx.GetDefinition(r)
	if definition == nil {
		http.Error(rw, "no definition", http.StatusInternalServerError)
		return
	}
	session := &user.SessionState{Alias: "limited"}
	session.SetAccessRight(definition.APIID, user.AccessDefinition{
		APIID:    definition.APIID,
		APIName:  definition.Name,
		Versions: []string{"Default"},
		Limit:    &user.APILimit{Rate: 10, Per: 60},
	})
	ctx.SetSession(r, session, r.Header.Get(headers.Authorization), false)
}

func main() {}
