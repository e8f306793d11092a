package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/knownhops/knownhops/healthcheck"
)

// A lab is a service whose numbers and traces a test can read.
type lab struct {
	*service
	log    bytes.Buffer
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	providers := &telemetry{
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(l.reader)),
		sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(l.spans)),
	}
	var err error
	l.service, err = newService(config{hops: "alb=10.0.16.0/20", host: "www.example.com"}, providers, &l.log)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, providers.shutdown(context.Background())) })
	return l
}

// ask sends a request as it comes from an address, and returns the answer.
func ask(h http.Handler, from, url string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", url, nil)
	r.RemoteAddr = from
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// traffic is a visitor who forges, one over http, and two probes.
func (l *lab) traffic(t *testing.T) {
	h := l.handler()
	w := ask(h, "10.0.16.9:4711", "http://www.example.com/cart", "X-Forwarded-For: 6.6.6.6, 203.0.113.7", "X-Forwarded-Proto: https")
	require.Equal(t, 200, w.Code)
	require.Equal(t, "You are 203.0.113.7 and used https.\n", w.Body.String())
	w = ask(h, "10.0.16.9:4711", "http://www.example.com/cart", "X-Forwarded-For: 203.0.113.8", "X-Forwarded-Proto: http")
	require.Equal(t, 301, w.Code)
	ask(h, "10.0.16.9:4711", "http://10.0.20.10/livez", "User-Agent: ELB-HealthChecker/2.0")
	ask(h, "10.0.16.9:4711", "http://10.0.20.10/healthz", "User-Agent: ELB-HealthChecker/2.0")
}

func TestPrometheus(t *testing.T) {
	l := newLab(t)
	l.traffic(t)
	text := ask(l.operations(), "127.0.0.1:5", "http://localhost/metrics").Body.String()
	for _, line := range []string{
		`forwarded_requests_total{reason="forwarded",status="forwarded"} 2`,
		`redirect_decisions_total{reason="passed_https"} 1`,
		`redirect_decisions_total{reason="redirected"} 1`,
		`healthcheck_probes_total{code="200",endpoint="live"} 1`,
		`healthcheck_probes_total{code="503",endpoint="ready"} 1`, // the disk has not been looked at yet
		`healthcheck_status{check="disk",kind="local"} 0`,
		`healthcheck_ready 0`, `healthcheck_live 1`, `healthcheck_draining 0`, `healthcheck_probers 1`,
	} {
		assert.Contains(t, text, line+"\n")
	}
	for _, secret := range []string{"203.0.113.7", "6.6.6.6", "10.0.16.9"} {
		assert.NotContains(t, text, secret, "an address in a metric")
	}
	l.health.Drain()
	text = ask(l.operations(), "127.0.0.1:5", "http://localhost/metrics").Body.String()
	assert.Contains(t, text, "healthcheck_draining 1\n")
}

// TestNamesOfHealthMetrics keeps dashboards alive: whoever moves from
// Health.Metrics to a registry of Prometheus' client finds the same names,
// types and labels.
func TestNamesOfHealthMetrics(t *testing.T) {
	l := newLab(t)
	l.traffic(t)
	types := func(text string) (found []string) {
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (healthcheck_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
			name := m[1]
			if m[2] == "counter" {
				name = strings.TrimSuffix(name, "_total") // OpenMetrics leaves it out here, the older format does not
			}
			found = append(found, m[2]+" "+name)
		}
		return found
	}
	own := types(ask(l.health.Metrics(), "127.0.0.1:5", "http://localhost/").Body.String())
	require.Len(t, own, 10)
	assert.Subset(t, types(ask(l.operations(), "127.0.0.1:5", "http://localhost/metrics").Body.String()), own)
}

func TestOpenTelemetry(t *testing.T) {
	l := newLab(t)
	l.traffic(t)
	var data metricdata.ResourceMetrics
	require.NoError(t, l.reader.Collect(t.Context(), &data))
	got := map[string]float64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, p := range points(m.Data) {
				key := m.Name
				for _, a := range p.Attributes.ToSlice() {
					key += " " + a.Value.String()
				}
				got[key] = p.Value
			}
		}
	}
	for key, want := range map[string]float64{
		"forwarded.requests forwarded forwarded": 2, "redirect.decisions redirected": 1, "healthcheck.probes 200 live": 1,
		"healthcheck.status disk local": 0, "healthcheck.live": 1, "healthcheck.ready": 0, "healthcheck.probers": 1,
	} {
		value, ok := got[key]
		assert.True(t, ok, "%s is missing from %v", key, got)
		assert.Equal(t, want, value, key)
	}
}

func points(data metricdata.Aggregation) []metricdata.DataPoint[float64] {
	switch data := data.(type) {
	case metricdata.Gauge[float64]:
		return data.DataPoints
	case metricdata.Sum[float64]:
		return data.DataPoints
	}
	return nil
}

// TestWhatIsTracedAndLogged has visitors, with their real addresses, and no
// probes.
func TestWhatIsTracedAndLogged(t *testing.T) {
	l := newLab(t)
	l.traffic(t)
	var clients []string
	for _, span := range l.spans.Ended() {
		for _, a := range span.Attributes() {
			if a.Key == "client.address" {
				clients = append(clients, a.Value.AsString())
			}
		}
	}
	assert.Len(t, l.spans.Ended(), 2)
	assert.Equal(t, []string{"203.0.113.7", "203.0.113.8"}, clients)
	assert.Equal(t, 2, strings.Count(l.log.String(), "\n"))
	assert.Contains(t, l.log.String(), `203.0.113.7 - - [`)
	for _, text := range []string{"6.6.6.6", "ELB-HealthChecker", "/healthz", "/livez"} {
		assert.NotContains(t, l.log.String(), text)
	}
}

func TestUnknownSchemes(t *testing.T) {
	l := newLab(t)
	ask(l.handler(), "10.0.16.9:4711", "http://www.example.com/", "X-Forwarded-For: 203.0.113.7")
	text := ask(l.operations(), "127.0.0.1:5", "http://localhost/metrics").Body.String()
	assert.Contains(t, text, `forwarded_unknown_schemes_total{reason="scheme_missing"} 1`)
}

func TestDetailsAreForThisMachine(t *testing.T) {
	l := newLab(t)
	l.traffic(t)
	w := ask(l.operations(), "127.0.0.1:5", "http://localhost/health")
	assert.Equal(t, "application/health+json", w.Header().Get("Content-Type"))
	var page struct{ Probers []struct{ Address string } }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
	require.Len(t, page.Probers, 1)
	assert.Equal(t, "10.0.16.9", page.Probers[0].Address)
	assert.Equal(t, 404, ask(l.operations(), "192.0.2.1:5", "http://localhost/health").Code)
}

func TestDisk(t *testing.T) {
	assert.NoError(t, diskTakesFiles(t.Context()))
	t.Setenv("TMPDIR", "/nonexistent")
	if runtime.GOOS != "windows" {
		assert.Error(t, diskTakesFiles(t.Context()))
	}
}

// TestRun is the whole program on free ports, scraped while it drains.
func TestRun(t *testing.T) {
	before := runtime.NumGoroutine()
	cfg, err := parseFlags([]string{"-listen", freeAddr(t), "-ops", freeAddr(t)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, cfg) }()
	require.Eventually(t, func() bool { return healthcheck.Probe(t.Context(), "http://"+cfg.listen+"/readyz") == nil }, 10*time.Second, 10*time.Millisecond)

	scrape := func() string {
		resp, err := http.Get("http://" + cfg.ops + "/metrics")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	assert.Contains(t, scrape(), "healthcheck_status{check=\"disk\",kind=\"local\"} 1\n")
	probe := func() error {
		time.Sleep(200 * time.Millisecond)
		return healthcheck.Probe(t.Context(), "http://"+cfg.listen+"/readyz")
	}
	for range 3 { // so that its interval is known
		assert.NoError(t, probe())
	}
	stop()
	require.Eventually(t, func() bool { return strings.Contains(scrape(), "healthcheck_draining 1\n") }, 5*time.Second, 10*time.Millisecond)
	for len(ended) == 0 {
		assert.Error(t, probe())
	}
	assert.NoError(t, <-ended)
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+1; time.Sleep(5 * time.Millisecond) { // os/signal keeps one
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

func TestMistakes(t *testing.T) {
	_, err := parseFlags([]string{"-no-such-flag"})
	assert.Error(t, err)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, cfg := range []config{
		{hops: "alb=10.0.16.0/33"}, {host: "a_b!"}, {listen: "127.0.0.1:0", ops: taken.Addr().String()}, {listen: taken.Addr().String(), ops: "127.0.0.1:0"},
	} {
		assert.Error(t, run(t.Context(), cfg), cfg)
	}
}

func TestPrintedTelemetry(t *testing.T) {
	var text bytes.Buffer
	printing, err := newTelemetry(&text)
	require.NoError(t, err)
	s, err := newService(config{}, printing, io.Discard)
	require.NoError(t, err)
	ask(s.handler(), "192.0.2.1:5", "http://made-up-by-a-client.example/")
	require.NoError(t, printing.shutdown(context.Background()))
	assert.Contains(t, text.String(), `"Name":"healthcheck.live"`)
	assert.Contains(t, text.String(), `"client.address"`)
	assert.NotContains(t, text.String(), "made-up", "a label of a client's choice")
}
