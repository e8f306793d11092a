package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
)

// recordedLog returns a logger and what it has written.
func recordedLog() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewJSONHandler(&b, nil)), &b
}

func explodeWithCare() { panic(errors.New("db password is hunter2")) }

func TestRecoverAnswers(t *testing.T) {
	logger, log := recordedLog()
	h := proxy.Recover(logger)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "7")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Cache-Control", "public, max-age=9")
		w.Header().Add("Set-Cookie", "session=half")
		w.Header().Set("Strict-Transport-Security", "max-age=0")
		w.Header()["X-Request-Id"][0] = "overwritten"
		explodeWithCare()
	}))
	w := httptest.NewRecorder()
	w.Header().Set("Strict-Transport-Security", "max-age=300")
	w.Header().Set("X-Request-Id", "1")
	r := httptest.NewRequest("GET", "/a%2Fb?token=secret", nil)
	info := forwarded.Info{Client: netip.MustParseAddr("203.0.113.7")}
	h.ServeHTTP(w, r.WithContext(forwarded.NewContext(r.Context(), info)))

	assert.Equal(t, 500, w.Code)
	assert.Equal(t, "Internal Server Error\n", w.Body.String())
	assert.Equal(t, http.Header{
		"Cache-Control": {"no-store"}, "Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"},
		"Strict-Transport-Security": {"max-age=300"}, "X-Request-Id": {"1"},
	}, w.Header())
	for _, want := range []string{`"panic":"db password is hunter2"`, `"path":"/a%2Fb"`, `"method":"GET"`, `"client":"203.0.113.7"`, "explodeWithCare", `"level":"ERROR"`} {
		assert.Contains(t, log.String(), want)
	}
	assert.NotContains(t, log.String(), "token")
	assert.Equal(t, 1, bytes.Count(log.Bytes(), []byte("\n")))
}

// TestRecoverValues: whatever a panic carries becomes a 500, but for the
// one value that means something else.
func TestRecoverValues(t *testing.T) {
	for _, value := range []any{"text", errors.New("an error"), 7, []int{1}, nil, map[string]int{}, io.EOF} {
		logger, log := recordedLog()
		w := httptest.NewRecorder()
		proxy.Recover(logger)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(value) })).
			ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, 500, w.Code, "%v", value)
		assert.Contains(t, log.String(), "a handler panicked", "%v", value)
	}
	logger, log := recordedLog()
	h := proxy.Recover(logger)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	w := httptest.NewRecorder()
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil)) })
	assert.Empty(t, log.String())
	assert.False(t, w.Flushed || w.Body.Len() > 0)
}

func TestRecoverPassesAnswers(t *testing.T) {
	w := httptest.NewRecorder()
	proxy.Recover(nil)(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 404, w.Code)
}

// TestRecoverOnTheWire: over HTTP/1.1 and HTTP/2, what has begun never looks
// complete.
func TestRecoverOnTheWire(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		status  int // 0: aborted
		logged  bool
	}{
		{"before the head", func(http.ResponseWriter, *http.Request) { panic("x") }, 500, true},
		{"after an interim head", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); panic("x") }, 500, true},
		{"by a status that net/http refuses", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(7) }, 500, true},
		{"after the head", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic("x") }, 0, true},
		{"after a complete body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "ok")
			panic("x")
		}, 0, true},
		{"in a stream", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "data")
			_ = http.NewResponseController(w).Flush()
			panic("x")
		}, 0, true},
		{"ErrAbortHandler", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, false},
	} {
		for name, http2 := range map[string]bool{"http1": false, "http2": true} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				logger, log := recordedLog()
				s := httpServer(t, proxy.Recover(logger)(c.handler), http2)
				resp, _, err := do(t, s, "GET", "/")
				s.Close()
				if c.status == 0 {
					assert.Error(t, err)
				} else if assert.NoError(t, err) {
					assert.Equal(t, c.status, resp.StatusCode)
				}
				assert.Equal(t, c.logged, log.Len() > 0)
			})
		}
	}
}

// TestRecoverClosesWhatWasTakenOver: net/http leaves such a connection alone.
func TestRecoverClosesWhatWasTakenOver(t *testing.T) {
	lines := newLogLines()
	logger := slog.New(slog.NewTextHandler(lines, nil))
	taken := make(chan net.Conn, 1) // holds it, or the garbage collector might close it
	s := httpServer(t, proxy.Recover(logger)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		taken <- conn
		panic("in the tunnel")
	})), false)
	s.Client().Timeout = 20 * time.Second
	_, _, err := do(t, s, "GET", "/")
	conn := <-taken
	defer conn.Close()
	require.ErrorIs(t, err, io.EOF)
	assert.Contains(t, lines.next(t), "in the tunnel")
}

func TestRecoverUsesTheDefaultLogger(t *testing.T) {
	logger, log := recordedLog()
	h := proxy.Recover(nil)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	before := slog.Default()
	slog.SetDefault(logger)
	defer slog.SetDefault(before)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	assert.Contains(t, log.String(), "boom")
}

// TestRecoverInsideAccessLog: the order that the comments ask for.
func TestRecoverInsideAccessLog(t *testing.T) {
	logger, _ := recordedLog()
	lines := newLogLines()
	h := proxy.AccessLog(lines)(proxy.Recover(logger)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, "500 22", outcome(t, lines.next(t)))
}
