package user

import (
	"encoding/json"
	"os"
	"reflect"
	"sort"
	"strings"
	"testing"
)

func golden(t *testing.T) ([]byte, *SessionState) {
	t.Helper()
	text, err := os.ReadFile("testdata/session.json")
	if err != nil {
		t.Fatal(err)
	}
	session := NewSessionState()
	if err := json.Unmarshal(text, session); err != nil {
		t.Fatal(err)
	}
	return text, session
}

func object(t *testing.T, text []byte) (fields map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func encoded(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSessionKeepsEachFieldThroughJSON(t *testing.T) {
	text, session := golden(t)
	if before, after := object(t, text), object(t, encoded(t, session)); !reflect.DeepEqual(before, after) {
		t.Errorf("not as it was read:\n%v\n%v", before, after)
	}
}

// The golden file names each field: one that is added to a type and not to the file fails here.
func TestGoldenFileFillsEachField(t *testing.T) {
	_, session := golden(t)
	right := session.AccessRights["orders"]
	for _, value := range []any{*session, right, right.limit(), right.limit().RateLimit, *right.limit().Smoothing,
		right.AllowedURLs[0], right.RestrictedTypes[0], right.FieldAccessRights[0], right.Endpoints[0],
		right.Endpoints[0].Methods[0], right.JSONRPCMethods[0], right.MCPPrimitives[0], right.MCPAccessRights,
		right.JSONRPCMethodsAccessRights, session.BasicAuthData, session.JWTData, session.Monitor} {
		of := reflect.ValueOf(value)
		for i := 0; i < of.NumField(); i++ {
			field := of.Type().Field(i)
			if field.IsExported() && field.Tag.Get("json") != "-" && of.Field(i).IsZero() {
				t.Errorf("%s.%s is not in the golden file", of.Type(), field.Name)
			}
		}
	}
}

func TestEmptyTypesWriteTheNamesThatTykWrites(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"session": {SessionState{}, "access_rights alias allowance apply_policies apply_policy_id basic_auth_data certificate " +
			"data_expires date_created enable_detail_recording enable_detailed_recording enable_http_signature_validation " +
			"expires hmac_enabled hmac_string id_extractor_deadline is_inactive jwt_data last_check last_updated " +
			"max_query_depth meta_data monitor mtls_static_certificate_bindings oauth_client_id oauth_keys org_id per " +
			"post_expiry_grace_period quota_max quota_remaining quota_renewal_rate quota_renews rate rsa_certificate_id " +
			"session_lifetime tags throttle_interval throttle_retry_limit"},
		"access": {AccessDefinition{}, "allowance_scope allowed_types allowed_urls api_id api_name disable_introspection " +
			"field_access_rights limit restricted_types versions"},
		"limit": {APILimit{}, "max_query_depth per quota_max quota_remaining quota_renewal_rate quota_renews rate " +
			"throttle_interval throttle_retry_limit"},
	} {
		var names []string
		for key := range object(t, encoded(t, c.value)) {
			names = append(names, key)
		}
		sort.Strings(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestKeyAndMarksAreNotWritten(t *testing.T) {
	session := &SessionState{KeyID: "key"}
	session.SetKeyHash("hash")
	session.Touch()
	if text := string(encoded(t, session)); strings.Contains(text, "key\"") || strings.Contains(text, "hash\"") {
		t.Error(text)
	}
}
