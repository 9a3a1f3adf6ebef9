package shim

import (
	"context"
	"net/http"
	"testing"
)

func TestRequestsGetTheirContextWhereverTheyKeepIt(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, "value")
	known := contextPlace
	defer func() { contextPlace = known }()
	for _, place := range []uintptr{known, 0} {
		contextPlace = place
		request := withContext(&http.Request{Method: "GET", Host: "gateway.test"}, ctx)
		if request.Context() != ctx || request.Method != "GET" || request.Host != "gateway.test" {
			t.Errorf("at %d: %+v", place, request)
		}
		if cloned := request.Clone(request.Context()); cloned.Context().Value(key{}) != "value" {
			t.Errorf("at %d a copy has lost it", place)
		}
	}
	if known == 0 {
		t.Error("this version of Go keeps it elsewhere: each call copies its request")
	}
}
