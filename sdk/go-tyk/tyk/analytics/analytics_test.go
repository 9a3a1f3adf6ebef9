package analytics

import (
	"encoding/json"
	"testing"
	"time"
)

func TestRecordIsChangedAsPluginsDo(t *testing.T) {
	record := Record{RawRequest: "e30=", ResponseCode: 200, Latency: Latency{Total: 3, Upstream: 2}}
	record.Geo.Country.ISOCode, record.Tags = "CH", append(record.Tags, "masked")
	record.SetExpiry(0)
	if years := time.Until(record.ExpireAt).Hours() / 24 / 365; years < 99 {
		t.Errorf("expires in %v years", years)
	}
	text, err := json.Marshal(record)
	var fields map[string]any
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil || fields["RawRequest"] != "e30=" || fields["expireAt"] == nil {
		t.Error(string(text), err)
	}
}

func TestFlushedStatsBeginAtZero(t *testing.T) {
	stats := NetworkStats{OpenConnections: 1, ClosedConnection: 2, BytesIn: 3, BytesOut: 4}
	if flushed := stats.Flush(); flushed != (NetworkStats{1, 2, 3, 4}) || stats != (NetworkStats{}) {
		t.Error(flushed, stats)
	}
}
