// Package trace makes spans for plugins that were written for Tyk's telemetry. They go to the OpenTelemetry
// provider that the plugin sets for its process, as children of the gateway's trace; without one nobody sees
// them. The gateway traces each call of a function itself.
package trace

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"gantry.example/sdk/go-tyk/call"
)

// What a span came to.
const (
	SPAN_STATUS_UNSET = codes.Unset
	SPAN_STATUS_ERROR = codes.Error
	SPAN_STATUS_OK    = codes.Ok
)

// nameless is what spans are made by whose maker has no name.
const nameless = "tyk"

// Span is one of OpenTelemetry's.
type Span = trace.Span

// Tracer is one of OpenTelemetry's.
type Tracer = trace.Tracer

// SpanFromContext gives the span that a context holds; without one, the gateway's, which takes nothing but
// tells its trace.
func SpanFromContext(ctx context.Context) Span { return trace.SpanFromContext(within(ctx)) }

// ContextWithSpan gives a context that holds a span.
func ContextWithSpan(ctx context.Context, span Span) context.Context {
	return trace.ContextWithSpan(ctx, span)
}

// NewSpanFromContext begins a span below the one that a context holds, or the gateway's.
func NewSpanFromContext(ctx context.Context, tracerName, spanName string) (context.Context, Span) {
	if tracerName == "" {
		tracerName = nameless
	}
	ctx = within(ctx)
	provider := otel.GetTracerProvider()
	if above := trace.SpanFromContext(ctx); above.IsRecording() {
		provider = above.TracerProvider()
	}
	return provider.Tracer(tracerName).Start(ctx, spanName)
}

// ExtractTraceID gives the trace that a context belongs to, 32 hexadecimal characters; empty without one.
func ExtractTraceID(ctx context.Context) string {
	if found := SpanFromContext(ctx).SpanContext(); found.HasTraceID() {
		return found.TraceID().String()
	}
	return ""
}

// within gives a context that knows the trace of the gateway's call, unless it knows one already.
func within(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	state := call.Of(ctx)
	if state == nil || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	carrier := propagation.MapCarrier{"traceparent": state.Traceparent()}
	return propagation.TraceContext{}.Extract(ctx, carrier)
}
