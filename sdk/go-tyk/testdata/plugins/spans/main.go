// Spans around what a plugin does, as Tyk's telemetry offers them.
package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/TykTechnologies/opentelemetry/trace"
	"github.com/TykTechnologies/tyk/log"
)

var logger = log.Get()

// Measure tells the upstream which trace its spans belong to.
func Measure(rw http.ResponseWriter, r *http.Request) {
	ctx, span := trace.NewSpanFromContext(r.Context(), "", "measure")
	defer span.End()
	span.SetAttributes(trace.NewAttribute("path", r.URL.Path), trace.NewAttribute("length", r.ContentLength))
	if err := look(ctx, r.Header.Get("X-Look")); err != nil {
		span.SetStatus(trace.SPAN_STATUS_ERROR, err.Error())
		logger.WithError(err).Warn("nothing to look at")
	} else {
		span.SetStatus(trace.SPAN_STATUS_OK, "")
	}
	r.Header.Set("X-Trace", span.SpanContext().TraceID().String())
	r.Header.Set("X-Trace-Too", trace.SpanFromContext(r.Context()).SpanContext().TraceID().String())
}

func look(ctx context.Context, at string) error {
	_, span := trace.NewSpanFromContext(ctx, "looking", "look")
	defer span.End()
	span.SetName("look at " + at)
	if at == "" {
		err := errors.New("no X-Look")
		span.RecordError(err)
		return err
	}
	return nil
}

func main() {}
