// Three functions in Go. Correlate reads headers of the request and sets others; Maintenance answers 503
// by itself for the paths that config_data names; MaskFields replaces values of JSON answers, by the names
// of their fields:
//
//	{"closed": ["/shop/checkout"], "masked": ["card", "iban"]}
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	gantry "gantry.example/sdk/go"
)

//go:generate go run gantry.example/sdk/go/cmd/gantry-note

const name = "go-hooks"

// version can be set while building, so that one source makes two versions:
// GOFLAGS='-ldflags=-X=main.version=1.1.0' for both go generate and go build.
var version = "1.0.0"

func init() {
	gantry.Register(gantry.Plugin{
		Name: name, Version: version,
		Functions: []gantry.Function{
			{Name: "Correlate", Hooks: []gantry.Hook{gantry.Pre, gantry.Post}, Request: correlate},
			{Name: "Maintenance", Hooks: []gantry.Hook{gantry.Pre}, StartRequest: startMaintenance},
			{Name: "MaskFields", WantsBody: true, StartResponse: startMaskFields},
		},
	})
}

// correlate makes one id of the tag and the trace that functions before it, or the client, have left.
func correlate(call *gantry.RequestCall) error {
	trace := call.Header("x-trace-id")
	if trace == "" {
		trace = call.TraceID()
	}
	call.SetHeader("X-Correlation-Id", call.Header("X-Tag")+"/"+trace)
	call.SetResponseHeader("X-Correlated-By", name+" "+version)
	return nil
}

func startMaintenance(start gantry.Start) (func(*gantry.RequestCall) error, error) {
	var config struct {
		Closed []string `json:"closed"`
	}
	if err := json.Unmarshal(start.Config, &config); err != nil {
		return nil, fmt.Errorf("config_data: %w", err)
	}
	return func(call *gantry.RequestCall) error {
		path := call.Path()
		for _, closed := range config.Closed {
			if path == closed || strings.HasPrefix(path, closed+"/") {
				call.Logf(gantry.Info, "%s is closed", closed)
				return call.Answer(gantry.Answer{
					Status: 503,
					Headers: []gantry.Header{
						{Name: "Content-Type", Value: "application/json"}, {Name: "Retry-After", Value: "600"},
					},
					Body: []byte(`{"error":"closed for maintenance"}` + "\n"),
				})
			}
		}
		return nil
	}, nil
}

func startMaskFields(start gantry.Start) (func(*gantry.ResponseCall) error, error) {
	var config struct {
		Masked []string `json:"masked"`
	}
	if err := json.Unmarshal(start.Config, &config); err != nil {
		return nil, fmt.Errorf("config_data: %w", err)
	}
	masked := make(map[string]bool)
	for _, name := range config.Masked {
		masked[name] = true
	}
	return func(call *gantry.ResponseCall) error {
		kind, _, _ := strings.Cut(call.ResponseHeader("content-type"), ";")
		if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
			return nil
		}
		if encoding := call.ResponseHeader("content-encoding"); encoding != "" {
			// What cannot be read cannot be masked, so it does not go out.
			return fmt.Errorf("a body in %s", encoding)
		}
		text := call.Body()
		if !json.Valid(text) {
			return errors.New("the body is no JSON")
		}
		// Numbers stay as they were written.
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var body any
		if err := decoder.Decode(&body); err != nil {
			return err
		}
		if mask(body, masked) == 0 {
			return nil
		}
		changed, err := json.Marshal(body)
		if err != nil {
			return err
		}
		call.SetBody(changed)
		return nil
	}, nil
}

// mask replaces values by the names of their fields, wherever they are, and gives how many.
func mask(value any, masked map[string]bool) (count int) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if masked[name] {
				value[name] = "***"
				count++
			} else {
				count += mask(inner, masked)
			}
		}
	case []any:
		for _, inner := range value {
			count += mask(inner, masked)
		}
	}
	return count
}

func main() { gantry.Main() }
