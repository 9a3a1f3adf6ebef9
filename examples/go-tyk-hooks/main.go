// A plugin as it is written for Tyk, with a function for each kind of hook. Nothing in it knows Gantry:
//
//	gantry build --name go-tyk-hooks .
//
// makes the libraries of it, api.json uses it, and config_data there says what it takes:
//
//	{"readers": {"TOKEN": "ALIAS"}, "audit": "https://audit.example/"}
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/log"
	"github.com/TykTechnologies/tyk/user"
)

var logger = log.Get().WithField("plugin", "go-tyk-hooks")

type requestID struct{}

// NumberRequest (Pre) gives each request an id. Later functions find it in the context, and the client in
// a header.
func NumberRequest(rw http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	if _, err := uuid.Parse(id); err != nil {
		id = uuid.NewString()
		r.Header.Set("X-Request-Id", id)
	}
	*r = *r.WithContext(context.WithValue(r.Context(), requestID{}, id))
	rw.Header().Set("X-Request-Id", id)
}

// CheckReader (Auth) knows readers by the tokens in config_data.
func CheckReader(rw http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	readers, _ := configData(r)["readers"].(map[string]interface{})
	alias, known := readers[token].(string)
	if !known {
		rw.Header().Set("WWW-Authenticate", `Bearer realm="books"`)
		http.Error(rw, "a reader's token is needed", http.StatusUnauthorized)
		return
	}
	ctx.SetSession(r, &user.SessionState{
		KeyID:    token,
		Alias:    alias,
		MetaData: map[string]interface{}{"since": time.Now().UTC().Format(time.RFC3339)},
	}, false)
}

func configData(r *http.Request) map[string]interface{} {
	if definition := ctx.GetDefinition(r); definition != nil {
		return definition.ConfigData
	}
	return nil
}

// NameReader (Post-Auth) tells the upstream who reads.
func NameReader(rw http.ResponseWriter, r *http.Request) {
	if session := ctx.GetSession(r); session != nil {
		r.Header.Set("X-Reader", session.Alias)
		logger.WithField("reader", session.Alias).Debug("reader is known")
	}
}

// HideToken (Post) keeps the token from the upstream.
func HideToken(_ http.ResponseWriter, r *http.Request) { r.Header.Del("Authorization") }

// AuditOrder (one endpoint) tells another service of an order before it goes on, and refuses it if that
// does not agree. It may wait: it holds up no other request.
func AuditOrder(rw http.ResponseWriter, r *http.Request) {
	address, _ := configData(r)["audit"].(string)
	order, err := io.ReadAll(r.Body)
	if err != nil || address == "" {
		http.Error(rw, "orders are not taken", http.StatusServiceUnavailable)
		return
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, address, bytes.NewReader(order))
	if err != nil {
		http.Error(rw, "orders are not taken", http.StatusServiceUnavailable)
		return
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		logger.WithError(err).Warn("ask the audit")
		http.Error(rw, "orders are not taken", http.StatusServiceUnavailable)
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusBadRequest {
		http.Error(rw, "this order is not taken", http.StatusConflict)
	}
}

// WrapAnswer (Response) puts the upstream's JSON into an envelope with the request's id.
func WrapAnswer(_ http.ResponseWriter, res *http.Response, req *http.Request) {
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		return
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || !json.Valid(body) {
		return
	}
	id, _ := req.Context().Value(requestID{}).(string)
	envelope, err := json.Marshal(map[string]interface{}{"request": id, "data": json.RawMessage(body)})
	if err != nil {
		return
	}
	res.Body = io.NopCloser(bytes.NewReader(envelope))
}

func main() {}
