package healthcheck

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		h.Report("db", errCanary)
		h.Heartbeat("loop", time.Hour, Local)
		app := h.Wrap(teapot)
		probe(t, app, "/healthz", "10.0.0.1")
		probe(t, app, "/livez", "10.0.0.1")
		probe(t, app, "/livez", "10.0.0.1")
		w := httptest.NewRecorder()
		h.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		assert.Equal(t, 200, w.Code, "always")
		assert.Equal(t, "application/openmetrics-text; version=1.0.0; charset=utf-8", w.Header().Get("Content-Type"))
		assert.Equal(t, `# TYPE healthcheck_ready gauge
# HELP healthcheck_ready Whether readiness answers 200.
healthcheck_ready 0
# TYPE healthcheck_live gauge
# HELP healthcheck_live Whether liveness answers 200.
healthcheck_live 1
# TYPE healthcheck_draining gauge
# HELP healthcheck_draining Whether the service is leaving.
healthcheck_draining 0
# TYPE healthcheck_status gauge
# HELP healthcheck_status What the check means: 1 pass, 0.5 warn, 0 fail.
healthcheck_status{check="db",kind="dependency"} 0.5
healthcheck_status{check="loop",kind="local"} 0
# TYPE healthcheck_duration_seconds gauge
# UNIT healthcheck_duration_seconds seconds
# HELP healthcheck_duration_seconds How long the last run took.
healthcheck_duration_seconds{check="db",kind="dependency"} 0
healthcheck_duration_seconds{check="loop",kind="local"} 0
# TYPE healthcheck_last_run_timestamp_seconds gauge
# UNIT healthcheck_last_run_timestamp_seconds seconds
# HELP healthcheck_last_run_timestamp_seconds When the last result came; 0: there is none.
healthcheck_last_run_timestamp_seconds{check="db",kind="dependency"} 946684800
healthcheck_last_run_timestamp_seconds{check="loop",kind="local"} 0
# TYPE healthcheck_runs counter
# HELP healthcheck_runs Results so far.
healthcheck_runs_total{check="db",kind="dependency"} 1
healthcheck_runs_total{check="loop",kind="local"} 0
# TYPE healthcheck_panics counter
# HELP healthcheck_panics Runs that panicked.
healthcheck_panics_total{check="db",kind="dependency"} 0
healthcheck_panics_total{check="loop",kind="local"} 0
# TYPE healthcheck_probes counter
# HELP healthcheck_probes Probes answered.
healthcheck_probes_total{endpoint="ready",code="503"} 1
healthcheck_probes_total{endpoint="live",code="200"} 2
# TYPE healthcheck_probers gauge
# HELP healthcheck_probers Who asks for readiness at the moment.
healthcheck_probers 1
# EOF
`, w.Body.String())
		w = httptest.NewRecorder()
		h.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/metrics", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
	})
}

func TestMetricsOfTheZeroHealth(t *testing.T) {
	var h Health
	text := metricsText(h.Snapshot())
	assert.Contains(t, text, "healthcheck_ready 1\n")
	assert.True(t, strings.HasSuffix(text, "# EOF\n"))
	assert.NotContains(t, text, "healthcheck_status", "a family without samples is left out")
}

func TestString(t *testing.T) {
	h := mustNew(t, Config{Checks: []Check{{Name: "cache", Kind: Startup, Func: well}}})
	defer h.Track("websocket")()
	probe(t, h.Ready(), "/", "10.0.0.1")
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(h.String()), &got))
	assert.Equal(t, "fail", got["status"])
	assert.Equal(t, false, got["ready"])
	assert.Equal(t, true, got["live"])
	assert.Equal(t, false, got["started"])
	assert.Equal(t, map[string]any{"websocket": 1.0}, got["tracked"])
	check := got["checks"].([]any)[0].(map[string]any)
	assert.Equal(t, []any{"cache", "startup", "fail", "unknown"}, []any{check["name"], check["kind"], check["status"], check["level"]})
}

func TestSnapshotIsACopy(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	h.Report("db", nil)
	probe(t, h.Ready(), "/", "10.0.0.1")
	s := h.Snapshot()
	s.Checks[0].Name = "changed"
	s.Probers[0].Agent = "changed"
	assert.NotEqual(t, s.Checks[0].Name, h.Snapshot().Checks[0].Name)
	assert.NotEqual(t, s.Probers[0].Agent, h.Snapshot().Probers[0].Agent)
}

func TestSnapshotForLogs(t *testing.T) {
	var lines logLines
	h := &Health{logTo: lines.logger()}
	h.Report("db", errCanary)
	h.logger().Info("state", "health", h.Snapshot())
	assert.Len(t, lines.with("health.status=warn health.draining=false health.not_passing=[db]"), 1)
}
