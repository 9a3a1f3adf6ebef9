// Checks JSON Web Tokens with golang-jwt; keys come from a JWKS address that a goroutine asks again and again.
package main

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/sirupsen/logrus"

	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/log"
	"github.com/TykTechnologies/tyk/user"
)

var (
	logger = log.Get().WithFields(logrus.Fields{"prefix": "jwt-auth"})
	keys   = &keySet{byID: map[string]*rsa.PublicKey{}}
	client = &http.Client{Timeout: 5 * time.Second}
)

type keySet struct {
	sync.RWMutex
	byID map[string]*rsa.PublicKey
}

func init() {
	if address := os.Getenv("JWKS_URL"); address != "" {
		go keys.refresh(address, 30*time.Second)
	}
}

func (k *keySet) refresh(address string, every time.Duration) {
	defer func() {
		if fault := recover(); fault != nil {
			logger.Errorf("refresh of keys ended: %v", fault)
		}
	}()
	for {
		if err := k.fetch(address); err != nil {
			logger.WithError(err).Warn("keys not refreshed")
		}
		time.Sleep(every)
	}
}

func (k *keySet) fetch(address string) error {
	answer, err := client.Get(address)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
			N  string `json:"n"`
			E  string `json:"e"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return err
	}
	fresh := map[string]*rsa.PublicKey{}
	for _, key := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(key.N)
		e, errE := base64.RawURLEncoding.DecodeString(key.E)
		if errN != nil || errE != nil {
			continue
		}
		fresh[key.ID] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	k.Lock()
	k.byID = fresh
	k.Unlock()
	return nil
}

func (k *keySet) find(token *jwt.Token) (interface{}, error) {
	switch token.Method.(type) {
	case *jwt.SigningMethodHMAC:
		secret := os.Getenv("JWT_SECRET")
		if secret == "" {
			return nil, errors.New("no secret is set")
		}
		return []byte(secret), nil
	case *jwt.SigningMethodRSA:
		id, _ := token.Header["kid"].(string)
		k.RLock()
		defer k.RUnlock()
		if key := k.byID[id]; key != nil {
			return key, nil
		}
		return nil, errors.New("key not known")
	}
	return nil, errors.New("signing method not taken")
}

// JWTAuth (Auth) makes a session of a token's claims.
func JWTAuth(rw http.ResponseWriter, r *http.Request) {
	raw := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(raw, claims, keys.find)
	if err != nil || !token.Valid {
		logger.WithError(err).Info("token refused")
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusUnauthorized)
		json.NewEncoder(rw).Encode(map[string]string{"error": "token refused"})
		return
	}
	subject, _ := claims.GetSubject()
	session := user.NewSessionState()
	session.KeyID = subject
	session.Alias = subject
	session.OrgID = "acme"
	session.MetaData = map[string]interface{}{"claims": map[string]interface{}(claims)}
	if until, err := claims.GetExpirationTime(); err == nil && until != nil {
		session.Expires = until.Unix()
	}
	ctx.SetSession(r, session, false)
}

// Subject (Post-Auth) writes the token's subject into a header.
func Subject(rw http.ResponseWriter, r *http.Request) {
	if session := ctx.GetSession(r); session != nil {
		r.Header.Set("X-Subject", session.Alias)
	}
}

func main() {}
