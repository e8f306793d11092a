package healthcheck

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyExactPathsAreAnswered(t *testing.T) {
	var h Health
	app := h.Wrap(teapot)
	for target, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/livez": 200, "/startupz": 200,
		"/healthz?x=1": 200, "/healthz?": 200,
		"http://www.example.com/healthz": 200, // absolute-form, RFC 9112 §3.2.2
		"/":                              418, "//healthz": 418, "/healthz/": 418, "/HEALTHZ": 418, "/%68ealthz": 418, "/./healthz": 418,
		"/x/../healthz": 418, "/healthz%00": 418, "/healthz;x": 418, "/healthz%3Fx": 418, "/api/healthz": 418,
	} {
		assert.Equal(t, want, probe(t, app, target, "10.0.0.1"), target)
	}
}

// Only the path opens anything: what a client writes besides does not
// (CVE-2026-34457 was such a User-Agent).
func TestUserAgentNeverAuthorises(t *testing.T) {
	var h Health
	for _, agent := range []string{"ELB-HealthChecker/2.0", "kube-probe/1.30", "GoogleHC/1.0", ""} {
		r := httptest.NewRequest(http.MethodGet, "/admin", nil)
		r.Header.Set("User-Agent", agent)
		w := httptest.NewRecorder()
		h.Wrap(teapot).ServeHTTP(w, r)
		assert.Equal(t, http.StatusTeapot, w.Code, agent)
	}
}

func TestWrapHandsTheRequestOnUnchanged(t *testing.T) {
	var h Health
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	w := httptest.NewRecorder()
	h.Wrap(http.HandlerFunc(func(w2 http.ResponseWriter, r2 *http.Request) {
		assert.Same(t, r, r2)
		assert.Same(t, w, w2)
	})).ServeHTTP(w, r)
}

func TestWrapOfNil(t *testing.T) {
	var h *Health
	assert.Panics(t, func() { h.Wrap(teapot) })
}

// TestCheckers sends what the checkers of the world send, byte by byte.
func TestCheckers(t *testing.T) {
	var h Health
	addr := serveOn(t, h.Wrap(nobody(t)))
	for name, request := range map[string]string{
		"ALB":                   "GET /healthz HTTP/1.1\r\nHost: 10.0.0.10:8080\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n",
		"CLB":                   "GET /healthz HTTP/1.1\r\nHost: 10.0.0.10\r\nUser-Agent: ELB-HealthChecker/1.0\r\nConnection: close\r\n\r\n",
		"Google":                "GET /healthz HTTP/1.1\r\nHost: 10.0.0.10\r\nUser-Agent: GoogleHC/1.0\r\nConnection: close\r\n\r\n",
		"kubelet":               "GET /readyz HTTP/1.1\r\nHost: 10.1.2.3:8080\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		"HTTP/1.0 with no Host": "GET /healthz HTTP/1.0\r\n\r\n",
		"HAProxy HEAD":          "HEAD /healthz HTTP/1.0\r\n\r\n",
		"HAProxy OPTIONS":       "OPTIONS /healthz HTTP/1.0\r\n\r\n",
		"a Host that is ours":   "GET /healthz HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n",
		"a Host of nobody":      "GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
		"absolute-form":         "GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer c.Close()
			_, err = io.WriteString(c, request)
			require.NoError(t, err)
			method, _, _ := strings.Cut(request, " ")
			res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Contains(t, []int{200, 204}, res.StatusCode)
			assert.Empty(t, res.Header.Get("Location"))
		})
	}
}

// A client that hangs up changes nothing for others: the check has a context of
// its own, and runs when it is its time.
func TestProbeHangUpDoesNotPoison(t *testing.T) {
	var runs atomic.Int64
	h := mustNew(t, Config{Checks: []Check{{Name: "disk", Kind: Local, Every: time.Hour, Func: func(context.Context) error {
		runs.Add(1)
		return nil
	}}}})
	defer start(t, h)()
	require.Eventually(t, func() bool { return ask(t, h.Ready()) == 200 }, 10*time.Second, time.Millisecond)
	addr := serveOn(t, h.Wrap(nobody(t)))
	for i := range 300 {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		_, err = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: a\r\n"[:20+i%13])
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	assert.Equal(t, 200, ask(t, h.Ready()))
	assert.EqualValues(t, 1, runs.Load())
}

func TestProbeOverHTTP2(t *testing.T) {
	var h Health
	addr := serveOn(t, h.Wrap(nobody(t)))
	res, err := h2cClient(t).Get("http://" + addr + "/healthz")
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, "HTTP/2.0 200", fmt.Sprintf("%s %d", res.Proto, res.StatusCode))
	assert.EqualValues(t, 3, res.ContentLength)
}

// Probes over TLS come by address, without a server name and without trust.
func TestProbeOverTLSWithoutServerName(t *testing.T) {
	var h Health
	srv := httptest.NewTLSServer(h.Wrap(nobody(t)))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	res, err := client.Get(srv.URL + "/healthz")
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, 200, res.StatusCode)
}

// serveOn serves a handler with HTTP/1 and h2c until the test ends.
func serveOn(t *testing.T, app http.Handler) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http.Server{Handler: app, Protocols: new(http.Protocols), ReadHeaderTimeout: 10 * time.Second}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		assert.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return ln.Addr().String()
}

func h2cClient(t *testing.T) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// FuzzTarget: no request target is answered but the four paths, however it is
// written, and nothing panics.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/healthz", "//healthz", "/healthz/", "/HEALTHZ", "/%68ealthz", "/healthz?x", "http://a/healthz", "*", "/grpc.health.v1.Health/Check"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		var h Health
		w := httptest.NewRecorder()
		h.Wrap(teapot).ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: u, RequestURI: target, ProtoMajor: 1, Header: http.Header{}, RemoteAddr: "10.0.0.1:1"})
		path := target
		if u.Scheme != "" { // the absolute form, with an authority or, "a:/healthz", without
			_, path, _ = strings.Cut(target, ":")
			if authority, ok := strings.CutPrefix(path, "//"); ok {
				path = authority[max(strings.IndexAny(authority, "/?"), 0):]
			}
		}
		path, _, _ = strings.Cut(path, "?")
		ours := path == "/healthz" || path == "/readyz" || path == "/livez" || path == "/startupz"
		assert.Equal(t, ours, w.Code == 200, "%q", target)
	})
}
