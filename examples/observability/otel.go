package main

import (
	"context"
	"errors"
	"io"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	otelmetric "go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A telemetry is what OpenTelemetry has in this program. It is handed to those
// who use it; nothing is global.
type telemetry struct {
	meters *sdkmetric.MeterProvider
	traces *sdktrace.TracerProvider
}

// newTelemetry prints, where a service has the exporters of its collector. With
// nil it collects for nobody.
func newTelemetry(to io.Writer) (*telemetry, error) {
	if to == nil {
		return &telemetry{sdkmetric.NewMeterProvider(), sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))}, nil
	}
	numbers, err := stdoutmetric.New(stdoutmetric.WithWriter(to))
	if err != nil {
		return nil, err
	}
	spans, err := stdouttrace.New(stdouttrace.WithWriter(to))
	if err != nil {
		return nil, err
	}
	return &telemetry{
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(numbers))),
		sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans)),
	}, nil
}

// shutdown exports what is left.
func (t *telemetry) shutdown(ctx context.Context) error {
	return errors.Join(t.meters.Shutdown(ctx), t.traces.Shutdown(ctx))
}

// trace begins a span for each request that comes so far. otelhttp takes
// client.address from the first entry of X-Forwarded-For: inside of
// forwarded.Policy.Wrap, that is the client which the hops vouch for, and
// outside whatever the client wrote. The server's name is told, or it would be
// the Host, of which clients can make up as many as they like.
func (t *telemetry) trace(server string, next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, "request", otelhttp.WithServerName(server),
		otelhttp.WithTracerProvider(t.traces), otelhttp.WithMeterProvider(t.meters))
}

// observe registers an observable instrument for each metric, and one callback
// that reads all of them together at each collection.
func (t *telemetry) observe(s *service) error {
	meter := t.meters.Meter("github.com/knownhops/knownhops/examples/observability")
	instruments := make(map[*metric]otelmetric.Float64Observable)
	var all []otelmetric.Observable
	for _, m := range everything {
		instrument, err := m.instrument(meter)
		if err != nil {
			return err
		}
		instruments[m] = instrument
		all = append(all, instrument)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o otelmetric.Observer) error {
		for _, one := range s.samples() {
			o.ObserveFloat64(instruments[one.metric], one.value, otelmetric.WithAttributes(one.attributes()...))
		}
		return nil
	}, all...)
	return err
}

func (m *metric) instrument(meter otelmetric.Meter) (otelmetric.Float64Observable, error) {
	description, unit := otelmetric.WithDescription(m.help), otelmetric.WithUnit(m.unit)
	if m.counter {
		return meter.Float64ObservableCounter(m.name, description, unit)
	}
	return meter.Float64ObservableGauge(m.name, description, unit)
}

func (s sample) attributes() []attribute.KeyValue {
	list := make([]attribute.KeyValue, len(s.labels))
	for i, value := range s.labels {
		list[i] = attribute.String(s.metric.labels[i], value)
	}
	return list
}
