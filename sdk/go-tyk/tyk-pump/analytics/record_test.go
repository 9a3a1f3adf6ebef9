package analytics

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestRecordKeepsEachFieldThroughJSON(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := AnalyticsRecord{
		"GET", "h", "/p", "/r", 1, "ua", 2, time.March, 2026, 3, 200, "k", now, "v", "n", "i", "o", "oa", 4, "cg", "cs",
		"10.0.0.1", GeoData{Country{"DE"}, City{5, map[string]string{"en": "x"}}, Location{1, 2, "UTC"}},
		NetworkStats{1, 2, 3, 4}, Latency{1, 2, 3}, []string{"t"}, "a", true, now, "s",
	}
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	var again AnalyticsRecord
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(record, again) {
		t.Errorf("%+v %v", again, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil || len(fields) != reflect.TypeOf(record).NumField() {
		t.Error(len(fields), err)
	}
}

func TestRecordsMethods(t *testing.T) {
	record := AnalyticsRecord{RawRequest: "abcdef", RawResponse: "ab", Tags: []string{PredefinedTagGraphAnalytics}}
	record.TrimRawData(3)
	if record.RawRequest != "abc" || record.RawResponse != "ab" || !record.IsGraphRecord() || record.TableName() != SQLTable {
		t.Errorf("%+v", record)
	}
	if (&AnalyticsRecord{}).IsGraphRecord() {
		t.Error("a record without tags is one of GraphQL")
	}
	record.SetExpiry(60)
	if left := time.Until(record.ExpireAt); left > time.Minute || left <= 0 {
		t.Error(left)
	}
	record.SetExpiry(0)
	if time.Until(record.ExpireAt) < 99*365*24*time.Hour {
		t.Error(record.ExpireAt)
	}
}
