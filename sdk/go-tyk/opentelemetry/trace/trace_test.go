package trace

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"gantry.example/sdk/go-tyk/call"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent  = "00-" + traceID + "-00f067aa0ba902b7-01"
)

func inCall() context.Context {
	return call.With(context.Background(), call.New(&call.Facts{Parent: parent}))
}

func TestSpansAreUsableWithoutAProvider(t *testing.T) {
	for _, ctx := range []context.Context{nil, context.Background(), inCall()} {
		ctx, span := NewSpanFromContext(ctx, "", "mine")
		span.SetName("renamed")
		span.SetStatus(SPAN_STATUS_OK, "")
		span.SetStatus(SPAN_STATUS_ERROR, "failed")
		span.SetStatus(SPAN_STATUS_UNSET, "")
		span.SetAttributes(NewAttribute("a", 1), attribute.String("b", "c"))
		span.RecordError(errors.New("failed"))
		span.AddEvent("event")
		held := SpanFromContext(ContextWithSpan(context.Background(), SpanFromContext(ctx)))
		if !held.SpanContext().Equal(span.SpanContext()) {
			t.Error("the context does not hold the span")
		}
		span.End()
	}
}

func TestSpansBelongToTheTraceOfTheCall(t *testing.T) {
	if got := ExtractTraceID(inCall()); got != traceID {
		t.Errorf("the call's trace is %q", got)
	}
	ctx, span := NewSpanFromContext(inCall(), "", "mine")
	_, inner := NewSpanFromContext(ctx, "", "inner")
	if got := ExtractTraceID(ctx) + inner.SpanContext().TraceID().String(); got != traceID+traceID {
		t.Errorf("spans of the traces %q", got)
	}
	inner.End()
	span.End()
	if got := ExtractTraceID(context.Background()); got != "" {
		t.Errorf("outside of a call the trace is %q", got)
	}
}

// provider keeps the names of the spans that it is asked for, and the trace above each.
type provider struct {
	noop.TracerProvider
	begun []string
}

type tracer struct {
	noop.Tracer
	of   *provider
	name string
}

func (p *provider) Tracer(name string, _ ...trace.TracerOption) trace.Tracer {
	return tracer{of: p, name: name}
}

func (t tracer) Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	above := trace.SpanContextFromContext(ctx).TraceID().String()
	t.of.begun = append(t.of.begun, t.name+" "+name+" "+above)
	return t.Tracer.Start(ctx, name, o...)
}

func TestSpansGoToTheProviderThatAPluginSets(t *testing.T) {
	before := otel.GetTracerProvider()
	defer otel.SetTracerProvider(before)
	mine := new(provider)
	otel.SetTracerProvider(mine)
	_, span := NewSpanFromContext(inCall(), "", "first")
	span.End()
	_, span = NewSpanFromContext(inCall(), "named", "second")
	span.End()
	want := []string{"tyk first " + traceID, "named second " + traceID}
	if len(mine.begun) != 2 || mine.begun[0] != want[0] || mine.begun[1] != want[1] {
		t.Errorf("begun: %q", mine.begun)
	}
}

func TestAttributesKeepTheKindOfTheirValues(t *testing.T) {
	text, number := "text", 7
	for _, each := range []struct {
		value interface{}
		want  attribute.Value
	}{
		{"a", attribute.StringValue("a")},
		{true, attribute.BoolValue(true)},
		{7, attribute.IntValue(7)},
		{int64(8), attribute.Int64Value(8)},
		{1.5, attribute.Float64Value(1.5)},
		{&text, attribute.StringValue("text")},
		{&number, attribute.IntValue(7)},
		{(*int)(nil), attribute.StringValue("<nil>")},
		{nil, attribute.StringValue("")},
		{[]string{"a", "b"}, attribute.StringSliceValue([]string{"a", "b"})},
		{[]bool{true}, attribute.BoolSliceValue([]bool{true})},
		{[]int{1}, attribute.IntSliceValue([]int{1})},
		{[]int64{1}, attribute.Int64SliceValue([]int64{1})},
		{[]float64{1}, attribute.Float64SliceValue([]float64{1})},
		{time.Second, attribute.StringValue("1s")},
		{struct{ A int }{1}, attribute.StringValue("{1}")},
	} {
		if got := NewAttribute("key", each.value); got.Key != "key" || got.Value != each.want {
			t.Errorf("%#v: %s %v", each.value, got.Value.Type(), got.Value.Emit())
		}
	}
}
