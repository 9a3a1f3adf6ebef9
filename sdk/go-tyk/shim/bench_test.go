package shim

import (
	"net/http"
	"testing"

	"gantry.example/sdk/go/abi"
	"gantry.example/sdk/go/layer"
)

// quiet is a host that keeps nothing.
type quiet struct{ resumed chan struct{} }

func (quiet) Get(uint32) ([]byte, int32)      { return nil, abi.EAbsent }
func (quiet) Snapshot(uint64) ([]byte, int32) { return nil, abi.EAbsent }
func (quiet) Apply([]byte) int32              { return abi.OK }
func (quiet) Mutate(uint8, []byte) int32      { return abi.OK }
func (quiet) Log(uint32, string)              {}
func (q quiet) Resume(int32, []byte) int32    { q.resumed <- struct{}{}; return abi.OK }
func (quiet) Ask(uint32) int32                { return abi.EAbsent }

func bench(b *testing.B, function Function) {
	message := newRequest(nil, "host: gateway.test", "user-agent: curl/8.5.0", "accept: */*", "accept-encoding: gzip, br",
		"accept-language: en-GB,en;q=0.9", "cache-control: no-cache", "cookie: session=0123456789abcdef0123456789abcdef",
		"x-forwarded-for: 192.0.2.7", "x-forwarded-proto: https", "x-request-id: 7c0a6a4f-1a6d-4a47-9a86-000000000001",
		"authorization: Bearer 0123456789abcdef0123456789abcdef", "content-length: 0").message
	message.Parts[abi.PartMethod] = "GET"
	snapshot, out := message.Encode(requestParts), make([]byte, outBytes)
	made, host := start(function, layer.Place{Hook: abi.HookPre}), quiet{make(chan struct{}, 1)}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n++ {
		frame := layer.Frame{Host: host, Call: 1<<63 + uint64(n), Snapshot: snapshot, Out: out, Definition: 1}
		if made.Call(&frame) == abi.Pending {
			<-host.resumed
			release(frame.Carry)
		}
	}
}

func empty(http.ResponseWriter, *http.Request) {}

func addHeader(_ http.ResponseWriter, r *http.Request) {
	r.Header.Set("X-Tag", r.Header.Get("X-Request-Id"))
}

func BenchmarkEmptyInline(b *testing.B) { bench(b, Function{Name: "F", Request: empty, Inline: true}) }
func BenchmarkAddHeaderInline(b *testing.B) {
	bench(b, Function{Name: "F", Request: addHeader, Inline: true})
}
func BenchmarkEmptyDetached(b *testing.B)     { bench(b, Function{Name: "F", Request: empty}) }
func BenchmarkAddHeaderDetached(b *testing.B) { bench(b, Function{Name: "F", Request: addHeader}) }
