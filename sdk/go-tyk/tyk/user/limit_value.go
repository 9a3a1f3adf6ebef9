//go:build !gantry_limit_pointer

package user

// limitField is how AccessDefinition holds its limit. Since Tyk 3.0 it is a value; in 2.9 it was a pointer,
// which the build tag gantry_limit_pointer brings back.
type limitField = APILimit

func (a AccessDefinition) limit() APILimit { return a.Limit }

func (a AccessDefinition) agreed() (AccessDefinition, bool) {
	limit, changed := a.Limit.agreed()
	a.Limit = limit
	return a, changed
}
