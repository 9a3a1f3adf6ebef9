package user

import (
	"encoding/json"
	"time"

	"github.com/TykTechnologies/tyk/apidef"
)

// RateLimit is a number of requests per time. The gateway keeps it and does not enforce it.
type RateLimit struct {
	// Rate is the number of requests, Per the seconds in which they may come.
	Rate float64 `json:"rate"`
	Per  float64 `json:"per"`
	// Smoothing is kept and without effect.
	Smoothing *apidef.RateLimitSmoothing `json:"smoothing,omitempty"`
}

// Duration is the time between two requests at that rate; 0 without a limit.
func (r RateLimit) Duration() time.Duration {
	if r.Rate <= 0 || r.Per <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) * r.Per / r.Rate)
}

// APILimit is the limit of one API in a session. Tyk had rate, per and smoothing as fields first and moved
// them into an embedded RateLimit in 5.5. Sources of both kinds compile here: the direct fields are what is
// read and set by their names (limit.Rate), a literal may fill either. What goes out is the field that was
// changed; if both were, the direct one.
type APILimit struct {
	RateLimit

	Rate      float64                    `json:"rate"`
	Per       float64                    `json:"per"`
	Smoothing *apidef.RateLimitSmoothing `json:"smoothing,omitempty"`

	ThrottleInterval   float64 `json:"throttle_interval"`
	ThrottleRetryLimit int     `json:"throttle_retry_limit"`
	MaxQueryDepth      int     `json:"max_query_depth"`
	QuotaMax           int64   `json:"quota_max"`
	QuotaRenews        int64   `json:"quota_renews"`
	QuotaRemaining     int64   `json:"quota_remaining"`
	QuotaRenewalRate   int64   `json:"quota_renewal_rate"`
	// SetBy says which policy a limit came from. It stays in the process.
	SetBy string `json:"-"`

	// decoded is what both kinds of fields held when the limit was read from JSON.
	decoded RateLimit
}

type apiLimitJSON struct {
	RateLimit
	ThrottleInterval   float64 `json:"throttle_interval"`
	ThrottleRetryLimit int     `json:"throttle_retry_limit"`
	MaxQueryDepth      int     `json:"max_query_depth"`
	QuotaMax           int64   `json:"quota_max"`
	QuotaRenews        int64   `json:"quota_renews"`
	QuotaRemaining     int64   `json:"quota_remaining"`
	QuotaRenewalRate   int64   `json:"quota_renewal_rate"`
}

func (limit APILimit) rateLimit() RateLimit {
	rate := limit.RateLimit
	if limit.Rate != limit.decoded.Rate {
		rate.Rate = limit.Rate
	}
	if limit.Per != limit.decoded.Per {
		rate.Per = limit.Per
	}
	if limit.Smoothing != limit.decoded.Smoothing {
		rate.Smoothing = limit.Smoothing
	}
	return rate
}

// MarshalJSON writes each name once.
func (limit APILimit) MarshalJSON() ([]byte, error) {
	return json.Marshal(apiLimitJSON{
		limit.rateLimit(), limit.ThrottleInterval, limit.ThrottleRetryLimit, limit.MaxQueryDepth,
		limit.QuotaMax, limit.QuotaRenews, limit.QuotaRemaining, limit.QuotaRenewalRate,
	})
}

// UnmarshalJSON fills the direct fields and the embedded ones.
func (limit *APILimit) UnmarshalJSON(text []byte) error {
	read := apiLimitJSON{RateLimit: limit.rateLimit()}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*limit = APILimit{
		RateLimit: read.RateLimit, Rate: read.Rate, Per: read.Per, Smoothing: read.Smoothing,
		ThrottleInterval: read.ThrottleInterval, ThrottleRetryLimit: read.ThrottleRetryLimit,
		MaxQueryDepth: read.MaxQueryDepth, QuotaMax: read.QuotaMax, QuotaRenews: read.QuotaRenews,
		QuotaRemaining: read.QuotaRemaining, QuotaRenewalRate: read.QuotaRenewalRate,
		SetBy: limit.SetBy, decoded: read.RateLimit,
	}
	return nil
}

// Duration is the time between two requests at the limit's rate; 0 without a limit.
func (limit APILimit) Duration() time.Duration { return limit.rateLimit().Duration() }

// Less says whether the limit lets requests follow each other sooner or later than another: true if the
// time between two requests is longer in the other, or there is a limit only here.
func (limit APILimit) Less(in APILimit) bool { return limit.Duration() < in.Duration() }

// IsEmpty says whether nothing is set.
func (limit APILimit) IsEmpty() bool {
	rate := limit.rateLimit()
	rest := limit
	rest.RateLimit, rest.decoded = RateLimit{}, RateLimit{}
	rest.Rate, rest.Per, rest.Smoothing = 0, 0, nil
	return rate == RateLimit{} && rest == APILimit{}
}

// Clone gives a copy that shares nothing.
func (limit APILimit) Clone() *APILimit {
	copied := limit
	rate := limit.rateLimit()
	if rate.Smoothing != nil {
		smoothing := *rate.Smoothing
		rate.Smoothing = &smoothing
	}
	copied.RateLimit, copied.decoded = rate, rate
	copied.Rate, copied.Per, copied.Smoothing = rate.Rate, rate.Per, rate.Smoothing
	return &copied
}

// Endpoint is the limit of one path of an API. It is kept and not enforced.
type Endpoint struct {
	Path    string          `json:"path,omitempty"`
	Methods EndpointMethods `json:"methods,omitempty"`
}

// Endpoints are the limits of an API's paths.
type Endpoints []Endpoint

// Len, Less and Swap sort by path.
func (es Endpoints) Len() int           { return len(es) }
func (es Endpoints) Less(i, j int) bool { return es[i].Path < es[j].Path }
func (es Endpoints) Swap(i, j int)      { es[i], es[j] = es[j], es[i] }

// EndpointMethod is the limit of one method of a path.
type EndpointMethod struct {
	Name  string    `json:"name,omitempty"`
	Limit RateLimit `json:"limit,omitempty"`
}

// EndpointMethods are the limits of a path's methods.
type EndpointMethods []EndpointMethod

// Len, Less and Swap sort by name.
func (em EndpointMethods) Len() int           { return len(em) }
func (em EndpointMethods) Less(i, j int) bool { return em[i].Name < em[j].Name }
func (em EndpointMethods) Swap(i, j int)      { em[i], em[j] = em[j], em[i] }

// Contains says whether a method has a limit.
func (em EndpointMethods) Contains(method string) bool {
	for _, known := range em {
		if known.Name == method {
			return true
		}
	}
	return false
}

// AgreeLimits makes both kinds of fields of each API's limit say the same, so that a hook of another
// generation than the one that filled a literal reads what was meant. It is Gantry's own: ctx.SetSession
// calls it. Plugins keep sessions and set them in many requests at once, so the map is not written to: one
// that says otherwise takes its place.
func AgreeLimits(s *SessionState) {
	var agreed map[string]AccessDefinition
	for id, right := range s.AccessRights {
		said, changed := right.agreed()
		if !changed {
			continue
		}
		if agreed == nil {
			agreed = make(map[string]AccessDefinition, len(s.AccessRights))
			for id, right := range s.AccessRights {
				agreed[id] = right
			}
		}
		agreed[id] = said
	}
	if agreed != nil {
		s.AccessRights = agreed
	}
}

func (limit APILimit) agreed() (APILimit, bool) {
	rate := limit.rateLimit()
	changed := limit.RateLimit != rate || limit.Rate != rate.Rate || limit.Per != rate.Per ||
		limit.Smoothing != rate.Smoothing || limit.decoded != rate
	limit.RateLimit, limit.decoded = rate, rate
	limit.Rate, limit.Per, limit.Smoothing = rate.Rate, rate.Per, rate.Smoothing
	return limit, changed
}
