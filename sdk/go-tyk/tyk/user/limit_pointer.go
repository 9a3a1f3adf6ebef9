//go:build gantry_limit_pointer

package user

// limitField is a pointer, as in Tyk 2.9.
type limitField = *APILimit

func (a AccessDefinition) limit() APILimit {
	if a.Limit == nil {
		return APILimit{}
	}
	return *a.Limit
}

func (a AccessDefinition) agreed() (AccessDefinition, bool) {
	if a.Limit != nil {
		*a.Limit, _ = a.Limit.agreed()
	}
	return a, false
}
