package call

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
)

type session struct {
	Alias string `json:"alias"`
}

func (s *session) encode() ([]byte, error) { return json.Marshal(s) }

func TestStateIsFoundInItsContextOnly(t *testing.T) {
	state := New(&Facts{API: "orders"})
	if Of(With(context.Background(), state)) != state || Of(context.Background()) != nil {
		t.Error("another state")
	}
}

func TestKeptSessionIsToldOnlyIfItChanged(t *testing.T) {
	state := New(&Facts{Session: []byte(`{"alias":"ada"}`)})
	live := &session{"ada"}
	state.KeepSession(live, live.encode)
	if told, err := state.Finish(true); told != nil || err != nil {
		t.Error(told, err)
	}
	live.Alias = "bob"
	if told, err := state.Finish(true); err != nil || told == nil || string(told.JSON) != `{"alias":"bob"}` || told.Store {
		t.Error(told, err)
	}
}

func TestSetSessionIsToldWithItsKeyAndWhetherToStoreIt(t *testing.T) {
	state := New(&Facts{Token: "old"})
	live := &session{"ada"}
	state.SetSession(live, "new", true, live.encode)
	state.SetSession(live, "", false, live.encode)
	told, err := state.Finish(true)
	if err != nil || told == nil || told.Key != "new" || !told.Store || state.AuthToken() != "new" {
		t.Error(told, err)
	}
}

func TestLiveSessionGoesOnUntilTheGatewayHasAnother(t *testing.T) {
	first := New(&Facts{})
	live := &session{"ada"}
	first.SetSession(live, "key", false, live.encode)
	if _, err := first.Finish(true); err != nil {
		t.Fatal(err)
	}
	second := New(&Facts{Session: []byte(`{"alias":"ada"}`), Token: "key"})
	second.Inherit(first)
	if second.LiveSession() != live {
		t.Error("the live session was lost")
	}
	other := New(&Facts{Session: []byte(`{"alias":"eve"}`)})
	other.Inherit(first)
	if other.LiveSession() != nil {
		t.Error("a session that is none any more was inherited")
	}
}

func TestSessionThatDoesNotEncodeIsAnError(t *testing.T) {
	state := New(&Facts{})
	state.SetSession(1, "", false, func() ([]byte, error) { return nil, errors.New("no") })
	if _, err := state.Finish(true); err == nil {
		t.Error("no error")
	}
}

func TestQuitEndsTheGoroutineAndRunsWhatItDeferred(t *testing.T) {
	ended := make(chan string, 2)
	go func() {
		defer close(ended)
		defer func() { ended <- "deferred" }()
		Quit()
		ended <- "came back"
	}()
	if got := <-ended; got != "deferred" {
		t.Error(got)
	}
	if got, more := <-ended; more {
		t.Error(got)
	}
}
