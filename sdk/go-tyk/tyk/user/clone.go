package user

// Clone gives a copy that shares no list, map or pointer of the session's own; values inside of MetaData that
// are lists or maps are copied too.
func (s SessionState) Clone() SessionState {
	s.AccessRights = cloneRights(s.AccessRights)
	s.OauthKeys = cloneTexts(s.OauthKeys)
	s.MtlsStaticCertificateBindings = cloneList(s.MtlsStaticCertificateBindings)
	s.ApplyPolicies = cloneList(s.ApplyPolicies)
	s.Tags = cloneList(s.Tags)
	s.Monitor.TriggerLimits = append([]float64(nil), s.Monitor.TriggerLimits...)
	if s.MetaData != nil {
		s.MetaData = cloneValue(s.MetaData).(map[string]interface{})
	}
	if s.Smoothing != nil {
		smoothing := *s.Smoothing
		s.Smoothing = &smoothing
	}
	return s
}

func cloneRights(rights map[string]AccessDefinition) map[string]AccessDefinition {
	if rights == nil {
		return nil
	}
	copied := make(map[string]AccessDefinition, len(rights))
	for id, right := range rights {
		right.Versions = cloneList(right.Versions)
		right.AllowedURLs = append([]AccessSpec(nil), right.AllowedURLs...)
		right.Endpoints = append(Endpoints(nil), right.Endpoints...)
		copied[id] = right
	}
	return copied
}

func cloneTexts(texts map[string]string) map[string]string {
	if texts == nil {
		return nil
	}
	copied := make(map[string]string, len(texts))
	for key, text := range texts {
		copied[key] = text
	}
	return copied
}

func cloneList(list []string) []string {
	if list == nil {
		return nil
	}
	return append([]string{}, list...)
}

func cloneValue(value interface{}) interface{} {
	switch given := value.(type) {
	case map[string]interface{}:
		copied := make(map[string]interface{}, len(given))
		for key, inner := range given {
			copied[key] = cloneValue(inner)
		}
		return copied
	case []interface{}:
		copied := make([]interface{}, len(given))
		for i, inner := range given {
			copied[i] = cloneValue(inner)
		}
		return copied
	}
	return value
}
