package healthcheck

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Metrics writes the state as OpenMetrics text, always with status 200: a
// scraper does not read the body of a failure. Names of checks are in it,
// texts of errors and addresses are not.
//
//	healthcheck_ready, healthcheck_live, healthcheck_draining   0 or 1
//	healthcheck_status{check,kind}                              1 pass, 0.5 warn, 0 fail
//	healthcheck_duration_seconds{check,kind}                    the last run
//	healthcheck_last_run_timestamp_seconds{check,kind}
//	healthcheck_runs_total, healthcheck_panics_total{check,kind}
//	healthcheck_probes_total{endpoint,code}
//	healthcheck_probers                                         active ones
//
// Source: github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
func (h *Health) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !reads(w, r) {
			return
		}
		header := w.Header()
		header.Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, metricsText(h.Snapshot()))
	})
}

// reads answers 405 to what neither GET nor HEAD is.
func reads(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

// metricsText writes a snapshot. Samples of one family stand together, as the
// specification asks.
func metricsText(s Snapshot) string {
	var m metrics
	m.family("healthcheck_ready", "gauge", "Whether readiness answers 200.")
	m.sample("healthcheck_ready", "", bit(s.Ready))
	m.family("healthcheck_live", "gauge", "Whether liveness answers 200.")
	m.sample("healthcheck_live", "", bit(s.Live))
	m.family("healthcheck_draining", "gauge", "Whether the service is leaving.")
	m.sample("healthcheck_draining", "", bit(s.Draining))
	m.checks(s.Checks, "healthcheck_status", "gauge", "", "What the check means: 1 pass, 0.5 warn, 0 fail.", statusValue)
	m.checks(s.Checks, "healthcheck_duration_seconds", "gauge", "", "How long the last run took.", func(c CheckState) float64 { return c.Took.Seconds() })
	m.checks(s.Checks, "healthcheck_last_run_timestamp_seconds", "gauge", "", "When the last result came; 0: there is none.", lastValue)
	m.checks(s.Checks, "healthcheck_runs", "counter", "_total", "Results so far.", func(c CheckState) float64 { return float64(c.Runs) })
	m.checks(s.Checks, "healthcheck_panics", "counter", "_total", "Runs that panicked.", func(c CheckState) float64 { return float64(c.Panics) })
	m.family("healthcheck_probes", "counter", "Probes answered.")
	for _, p := range s.Probes {
		m.sample("healthcheck_probes_total", fmt.Sprintf(`{endpoint="%s",code="%d"}`, p.Endpoint, p.Code), float64(p.Count))
	}
	m.family("healthcheck_probers", "gauge", "Who asks for readiness at the moment.")
	m.sample("healthcheck_probers", "", float64(active(s.Probers)))
	m.WriteString("# EOF\n")
	return m.String()
}

// metrics builds OpenMetrics text. Names of checks need no escapes: quotes and
// backslashes are no part of them.
type metrics struct{ strings.Builder }

func (m *metrics) family(name, kind, help string) {
	fmt.Fprintf(m, "# TYPE %s %s\n", name, kind)
	if strings.HasSuffix(name, "_seconds") {
		fmt.Fprintf(m, "# UNIT %s seconds\n", name)
	}
	fmt.Fprintf(m, "# HELP %s %s\n", name, help)
}

func (m *metrics) sample(name, labels string, value float64) {
	m.WriteString(name + labels + " " + strconv.FormatFloat(value, 'f', -1, 64) + "\n")
}

func (m *metrics) checks(list []CheckState, name, kind, suffix, help string, value func(CheckState) float64) {
	if len(list) == 0 {
		return
	}
	m.family(name, kind, help)
	for _, c := range list {
		m.sample(name+suffix, fmt.Sprintf(`{check="%s",kind="%s"}`, c.Name, c.Kind), value(c))
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func statusValue(c CheckState) float64 { return 1 - float64(c.Status)/2 }

func lastValue(c CheckState) float64 {
	if c.Last.IsZero() {
		return 0
	}
	return float64(c.Last.UnixNano()) / float64(time.Second)
}

// active is how many of the probers still ask.
func active(list []Prober) int {
	n := 0
	for _, p := range list {
		if p.Active {
			n++
		}
	}
	return n
}
