package healthcheck

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func everybody(*http.Request) bool { return true }

// show asks Details, as a browser does if html is set.
func show(h *Health, allow func(*http.Request) bool, html bool) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/health", nil)
	if html {
		r.Header.Set("Accept", "text/html,application/xhtml+xml")
	}
	w := httptest.NewRecorder()
	h.Details(allow).ServeHTTP(w, r)
	return w
}

func TestDetailsRefuses(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	h.Report("db", errCanary)
	for name, allow := range map[string]func(*http.Request) bool{"nil": nil, "no": func(*http.Request) bool { return false }} {
		for _, html := range []bool{true, false} {
			w := show(h, allow, html)
			assert.Equal(t, http.StatusNotFound, w.Code, name)
			assert.NotContains(t, w.Body.String(), "db", name)
			assert.Contains(t, w.Header().Get("Cache-Control"), "no-store", name)
		}
	}
	w := httptest.NewRecorder()
	h.Details(everybody).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/health", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

// draft-inadarei-api-health-check-06, sections 3 and 4.
func TestDraftJSONSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		h.Report("db", errors.New(strings.Repeat("x", 10_000)+"\xff"))
		beat := h.Heartbeat("loop", time.Hour, Local)
		for range 4 {
			probe(t, h.Wrap(teapot), "/healthz", "10.0.0.1")
			time.Sleep(10 * time.Second)
		}
		type object struct {
			ComponentType, Status, Time, Output, ObservedUnit string
			ObservedValue                                     *float64
		}
		var doc struct {
			Status, Description string
			Checks              map[string][]object
			Probers             []struct {
				Address      string
				EverySeconds float64
				Active       bool
			}
			Drain struct{ NeedsSeconds float64 }
		}
		read := func() *httptest.ResponseRecorder {
			w := show(h, everybody, false)
			assert.Equal(t, "application/health+json", w.Header().Get("Content-Type"))
			assert.Contains(t, w.Header().Get("Cache-Control"), "no-store")
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
			return w
		}
		assert.Equal(t, 503, read().Code, "fail MUST be 4xx or 5xx")
		assert.Equal(t, "fail", doc.Status)
		assert.Contains(t, doc.Description, "loop (local) is unknown")
		assert.Equal(t, "warn", doc.Checks["db"][0].Status)
		assert.Equal(t, "component", doc.Checks["db"][0].ComponentType)
		assert.Len(t, doc.Checks["db"][0].Output, maxText)
		_, err := time.Parse(time.RFC3339, doc.Checks["db"][0].Time)
		assert.NoError(t, err)
		assert.Equal(t, "10.0.0.1", doc.Probers[0].Address)
		assert.EqualValues(t, 10, doc.Probers[0].EverySeconds)
		assert.EqualValues(t, 20, doc.Drain.NeedsSeconds)
		beat()
		assert.Equal(t, 200, read().Code, "warn MUST be 2xx or 3xx")
		assert.Equal(t, "warn", doc.Status)
		h.Report("db", nil)
		assert.Equal(t, 200, read().Code)
		assert.Equal(t, "pass", doc.Status)
		h.Drain()
		assert.Equal(t, 503, read().Code)
	})
}

func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		alb := ALB()
		h.profile.Store(&alb)
		app := h.Wrap(teapot)
		text := func() string {
			w := show(h, everybody, true)
			assert.Equal(t, 200, w.Code)
			assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
			assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
			return w.Body.String()
		}
		page := text()
		assert.Contains(t, page, "Ready.")
		assert.Contains(t, page, "/healthz and /readyz", "where a balancer should ask")

		h.Report("db", errors.New("<script>alert(1)</script>"))
		defer h.Track("websocket")()
		for range 4 {
			r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
			r.RemoteAddr = "10.0.16.5:1"
			r.Header.Set("User-Agent", "<b>ELB</b>")
			app.ServeHTTP(httptest.NewRecorder(), r)
			time.Sleep(30 * time.Second)
		}
		probeAs(app, "ELB-HealthChecker/2.0", "/<i>")
		page = text()
		for _, want := range []string{
			"Ready, with a warning: db (dependency) is failing.",
			"&lt;script&gt;alert(1)&lt;/script&gt;",
			"10.0.16.5", "&lt;b&gt;ELB&lt;/b&gt;",
			"Up to 1m0s until the slowest prober, 10.0.16.5,",
			"Probe at least every 10s",
			"Tracked: websocket, 1.",
			"Nobody runs the checks",
			"ELB-HealthChecker/2.0 from 192.0.2.1 probes &#34;/&lt;i&gt;&#34;, which the application answered with 418",
			"Set its path to /healthz.",
		} {
			assert.Contains(t, page, want)
		}
		assert.NotContains(t, page, "<script")
		h.Drain()
		assert.Contains(t, text(), "Not ready: the service is leaving.")
	})
}

func TestPageOfAServiceThatIsNotLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		h.Heartbeat("loop", time.Second, Watchdog)
		time.Sleep(3 * time.Second)
		assert.Contains(t, show(h, everybody, true).Body.String(), "Not live and not ready: loop (watchdog) is failing.")
	})
}

// TestNoDetailLeak: what an error says, and who probes, is nowhere but in
// Details.
func TestNoDetailLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var db flag
		db.bad.Store(true)
		h := mustNew(t, Config{Checks: []Check{{Name: "db", Kind: Local, Failures: 1, Func: db.check}}})
		h.Report("other", errCanary)
		defer start(t, h)()
		synctest.Wait()
		for _, end := range []http.Handler{h.Ready(), h.Live(), h.Startup(), h.Metrics(), h.Details(nil), h.Details(Loopback), h.Wrap(teapot)} {
			r := httptest.NewRequest(http.MethodGet, "/healthz?verbose=1", nil)
			r.RemoteAddr = "10.0.0.77:1"
			r.Header.Set("X-Forwarded-For", "127.0.0.1")
			w := httptest.NewRecorder()
			end.ServeHTTP(w, r)
			probe(t, end, "/healthz", "10.0.0.77")
			for _, secret := range []string{canary, "10.0.0.77"} {
				assert.NotContains(t, w.Body.String(), secret)
				for name, values := range w.Header() {
					assert.NotContains(t, strings.Join(values, ","), secret, name)
				}
			}
		}
		assert.NotContains(t, h.String(), canary)
		assert.NotContains(t, h.String(), "10.0.0.77")
		assert.NotContains(t, h.Snapshot().LogValue().String(), canary)
		assert.Contains(t, show(h, everybody, false).Body.String(), canary)
		assert.Contains(t, show(h, everybody, true).Body.String(), canary)
	})
}

func TestLoopback(t *testing.T) {
	for _, row := range []struct {
		peer, host, header string
		want               bool
	}{
		{"127.0.0.1:5", "localhost:8080", "", true},
		{"127.0.0.1:5", "127.0.0.1:8080", "", true},
		{"127.9.9.9:5", "LOCALHOST", "", true},
		{"[::1]:5", "[::1]:8080", "", true},
		{"[::ffff:127.0.0.1]:5", "localhost", "", true},
		{"127.0.0.1:5", "evil.example:8080", "", false}, // a name that was made to point here
		{"127.0.0.1:5", "localhost.evil.example", "", false},
		{"127.0.0.1:5", "", "", false},
		{"127.0.0.1:5", "10.0.0.1", "", false},
		{"10.0.0.1:5", "localhost", "", false},
		{"@", "localhost", "", false},
		{"127.0.0.1", "localhost", "", false},
		{"127.0.0.1:5", "localhost", "X-Forwarded-For", false},
		{"127.0.0.1:5", "localhost", "Forwarded", false},
		{"127.0.0.1:5", "localhost", "X_Real_IP", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Host = row.peer, row.host
		if row.header != "" {
			r.Header[row.header] = []string{"127.0.0.1"}
		}
		assert.Equal(t, row.want, Loopback(r), "%+v", row)
	}
}
