package user

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/TykTechnologies/tyk/apidef"
)

// Policy is a set of rights and limits that sessions share. The gateway applies none yet: a session that
// names one is refused with POLICY_UNKNOWN.
type Policy struct {
	MID                           apidef.ObjectID                  `json:"_id"`
	ID                            string                           `json:"id"`
	Name                          string                           `json:"name"`
	OrgID                         string                           `json:"org_id"`
	Rate                          float64                          `json:"rate"`
	Per                           float64                          `json:"per"`
	QuotaMax                      int64                            `json:"quota_max"`
	QuotaRenewalRate              int64                            `json:"quota_renewal_rate"`
	ThrottleInterval              float64                          `json:"throttle_interval"`
	ThrottleRetryLimit            int                              `json:"throttle_retry_limit"`
	MaxQueryDepth                 int                              `json:"max_query_depth"`
	AccessRights                  map[string]AccessDefinition      `json:"access_rights"`
	HMACEnabled                   bool                             `json:"hmac_enabled"`
	EnableHTTPSignatureValidation bool                             `json:"enable_http_signature_validation"`
	Active                        bool                             `json:"active"`
	IsInactive                    bool                             `json:"is_inactive"`
	Tags                          []string                         `json:"tags"`
	KeyExpiresIn                  int64                            `json:"key_expires_in"`
	PostExpiryAction              PostExpiryAction                 `json:"post_expiry_action,omitempty"`
	PostExpiryGracePeriod         int64                            `json:"post_expiry_grace_period"`
	Partitions                    PolicyPartitions                 `json:"partitions"`
	LastUpdated                   string                           `json:"last_updated"`
	MetaData                      map[string]interface{}           `json:"meta_data"`
	GraphQL                       map[string]GraphAccessDefinition `json:"graphql_access_rights"`
	Smoothing                     *apidef.RateLimitSmoothing       `json:"smoothing"`
}

// GraphAccessDefinition has no fields.
type GraphAccessDefinition struct{}

// PolicyPartitions say which parts of a session a policy sets.
type PolicyPartitions struct {
	Quota      bool `json:"quota"`
	RateLimit  bool `json:"rate_limit"`
	Complexity bool `json:"complexity"`
	Acl        bool `json:"acl"`
	PerAPI     bool `json:"per_api"`
}

// Enabled says whether the policy sets parts instead of the whole.
func (p PolicyPartitions) Enabled() bool { return p.Quota || p.RateLimit || p.Complexity || p.Acl }

// APILimit gives the policy's limits in the shape of an API's.
func (p *Policy) APILimit() APILimit {
	rate := RateLimit{Rate: p.Rate, Per: p.Per, Smoothing: p.Smoothing}
	return APILimit{
		RateLimit: rate, Rate: rate.Rate, Per: rate.Per, Smoothing: rate.Smoothing, decoded: rate,
		QuotaMax: p.QuotaMax, QuotaRenewalRate: p.QuotaRenewalRate, ThrottleInterval: p.ThrottleInterval,
		ThrottleRetryLimit: p.ThrottleRetryLimit, MaxQueryDepth: p.MaxQueryDepth,
	}
}

// policiesKey is where a session's metadata carries whole policies.
const policiesKey = "policies"

// SetCustomPolicies puts whole policies into the session's metadata, in place of those it carried.
func (s *SessionState) SetCustomPolicies(list []Policy) {
	carried := make([]interface{}, len(list))
	for i := range list {
		carried[i] = list[i]
	}
	s.SetMetaDataKey(policiesKey, carried)
}

// GetCustomPolicies gives the policies that the session's metadata carries, in order; an error if it carries
// none or something else.
func (s *SessionState) GetCustomPolicies() ([]Policy, error) {
	carried, found := s.MetaData[policiesKey].([]interface{})
	if !found {
		return nil, errors.New("policies not found in metadata")
	}
	text, err := json.Marshal(carried)
	if err != nil {
		return nil, fmt.Errorf("encode policies of metadata: %w", err)
	}
	var list []Policy
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("decode policies of metadata: %w", err)
	}
	return list, nil
}

// CustomPolicies is GetCustomPolicies by id.
func (s *SessionState) CustomPolicies() (map[string]Policy, error) {
	list, err := s.GetCustomPolicies()
	if err != nil {
		return nil, err
	}
	byID := make(map[string]Policy, len(list))
	for _, policy := range list {
		byID[policy.ID] = policy
	}
	return byID, nil
}
