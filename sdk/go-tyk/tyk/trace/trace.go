// Package trace holds helpers for spans. Here they record nothing by themselves: spans come from the
// process's OpenTracing tracer, which is a no-op unless the plugin sets one. The gateway traces each call of
// a function itself, and a request's context carries its trace.
package trace

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/opentracing/opentracing-go"
	"github.com/opentracing/opentracing-go/log"

	"gantry.example/sdk/go-tyk/call"
)

// NoopKey is a context key: true under it keeps spans from being made.
type NoopKey = struct{}

// DisableTracing gives a context in which no span is made.
func DisableTracing(ctx context.Context) context.Context {
	return context.WithValue(ctx, NoopKey{}, true)
}

// Tracer is what Init gives.
type Tracer interface {
	Name() string
	opentracing.Tracer
	io.Closer
}

// NoopTracer makes spans that nobody sees.
type NoopTracer struct {
	opentracing.NoopTracer
}

// Name is "NoopTracer".
func (NoopTracer) Name() string { return "NoopTracer" }

// Close does nothing.
func (NoopTracer) Close() error { return nil }

// Logger takes what a tracer reports.
type Logger interface {
	Errorf(format string, args ...interface{})
	Infof(format string, args ...interface{})
	Debugf(format string, args ...interface{})
}

// Init gives a NoopTracer whatever it is asked for: the gateway exports traces, plugins do not.
func Init(name string, opts map[string]interface{}, logger Logger) (Tracer, error) {
	return NoopTracer{}, nil
}

// Operation names what a span stands for.
type Operation uint

// The operations that Tyk names.
const (
	MainEntry Operation = iota
	Api
	StripRequestSlash
	CheckRequestIsAPIOwner
	CheckControlAPIClientCertificate
	InstrumentRequest
	MethodNotAllowed
	InjectHeaders
	TransformResponse
	TransformResponseJQ
	TransformHeader
	HandleAPI
	AddOrUpdateAPI
)

var operations = [...]string{
	MainEntry:                        "tyk-gateway",
	Api:                              "api",
	StripRequestSlash:                "strip-request-slash",
	CheckRequestIsAPIOwner:           "check-request-is-api-owner",
	CheckControlAPIClientCertificate: "check-control-api-client-certificate",
	InstrumentRequest:                "instrument-request",
	MethodNotAllowed:                 "handle-method-not-allowed",
	InjectHeaders:                    "inject-headers",
	TransformResponse:                "transform-response",
	TransformResponseJQ:              "transform-response-jq",
	TransformHeader:                  "transform-header",
	HandleAPI:                        "handle-api",
	AddOrUpdateAPI:                   "add-or-update-api",
}

// String gives the operation's name; "noop" for one that has none.
func (o Operation) String() string {
	if int(o) < len(operations) {
		return operations[o]
	}
	return "noop"
}

// MainSpan begins a span for a request, and gives the request with a context that holds it. Finish it.
func MainSpan(r *http.Request) (opentracing.Span, *http.Request) {
	span, ctx := NewSpan(r.Context(), MainEntry.String(), opentracing.Tags{
		"method":   r.Method,
		"endpoint": r.URL.Path,
	})
	return span, r.WithContext(ctx)
}

// Span begins a span for an operation, and gives a context that holds it. Finish it.
func Span(ctx context.Context, ops Operation, opts ...opentracing.StartSpanOption) (opentracing.Span, context.Context) {
	return NewSpan(ctx, ops.String(), opts...)
}

// NewSpan begins a span under a name of one's own, and gives a context that holds it. Finish it.
func NewSpan(ctx context.Context, name string, opts ...opentracing.StartSpanOption) (opentracing.Span, context.Context) {
	if disabled, _ := ctx.Value(NoopKey{}).(bool); disabled {
		return opentracing.NoopTracer{}.StartSpan(name, opts...), ctx
	}
	return opentracing.StartSpanFromContext(ctx, name, opts...)
}

// Log writes fields to the context's span, if it holds one.
func Log(ctx context.Context, fields ...log.Field) {
	if span := opentracing.SpanFromContext(ctx); span != nil {
		span.LogFields(fields...)
	}
}

func level(ctx context.Context, name, level string, args []interface{}) {
	text := fmt.Sprint(args...)
	Log(ctx, log.String(name, text))
	if state := call.Of(ctx); state != nil {
		state.Log(level, text)
	}
}

// Debug writes a line to the context's span and to the gateway's log.
func Debug(ctx context.Context, args ...interface{}) { level(ctx, "DEBUG", "debug", args) }

// Info writes a line to the context's span and to the gateway's log.
func Info(ctx context.Context, args ...interface{}) { level(ctx, "INFO", "info", args) }

// Warning writes a line to the context's span and to the gateway's log.
func Warning(ctx context.Context, args ...interface{}) { level(ctx, "WARN", "warn", args) }

// Error writes a line to the context's span and to the gateway's log.
func Error(ctx context.Context, args ...interface{}) { level(ctx, "ERROR", "error", args) }

// Get gives the context's span, or one that nobody sees.
func Get(ctx context.Context) opentracing.Span {
	if span := opentracing.SpanFromContext(ctx); span != nil {
		return span
	}
	return opentracing.NoopTracer{}.StartSpan("")
}

// Root gives the context's span, as Get does: a plugin sees no spans of the gateway above its own.
func Root(ctx context.Context) opentracing.Span { return Get(ctx) }

// IsEnabled says whether plugins have a tracer of Tyk's: never.
func IsEnabled() bool { return false }

// Close does nothing.
func Close() error { return nil }
