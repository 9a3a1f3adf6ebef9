package trace

import (
	"context"
	"net/http"
	"testing"

	"github.com/opentracing/opentracing-go"
	"github.com/opentracing/opentracing-go/log"
	"github.com/opentracing/opentracing-go/mocktracer"

	"gantry.example/sdk/go-tyk/call"
)

func TestSpansAreUsableWithoutATracer(t *testing.T) {
	span, ctx := Span(context.Background(), Api)
	defer span.Finish()
	span.SetTag("a", 1)
	Log(ctx, log.String("a", "b"))
	Get(ctx).Finish()
	Get(context.Background()).Finish()
	Root(ctx).Finish()
	r, _ := http.NewRequest(http.MethodGet, "/a", nil)
	if main, next := MainSpan(r); main == nil || next == nil || next.URL.Path != "/a" {
		t.Error("no span of a request")
	}
	if tracer, err := Init("jaeger", nil, nil); err != nil || tracer.Name() != "NoopTracer" || tracer.Close() != nil {
		t.Error(tracer, err)
	}
	var _ Tracer = NoopTracer{}
	var _ Logger
	if untraced, same := Span(context.WithValue(ctx, NoopKey{}, true), Api); untraced == nil || same.Value(NoopKey{}) != true {
		t.Error("a span was made where none is wanted")
	}
	if IsEnabled() || Close() != nil {
		t.Error("tracing of Tyk's is on")
	}
}

func TestSpansGoToTheTracerThatAPluginSets(t *testing.T) {
	tracer := mocktracer.New()
	opentracing.SetGlobalTracer(tracer)
	defer opentracing.SetGlobalTracer(opentracing.NoopTracer{})
	span, ctx := NewSpan(context.Background(), "mine")
	inner, _ := Span(DisableTracing(ctx), HandleAPI)
	inner.Finish()
	span.Finish()
	if done := tracer.FinishedSpans(); len(done) != 1 || done[0].OperationName != "mine" {
		t.Error(done)
	}
}

func TestLinesGoToTheCallsLog(t *testing.T) {
	facts := &call.Facts{}
	ctx := call.With(context.Background(), call.New(facts))
	Debug(ctx, "a")
	Info(ctx, "b", 1)
	Warning(ctx, "c")
	Error(ctx, "d")
	want := []string{"debug: a", "info: b1", "warn: c", "error: d"}
	lines := facts.Lines()
	for i := range want {
		if len(lines) != len(want) || lines[i] != want[i] {
			t.Fatal(lines)
		}
	}
}

func TestOperationsHaveNames(t *testing.T) {
	for operation, want := range map[Operation]string{
		MainEntry: "tyk-gateway", Api: "api", StripRequestSlash: "strip-request-slash",
		CheckRequestIsAPIOwner:           "check-request-is-api-owner",
		CheckControlAPIClientCertificate: "check-control-api-client-certificate",
		InstrumentRequest:                "instrument-request", MethodNotAllowed: "handle-method-not-allowed",
		InjectHeaders: "inject-headers", TransformResponse: "transform-response",
		TransformResponseJQ: "transform-response-jq", TransformHeader: "transform-header",
		HandleAPI: "handle-api", AddOrUpdateAPI: "add-or-update-api", 99: "noop",
	} {
		if operation.String() != want {
			t.Errorf("%d is %s", operation, operation)
		}
	}
}
