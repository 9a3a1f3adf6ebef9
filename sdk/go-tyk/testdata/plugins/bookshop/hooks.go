// The hooks of a shop: each kind of hook once, a session that goes from one to the next, config_data and
// a module of others.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/header"
	"github.com/TykTechnologies/tyk/log"
	"github.com/TykTechnologies/tyk/user"
)

var logger = log.Get()

// NumberRequest (Pre) gives the request an id that the client gets back.
func NumberRequest(rw http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	if id == "" {
		id = uuid.NewString()
		r.Header.Set("X-Request-Id", id)
	}
	rw.Header().Set("X-Request-Id", id)
	logger.WithField("request_id", id).Debug("request begins")
}

// CheckToken (Auth) knows its tokens from config_data: {"tokens": {"TOKEN": "ALIAS"}}.
func CheckToken(rw http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get(header.Authorization), "Bearer ")
	if token == "" {
		rw.Header().Set(header.WWWAuthenticate, `Bearer realm="shop"`)
		http.Error(rw, "no token", http.StatusUnauthorized)
		return
	}
	alias, known := aliasOf(r, token)
	if !known {
		http.Error(rw, "token not known", http.StatusForbidden)
		return
	}
	session := &user.SessionState{
		KeyID:    token,
		Alias:    alias,
		OrgID:    "shop",
		Rate:     100,
		Per:      60,
		MetaData: map[string]interface{}{"tier": "gold"},
		Tags:     []string{"reader"},
	}
	ctx.SetSession(r, session, true)
}

func aliasOf(r *http.Request, token string) (string, bool) {
	definition := ctx.GetDefinition(r)
	if definition == nil {
		return "", false
	}
	tokens, _ := definition.ConfigData["tokens"].(map[string]interface{})
	alias, known := tokens[token].(string)
	return alias, known
}

// TellSession (Post-Auth) tells the upstream who asks.
func TellSession(rw http.ResponseWriter, r *http.Request) {
	session := ctx.GetSession(r)
	if session == nil {
		http.Error(rw, "no session", http.StatusInternalServerError)
		return
	}
	tier, _ := session.MetaData["tier"].(string)
	r.Header.Set("X-Reader", session.Alias)
	r.Header.Set("X-Tier", tier)
	r.Header.Set("X-Token-Length", strconv.Itoa(len(ctx.GetAuthToken(r))))
}

// HideToken (Post) keeps the token from the upstream.
func HideToken(rw http.ResponseWriter, r *http.Request) {
	r.Header.Del(header.Authorization)
}

// CheckOrder (one endpoint) reads the body of an order and lets it pass when it names a book.
func CheckOrder(rw http.ResponseWriter, r *http.Request) {
	var order struct {
		Book   string `json:"book"`
		Copies int    `json:"copies"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &order)
	}
	if err != nil || order.Book == "" {
		rw.Header().Set(header.ContentType, header.ApplicationJSON)
		rw.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(rw).Encode(map[string]string{"error": "an order names a book"})
		return
	}
	r.Header.Set("X-Copies", strconv.Itoa(order.Copies))
}

// SignResponse (Response) wraps what the upstream answered.
func SignResponse(rw http.ResponseWriter, res *http.Response, req *http.Request) {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		http.Error(rw, "upstream broke off", http.StatusBadGateway)
		return
	}
	wrapped, _ := json.Marshal(map[string]interface{}{
		"shop": "acme",
		"id":   req.Header.Get("X-Request-Id"),
		"data": json.RawMessage(orNull(body)),
	})
	res.Body = io.NopCloser(bytes.NewReader(wrapped))
	res.ContentLength = int64(len(wrapped))
	res.Header.Set(header.ContentLength, strconv.Itoa(len(wrapped)))
	res.Header.Set(header.ContentType, header.ApplicationJSON)
}

func orNull(body []byte) []byte {
	if !json.Valid(body) {
		return []byte("null")
	}
	return body
}

func main() {}
