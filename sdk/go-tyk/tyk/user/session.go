// Package user holds what a consumer is known by: the session, its rights and limits. It only holds and
// encodes: the gateway decides with it. JSON names are Tyk's, so sessions go to and fro unchanged.
package user

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"time"

	"github.com/TykTechnologies/tyk/apidef"
)

// HashType says how a password is kept.
type HashType string

// The ways that Tyk knows.
const (
	HashPlainText HashType = ""
	HashBCrypt    HashType = "bcrypt"
	HashSha256    HashType = "sha256"
	HashMurmur32  HashType = "murmur32"
	HashMurmur64  HashType = "murmur64"
	HashMurmur128 HashType = "murmur128"
)

// IsHashType says whether a name is one of the ways.
func IsHashType(t string) bool {
	switch HashType(t) {
	case HashPlainText, HashBCrypt, HashSha256, HashMurmur32, HashMurmur64, HashMurmur128:
		return true
	}
	return false
}

// PostExpiryAction says what becomes of a session that has expired. It is kept and without effect.
type PostExpiryAction string

// The actions that Tyk knows.
const (
	PostExpiryActionRetain PostExpiryAction = "retain"
	PostExpiryActionDelete PostExpiryAction = "delete"
)

// BasicAuthData is the password of a session.
type BasicAuthData struct {
	Password string   `json:"password"`
	Hash     HashType `json:"hash_type"`
}

// JWTData is the secret of a session's tokens.
type JWTData struct {
	Secret string `json:"secret"`
}

// Monitor holds shares of the quota, in percent, at which somebody is told. They are kept and without effect.
type Monitor struct {
	TriggerLimits []float64 `json:"trigger_limits"`
}

// SessionState is what is known of a consumer. The gateway enforces IsInactive, Expires and AccessRights
// after the Post-Auth hooks, and refuses requests whose session names policies. All else is kept.
type SessionState struct {
	LastCheck                     int64                       `json:"last_check"`
	Allowance                     float64                     `json:"allowance"`
	Rate                          float64                     `json:"rate"`
	Per                           float64                     `json:"per"`
	ThrottleInterval              float64                     `json:"throttle_interval"`
	ThrottleRetryLimit            int                         `json:"throttle_retry_limit"`
	MaxQueryDepth                 int                         `json:"max_query_depth"`
	DateCreated                   time.Time                   `json:"date_created"`
	Expires                       int64                       `json:"expires"` // Unix seconds; 0 or less: never
	QuotaMax                      int64                       `json:"quota_max"`
	QuotaRenews                   int64                       `json:"quota_renews"`
	QuotaRemaining                int64                       `json:"quota_remaining"`
	QuotaRenewalRate              int64                       `json:"quota_renewal_rate"`
	AccessRights                  map[string]AccessDefinition `json:"access_rights"` // by API id
	OrgID                         string                      `json:"org_id"`
	OauthClientID                 string                      `json:"oauth_client_id"`
	OauthKeys                     map[string]string           `json:"oauth_keys"`
	Certificate                   string                      `json:"certificate"`
	MtlsStaticCertificateBindings []string                    `json:"mtls_static_certificate_bindings"`
	BasicAuthData                 BasicAuthData               `json:"basic_auth_data"`
	JWTData                       JWTData                     `json:"jwt_data"`
	HMACEnabled                   bool                        `json:"hmac_enabled"`
	EnableHTTPSignatureValidation bool                        `json:"enable_http_signature_validation"`
	HmacSecret                    string                      `json:"hmac_string"`
	RSACertificateId              string                      `json:"rsa_certificate_id"`
	IsInactive                    bool                        `json:"is_inactive"`
	ApplyPolicyID                 string                      `json:"apply_policy_id"`
	ApplyPolicies                 []string                    `json:"apply_policies"`
	DataExpires                   int64                       `json:"data_expires"`
	Monitor                       Monitor                     `json:"monitor"`
	// Deprecated: EnableDetailedRecording is its newer name.
	EnableDetailRecording   bool                   `json:"enable_detail_recording"`
	EnableDetailedRecording bool                   `json:"enable_detailed_recording"`
	MetaData                map[string]interface{} `json:"meta_data"`
	Tags                    []string               `json:"tags"`
	Alias                   string                 `json:"alias"`
	LastUpdated             string                 `json:"last_updated"`
	IdExtractorDeadline     int64                  `json:"id_extractor_deadline"`
	SessionLifetime         int64                  `json:"session_lifetime"`
	PostExpiryAction        PostExpiryAction       `json:"post_expiry_action,omitempty"`
	PostExpiryGracePeriod   int64                  `json:"post_expiry_grace_period"`
	// KeyID is the consumer key. It goes beside the session, never in it.
	KeyID string `json:"-"`

	// Smoothing is kept and without effect.
	Smoothing *apidef.RateLimitSmoothing `json:"smoothing,omitempty"`

	keyHash  string
	modified bool
	restored bool
}

// NewSessionState gives an empty session.
func NewSessionState() *SessionState { return &SessionState{} }

// Touch marks the session as changed, so that SetSession keeps it; the gateway compares by itself.
func (s *SessionState) Touch() { s.modified = true }

// Reset takes the mark of Touch away.
func (s *SessionState) Reset() { s.modified = false }

// IsModified says whether Touch has marked the session.
func (s *SessionState) IsModified() bool { return s.modified }

// MarkAsNew says that the session was made here.
func (s *SessionState) MarkAsNew() { s.restored = false }

// MarkAsRestored says that the session was read from where sessions are kept.
func (s *SessionState) MarkAsRestored() { s.restored = true }

// IsRestored says whether the session was read from where sessions are kept.
func (s *SessionState) IsRestored() bool { return s.restored }

// MD5Hash is a digest of all fields, for comparing two sessions. It protects nothing.
func (s *SessionState) MD5Hash() string {
	text, err := json.Marshal(s)
	if err != nil {
		text = []byte(fmt.Sprintf("%+v", s))
	}
	return fmt.Sprintf("%x", md5.Sum(append(text, s.KeyID...)))
}

// KeyHash is the digest that SetKeyHash was given; empty before (where Tyk panics).
func (s *SessionState) KeyHash() string { return s.keyHash }

// GetKeyHash is KeyHash under an older name.
func (s *SessionState) GetKeyHash() string { return s.keyHash }

// SetKeyHash keeps a digest of the key. It stays in the process.
func (s *SessionState) SetKeyHash(hash string) { s.keyHash = hash }

// KeyHashEmpty says whether SetKeyHash has not been called.
func (s *SessionState) KeyHashEmpty() bool { return s.keyHash == "" }

// PolicyIDs names the session's policies: ApplyPolicies, else ApplyPolicyID.
func (s *SessionState) PolicyIDs() []string {
	switch {
	case len(s.ApplyPolicies) > 0:
		return s.ApplyPolicies
	case s.ApplyPolicyID != "":
		return []string{s.ApplyPolicyID}
	}
	return nil
}

// GetPolicyIDs is PolicyIDs under an older name.
func (s *SessionState) GetPolicyIDs() []string { return s.PolicyIDs() }

// SetPolicies names the session's policies, in place of all it had.
func (s *SessionState) SetPolicies(ids ...string) {
	s.ApplyPolicyID, s.ApplyPolicies = "", ids
}

// PoliciesEqualTo says whether ApplyPolicies names these and no others, in whatever order.
func (s *SessionState) PoliciesEqualTo(ids []string) bool {
	if len(ids) != len(s.ApplyPolicies) {
		return false
	}
	wanted := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		wanted[id] = struct{}{}
	}
	for _, id := range s.ApplyPolicies {
		if _, found := wanted[id]; !found {
			return false
		}
	}
	return true
}

// GetQuotaLimitByAPIID gives quota, remaining quota, renewal rate and renewal time: those of the API if it
// has a limit of its own, else the session's.
func (s *SessionState) GetQuotaLimitByAPIID(apiID string) (int64, int64, int64, int64) {
	if access, found := s.AccessRights[apiID]; found {
		if limit := access.limit(); !limit.IsEmpty() {
			return limit.QuotaMax, limit.QuotaRemaining, limit.QuotaRenewalRate, limit.QuotaRenews
		}
	}
	return s.QuotaMax, s.QuotaRemaining, s.QuotaRenewalRate, s.QuotaRenews
}

// IsBasicAuth says whether the session has a password.
func (s *SessionState) IsBasicAuth() bool { return s.BasicAuthData.Password != "" }

// APILimit gives the session's own limits in the shape of an API's.
func (s *SessionState) APILimit() APILimit {
	rate := RateLimit{Rate: s.Rate, Per: s.Per, Smoothing: s.Smoothing}
	return APILimit{
		RateLimit: rate, Rate: rate.Rate, Per: rate.Per, Smoothing: rate.Smoothing, decoded: rate,
		ThrottleInterval: s.ThrottleInterval, ThrottleRetryLimit: s.ThrottleRetryLimit,
		MaxQueryDepth: s.MaxQueryDepth, QuotaMax: s.QuotaMax, QuotaRenews: s.QuotaRenews,
		QuotaRemaining: s.QuotaRemaining, QuotaRenewalRate: s.QuotaRenewalRate,
	}
}

// Lifetime gives the seconds that a session is kept. Tyk 2.9 to 5.0 call it with a fallback alone, later
// ones with (respectExpiration bool, fallback int64, forceGlobal bool, global int64); both compile.
func (s *SessionState) Lifetime(shape ...interface{}) int64 {
	respect, _ := at(shape, 0).(bool)
	fallback := seconds(at(shape, 0))
	if len(shape) > 1 {
		fallback = seconds(at(shape, 1))
	}
	if force, _ := at(shape, 2).(bool); force {
		return seconds(at(shape, 3))
	}
	lifetime := s.SessionLifetime
	if lifetime <= 0 {
		lifetime = fallback
	}
	if lifetime < 0 {
		lifetime = 0
	}
	if respect && lifetime > 0 && s.Expires > 0 {
		if left := s.Expires - time.Now().Unix(); left > lifetime {
			return left
		}
	}
	return lifetime
}

func at(values []interface{}, index int) interface{} {
	if index < len(values) {
		return values[index]
	}
	return nil
}

func seconds(value interface{}) int64 {
	switch given := value.(type) {
	case int64:
		return given
	case int:
		return int64(given)
	}
	return 0
}

// Accessors of Tyk 2.9.4 and 2.10, which hid the maps.

// GetAccessRights gives the rights.
func (s *SessionState) GetAccessRights() (AccessRights map[string]AccessDefinition) {
	return s.AccessRights
}

// GetAccessRightByAPIID gives the right to one API.
func (s *SessionState) GetAccessRightByAPIID(key string) (AccessRight AccessDefinition, found bool) {
	AccessRight, found = s.AccessRights[key]
	return
}

// SetAccessRights sets all rights.
func (s *SessionState) SetAccessRights(accessRights map[string]AccessDefinition) {
	s.AccessRights = accessRights
}

// SetAccessRight sets the right to one API.
func (s *SessionState) SetAccessRight(key string, accessRight AccessDefinition) {
	if s.AccessRights == nil {
		s.AccessRights = map[string]AccessDefinition{}
	}
	s.AccessRights[key] = accessRight
}

// GetMetaData gives the metadata.
func (s *SessionState) GetMetaData() (metaData map[string]interface{}) { return s.MetaData }

// GetMetaDataByKey gives one value of the metadata.
func (s *SessionState) GetMetaDataByKey(key string) (metaData interface{}, found bool) {
	metaData, found = s.MetaData[key]
	return
}

// SetMetaData sets all metadata.
func (s *SessionState) SetMetaData(metadata map[string]interface{}) { s.MetaData = metadata }

// SetMetaDataKey sets one value of the metadata.
func (s *SessionState) SetMetaDataKey(key string, metadata interface{}) {
	if s.MetaData == nil {
		s.MetaData = map[string]interface{}{}
	}
	s.MetaData[key] = metadata
}

// RemoveMetaData removes one value of the metadata.
func (s *SessionState) RemoveMetaData(key string) { delete(s.MetaData, key) }
