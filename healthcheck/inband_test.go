package healthcheck

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// closedChannel is that of a drain that has begun.
func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// front serves a handler behind inBand on loopback.
func front(t *testing.T, draining <-chan struct{}, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(inBand(draining, draining, h))
	t.Cleanup(srv.Close)
	return srv
}

// handlers are those that have, or may have, an opinion about the connection.
func handlers(t *testing.T) map[string]http.Handler {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "keep-alive")
		io.WriteString(w, "upstream")
	}))
	t.Cleanup(upstream.Close)
	to, err := url.Parse(upstream.URL)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "file.bin")
	require.NoError(t, os.WriteFile(file, make([]byte, 100<<10), 0o600))
	return map[string]http.Handler{
		"nothing written": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		"status only":     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }),
		"event stream": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Connection", "keep-alive")
			io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			io.WriteString(w, "data: 2\n\n")
		}),
		"flush first": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "keep-alive")
			assert.NoError(t, http.NewResponseController(w).Flush())
		}),
		"early hints": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Connection", "keep-alive")
			w.WriteHeader(200)
		}),
		"string":          http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.(io.StringWriter).WriteString("text") }),
		"file":            http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }),
		"reverse proxy":   httputil.NewSingleHostReverseProxy(to),
		"timeout handler": http.TimeoutHandler(http.NotFoundHandler(), time.Minute, ""),
		"redirect":        http.RedirectHandler("/elsewhere", http.StatusFound),
		"compression": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, "text")
			z.Close()
		}),
	}
}

// TestInBandCloseSurvivesHandlers: while the drain goes on, every answer ends
// its connection, whatever the handler says; before, none does.
func TestInBandCloseSurvivesHandlers(t *testing.T) {
	for name, h := range handlers(t) {
		t.Run(name, func(t *testing.T) {
			for draining, want := range map[<-chan struct{}]bool{closedChannel(): true, make(chan struct{}): false} {
				srv := front(t, draining, h)
				client := srv.Client()
				client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				resp, err := client.Get(srv.URL)
				require.NoError(t, err)
				_, err = io.ReadAll(resp.Body)
				require.NoError(t, err)
				resp.Body.Close()
				assert.Equal(t, want, resp.Close, "Connection: close")
			}
		})
	}
}

// TestGoAway: over HTTP/2, with TLS and without, the answer is followed by a
// GOAWAY: the next request takes another connection, and none is lost.
func TestGoAway(t *testing.T) {
	for name, tlsOn := range map[string]bool{"tls": true, "h2c": false} {
		t.Run(name, func(t *testing.T) {
			draining := make(chan struct{})
			seen := make(map[string]int) // requests by connection
			srv := httptest.NewUnstartedServer(inBand(draining, draining, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, 2, r.ProtoMajor)
				assert.Implements(t, (*http.Pusher)(nil), w)
				fmt.Fprint(w, r.RemoteAddr)
			})))
			srv.Config.Protocols = protocols(tlsOn)
			if srv.EnableHTTP2 = tlsOn; tlsOn {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: protocols(tlsOn)}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			ask := func() {
				resp, err := client.Get(srv.URL)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				resp.Body.Close()
				assert.Empty(t, resp.Header.Get("Connection"), "no such header over HTTP/2")
				seen[string(body)]++
			}
			for range 4 {
				ask()
			}
			require.Len(t, seen, 1, "one connection for all")
			close(draining)
			for range 4 {
				ask()
				time.Sleep(20 * time.Millisecond) // for the GOAWAY to arrive
			}
			assert.Greater(t, len(seen), 2)
		})
	}
}

// protocols is HTTP/2 alone, over TLS or without.
func protocols(tlsOn bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP2(tlsOn)
	p.SetUnencryptedHTTP2(!tlsOn)
	return p
}

// TestUpgradeNotTouched: 101 ends HTTP on the connection, and its Connection
// header names the protocol. A handler that took the connection over writes
// what it likes.
func TestUpgradeNotTouched(t *testing.T) {
	srv := front(t, closedChannel(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/written" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if assert.NoError(t, err) {
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			conn.Close()
		}
	}))
	for _, path := range []string{"/written", "/taken"} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		require.NoError(t, err)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		assert.Equal(t, 101, resp.StatusCode)
		assert.Equal(t, "Upgrade", resp.Header.Get("Connection"), path)
		conn.Close()
	}
}

// TestResponseControllerThroughTheWrapper: what a handler could do before the
// drain, it can do during it.
func TestResponseControllerThroughTheWrapper(t *testing.T) {
	abilities := make(map[bool][]bool)
	for draining, c := range map[bool]<-chan struct{}{true: closedChannel(), false: make(chan struct{})} {
		srv := front(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, reads := w.(io.ReaderFrom)
			_, hijacks := w.(http.Hijacker)
			_, flushes := w.(http.Flusher)
			_, notifies := w.(interface{ CloseNotify() <-chan bool })
			abilities[draining] = []bool{reads, hijacks, flushes, notifies}
			control := http.NewResponseController(w)
			soon := time.Now().Add(time.Minute)
			assert.NoError(t, control.SetReadDeadline(soon))
			assert.NoError(t, control.SetWriteDeadline(soon))
			assert.NoError(t, control.EnableFullDuplex())
			n, err := io.Copy(w, strings.NewReader("copied"))
			assert.Equal(t, int64(6), n)
			assert.NoError(t, err)
		}))
		resp, err := srv.Client().Get(srv.URL)
		require.NoError(t, err)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		assert.Equal(t, "copied", string(body))
	}
	assert.Equal(t, abilities[false], abilities[true])
}

// TestInBandOverOtherWriters: a writer that can do nothing but write gets what
// it can bear.
func TestInBandOverOtherWriters(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(context.Background(), "GET", "/", nil)
	inBand(closedChannel(), closedChannel(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		assert.NotImplements(t, (*http.Hijacker)(nil), w)
		w.(interface{ CloseNotify() <-chan bool }).CloseNotify()
	})).ServeHTTP(w, r)
	assert.Equal(t, "close", w.Result().Header.Get("Connection"))
}

// TestInBandCostsNothingBefore: no allocation until there is a drain.
func TestInBandCostsNothingBefore(t *testing.T) {
	h := inBand(make(chan struct{}), make(chan struct{}), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(context.Background(), "GET", "/", nil)
	assert.Zero(t, testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }))
}
