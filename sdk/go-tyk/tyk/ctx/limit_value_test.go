//go:build !gantry_limit_pointer

package ctx

import "github.com/TykTechnologies/tyk/user"

func right() user.AccessDefinition {
	return user.AccessDefinition{Limit: user.APILimit{RateLimit: user.RateLimit{Rate: 5, Per: 1}}}
}
