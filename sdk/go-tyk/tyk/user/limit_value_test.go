//go:build !gantry_limit_pointer

package user

func withLimit(limit APILimit) AccessDefinition { return AccessDefinition{Limit: limit} }
