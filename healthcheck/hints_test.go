package healthcheck

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// probeAs sends a request that calls itself a probe.
func probeAs(app http.Handler, agent, path string, headers ...string) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.Path = path
	r.Header.Set("User-Agent", agent)
	for _, name := range headers {
		r.Header.Set(name, "192.0.2.9")
	}
	app.ServeHTTP(httptest.NewRecorder(), r)
}

func TestMisaimedProbes(t *testing.T) {
	var lines logLines
	h := &Health{logTo: lines.logger()}
	app := h.Wrap(http.RedirectHandler("https://www.example.com/", http.StatusMovedPermanently))
	for range 5 {
		probeAs(app, "ELB-HealthChecker/2.0", "/")
	}
	probeAs(app, "ELB-HealthChecker/2.0", "/healthz")
	require.Len(t, h.Snapshot().Hints, 1)
	hint := h.Snapshot().Hints[0]
	assert.Equal(t, [3]any{"/", 301, uint64(5)}, [3]any{hint.Path, hint.Code, hint.Count})
	require.Len(t, lines.list(), 1, "logged once")
	assert.Contains(t, lines.list()[0], "set its path to /healthz")
	assert.Contains(t, lines.list()[0], "301")
}

func TestHintsKnowTheStatus(t *testing.T) {
	var h Health
	h.logTo = new(logLines).logger()
	for i, row := range []struct {
		app  http.HandlerFunc
		code int
	}{
		{func(w http.ResponseWriter, r *http.Request) {}, 200},
		{func(w http.ResponseWriter, r *http.Request) { w.Write(nil); w.WriteHeader(500) }, 200},
		{func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); w.WriteHeader(404) }, 404},
		{func(w http.ResponseWriter, r *http.Request) { assert.NoError(t, http.NewResponseController(w).Flush()) }, 200},
	} {
		probeAs(h.Wrap(row.app), "kube-probe/1.30", fmt.Sprint("/", i))
		assert.Equal(t, row.code, h.Snapshot().Hints[i].Code, i)
	}
}

func TestNoHintForClients(t *testing.T) {
	var h Health
	app := h.Wrap(teapot)
	probeAs(app, "Mozilla/5.0", "/")
	probeAs(app, "", "/")
	probeAs(app, "ELB-HealthChecker/2.0", "/", "X-Forwarded-For")
	assert.Empty(t, h.Snapshot().Hints)
}

func TestHintsAreBounded(t *testing.T) {
	var lines logLines
	h := &Health{logTo: lines.logger()}
	for i := range 100 {
		probeAs(h.Wrap(teapot), "GoogleHC/1.0"+strings.Repeat("x", 1000), fmt.Sprint("/", i, strings.Repeat("y", 1000)))
	}
	assert.Len(t, h.Snapshot().Hints, maxHints)
	assert.Len(t, lines.list(), maxHints)
	assert.Len(t, h.Snapshot().Hints[0].Path, maxPathShown)
	assert.Len(t, h.Snapshot().Hints[0].Agent, maxAgent)
}
