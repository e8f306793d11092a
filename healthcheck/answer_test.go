package healthcheck

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestZeroHealthIsLiveAndReady(t *testing.T) {
	var h Health
	for name, end := range map[string]http.Handler{"ready": h.Ready(), "live": h.Live(), "startup": h.Startup()} {
		assert.Equal(t, http.StatusOK, ask(t, end), name)
	}
}

func TestAnswers(t *testing.T) {
	unready := mustNew(t, Config{Checks: []Check{{Name: "disk", Kind: Local, Func: well}}})
	var draining, ready Health
	draining.Drain()
	for _, row := range []struct {
		name   string
		end    http.Handler
		method string
		code   int
		body   string
	}{
		{"ready", ready.Ready(), "GET", 200, "ok\n"},
		{"ready HEAD", ready.Ready(), "HEAD", 200, ""},
		{"ready OPTIONS", ready.Ready(), "OPTIONS", 204, ""},
		{"ready POST", ready.Ready(), "POST", 405, "method not allowed\n"},
		{"ready TRACE", ready.Ready(), "TRACE", 405, "method not allowed\n"},
		{"unready", unready.Ready(), "GET", 503, "unavailable\n"},
		{"unready HEAD", unready.Ready(), "HEAD", 503, ""},
		{"unready OPTIONS", unready.Ready(), "OPTIONS", 503, ""},
		{"unready live", unready.Live(), "GET", 200, "ok\n"},
		{"unready startup", unready.Startup(), "GET", 200, "ok\n"},
		{"draining", draining.Ready(), "GET", 503, "draining\n"},
		{"draining live", draining.Live(), "GET", 200, "ok\n"},
		{"draining startup", draining.Startup(), "GET", 200, "ok\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			row.end.ServeHTTP(w, httptest.NewRequest(row.method, "/healthz", nil))
			assert.Equal(t, row.code, w.Code)
			assert.Equal(t, row.body, w.Body.String())
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			assert.Empty(t, w.Header().Values("Set-Cookie"))
			if row.method == "OPTIONS" {
				assert.Empty(t, w.Header().Get("Content-Length"))
				return
			}
			assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
			assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
			if row.method != "HEAD" {
				assert.Equal(t, strconv.Itoa(len(row.body)), w.Header().Get("Content-Length"))
			}
			if row.code == 405 {
				assert.Equal(t, "GET, HEAD, OPTIONS", w.Header().Get("Allow"))
			}
		})
	}
}

// A handler further out may add to a header value; it must not reach the next
// answer.
func TestHeaderValuesAreNotShared(t *testing.T) {
	var h Health
	w := httptest.NewRecorder()
	h.Ready().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	for name := range w.Header() {
		w.Header().Add(name, "extra")
		w.Header()[name][0] = "other"
	}
	w = httptest.NewRecorder()
	h.Ready().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"3"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}}, w.Header())
}

// discard is a writer that costs nothing, so that only our own allocations count.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header               { return d.header }
func (d *discard) WriteHeader(int)                   {}
func (d *discard) Write(p []byte) (int, error)       { return len(p), nil }
func (d *discard) WriteString(s string) (int, error) { return len(s), nil }

var _ io.StringWriter = (*discard)(nil)

func TestProbeAllocations(t *testing.T) {
	h := mustNew(t, Config{Checks: []Check{{Name: "db", Func: well}}})
	app := h.Wrap(nobody(t))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, path := range []string{"/healthz", "/readyz", "/livez", "/startupz"} {
			r := httptest.NewRequest(method, path, nil)
			r.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
			w := &discard{header: make(http.Header)}
			n := testing.AllocsPerRun(200, func() {
				clear(w.header)
				app.ServeHTTP(w, r)
			})
			assert.LessOrEqual(t, n, 1.0, "%s %s", method, path)
		}
	}
}

func TestOtherRequestsAllocateNothing(t *testing.T) {
	var h Health
	app := h.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask(t, h.Ready()) // a prober, so that the table is looked at
	w := &discard{header: make(http.Header)}
	bare := httptest.NewRequest(http.MethodGet, "/orders?id=1", nil)
	behind := httptest.NewRequest(http.MethodGet, "/orders?id=1", nil)
	behind.Header.Set("X-Forwarded-For", "192.0.2.1")
	for name, r := range map[string]*http.Request{"bare": bare, "behind a balancer": behind} {
		r.Header.Set("User-Agent", "curl/8")
		assert.Zero(t, testing.AllocsPerRun(200, func() { app.ServeHTTP(w, r) }), name)
	}
}

func TestConcurrentProbes(t *testing.T) {
	var h Health
	app := h.Wrap(teapot)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				probe(t, app, "/healthz", "10.0.0."+strconv.Itoa(i%100))
				h.Report("db", nil)
				h.Snapshot()
			}
		})
	}
	wg.Go(h.Drain)
	wg.Wait()
	assert.Equal(t, http.StatusServiceUnavailable, ask(t, h.Ready()))
}

func BenchmarkProbe(b *testing.B) {
	var h Health
	app := h.Wrap(teapot)
	r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	w := &discard{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		app.ServeHTTP(w, r)
	}
}

func BenchmarkPass(b *testing.B) {
	var h Health
	app := h.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask(b, h.Ready())
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	r.Header.Set("User-Agent", "Mozilla/5.0")
	w := &discard{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		app.ServeHTTP(w, r)
	}
}
