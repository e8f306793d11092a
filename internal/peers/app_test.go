//go:build linux

package peers

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// An app is a server behind the proxies: it reports what each request looked like to a handler inside Policy.Wrap.
// Which Policy that is can be changed from one request to the next, so that one running proxy serves many.
type app struct {
	addr   string // as a proxy's configuration names it
	policy atomic.Pointer[forwarded.Policy]
	seen   chan seen
}

// seen is one request as the handler inside Wrap found it, and as it arrived.
type seen struct {
	Info      forwarded.Info
	Explained forwarded.Info // what Explain says about the same request
	URL       *url.URL
	Cert      bool // a client certificate was believed
	Header    http.Header
	Trailer   http.Header // after the body was read
	Raw       http.Header // before Wrap
	RawHost   string
}

// startApp serves until the end of the test at an address like "127.0.0.1:0", "[::1]:0" or "unix:/path".
func startApp(t *testing.T, addr string) *app {
	t.Helper()
	network, address := "tcp", addr
	if path, ok := cutUnix(addr); ok {
		network, address = "unix", path
	}
	ln, err := net.Listen(network, address)
	require.NoError(t, err)
	a := &app{addr: addr, seen: make(chan seen, 16)}
	if network == "tcp" {
		a.addr = ln.Addr().String()
	}
	a.use(t) // believes nobody
	serve(t, ln, http.HandlerFunc(a.receive))
	return a
}

func cutUnix(addr string) (path string, ok bool) {
	const prefix = "unix:"
	if len(addr) > len(prefix) && addr[:len(prefix)] == prefix {
		return addr[len(prefix):], true
	}
	return "", false
}

// serve runs h on ln until the end of the test and waits for the server's goroutine.
func serve(t *testing.T, ln net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil { // a proxy keeps an idle connection that it never used
			_ = srv.Close()
		}
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
}

// use makes the hops, nearest first, those that the next requests are judged by.
func (a *app) use(t *testing.T, hops ...forwarded.Hop) *forwarded.Policy {
	t.Helper()
	return a.configure(t, forwarded.Config{Hops: hops, Logger: slog.New(slog.DiscardHandler)})
}

// configure is use for a whole Config.
func (a *app) configure(t *testing.T, cfg forwarded.Config) *forwarded.Policy {
	t.Helper()
	p, err := forwarded.New(cfg)
	require.NoError(t, err)
	a.policy.Store(p)
	return p
}

func (a *app) receive(w http.ResponseWriter, r *http.Request) {
	p := a.policy.Load()
	raw, rawHost := r.Header.Clone(), r.Host
	p.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // trailers come at its end; a broken body has none
		info := forwarded.From(r)
		_, cert := forwarded.ClientCert(r)
		a.seen <- seen{
			Info: info, Explained: p.Explain(r).Info, URL: info.URL(r), Cert: cert,
			Header: r.Header.Clone(), Trailer: r.Trailer.Clone(), Raw: raw, RawHost: rawHost,
		}
	})).ServeHTTP(w, r)
}

// take returns the one request that arrived since the last call, if one did. The answer to it was read before.
func (a *app) take(t *testing.T) (seen, bool) {
	t.Helper()
	require.LessOrEqual(t, len(a.seen), 1, "a request arrived twice")
	select {
	case s := <-a.seen:
		return s, true
	default:
		return seen{}, false
	}
}

// serveTLS is serve behind a certificate for the test's host.
func serveTLS(t *testing.T, ln net.Listener, h http.Handler) {
	serve(t, tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{certificate(t).pair}}), h)
}
