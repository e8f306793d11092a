//go:build linux

package peers

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
)

// An ourProxy is package proxy on a server of net/http, with a plain door and one with TLS and HTTP/2.
type ourProxy struct {
	proxy         *proxy.Proxy
	plain, secure door
	log           *syncBuffer // of the proxy
}

// startOurs runs package proxy until the end of the test, and asserts that nothing of it is left then.
func startOurs(t *testing.T, cfg proxy.Config) *ourProxy {
	t.Helper()
	return startOursAt(t, "127.0.0.1:0", cfg)
}

// startOursAt is startOurs with a given address for the plain door.
func startOursAt(t *testing.T, addr string, cfg proxy.Config) *ourProxy {
	t.Helper()
	o := &ourProxy{log: new(syncBuffer)}
	cfg.Logger = slog.New(slog.NewTextHandler(o.log, nil))
	p, err := proxy.New(cfg)
	require.NoError(t, err)
	o.proxy = p
	t.Cleanup(func() { o.stop(t) })
	o.plain = door{addr: listenFront(t, addr, p, false)}
	o.secure = door{addr: listenFront(t, "127.0.0.1:0", p, true), tls: true}
	return o
}

// listenFront serves h on an address until the end of the test and returns it with its port.
func listenFront(t *testing.T, addr string, h http.Handler, secure bool) string {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	serveFront(t, ln, h, secure)
	return ln.Addr().String()
}

// serveFront serves h with HTTP/1.1 and HTTP/2, the latter by prior knowledge where there is no TLS. Whatever the server itself complains of fails the test, but for
// what clients do to it.
func serveFront(t *testing.T, ln net.Listener, h http.Handler, secure bool) {
	var complaints syncBuffer
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:  slog.NewLogLogger(slog.NewTextHandler(&complaints, nil), slog.LevelError),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate(t).pair}},
		Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	go func() {
		if secure {
			done <- srv.ServeTLS(ln, "", "")
			return
		}
		done <- srv.Serve(ln)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil { // a client keeps an idle connection that it never used
			_ = srv.Close()
		}
		require.ErrorIs(t, <-done, http.ErrServerClosed)
		assert.Empty(t, complaints.containing("panic"), "a handler panicked")
		assert.Empty(t, complaints.containing("superfluous"), "an answer was begun twice")
	})
}

// stop ends the proxy after its servers.
func (o *ourProxy) stop(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	assert.NoError(t, o.proxy.Shutdown(ctx), "exchanges are left: %+v", o.proxy.Status())
	noneLeft(t)
	if t.Failed() {
		t.Logf("our proxy:\n%s", o.log.text())
	}
}

// noneLeft asserts that no goroutine of package proxy runs any more.
func noneLeft(t *testing.T) {
	t.Helper()
	var stacks string
	assert.Eventually(t, func() bool {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		return !strings.Contains(stacks, "knownhops/proxy.")
	}, stopTime, 10*time.Millisecond, "a goroutine is left")
	if t.Failed() && strings.Contains(stacks, "knownhops/proxy.") {
		t.Log(stacks)
	}
}

// reasons are the reasons of the failures that OnError hears of.
type reasons chan proxy.Reason

func newReasons() reasons { return make(reasons, 1024) }

func (r reasons) note(_ *http.Request, e *proxy.Error) {
	select {
	case r <- e.Reason():
	default:
	}
}

// await returns the next failure's reason.
func (r reasons) await(t *testing.T) proxy.Reason {
	t.Helper()
	select {
	case reason := <-r:
		return reason
	case <-time.After(exchangeTime):
		require.FailNow(t, "no failure was reported")
		return proxy.ReasonNone
	}
}

// ours is our proxy as a link of a chain, behind these hops.
func ours(hops ...forwarded.Hop) starter {
	return func(t *testing.T, upstream, source string) (door, door) {
		o := startOurs(t, proxy.Config{
			Upstreams: []string{"http://" + upstream},
			Policy:    policyOf(t, hops...),
			Transport: proxy.NewTransport(proxy.TransportConfig{Dial: dialFrom(source)}),
		})
		return o.plain, o.secure
	}
}

func policyOf(t *testing.T, hops ...forwarded.Hop) *forwarded.Policy {
	t.Helper()
	p, err := forwarded.New(forwarded.Config{Hops: hops, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return p
}

// dialFrom connects from an address of the loopback network; "": as the system likes.
func dialFrom(source string) func(context.Context, string, string) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext
}

// upstreamKinds are the ways in which our proxy speaks to an upstream of Go.
var upstreamKinds = []string{"http", "https", "h2c"}

// startUpstream serves h for our proxy until the end of the test, and returns the configuration that reaches it.
func startUpstream(t *testing.T, kind string, h http.Handler) proxy.Config {
	t.Helper()
	addr := listenFront(t, "127.0.0.1:0", h, kind == "https")
	cfg := proxy.Config{Upstreams: []string{kind + "://" + addr}}
	if kind == "https" {
		cfg.Transport = proxy.NewTransport(proxy.TransportConfig{
			TLS: &tls.Config{RootCAs: certificate(t).pool, ServerName: frontHost},
		})
	}
	return cfg
}

// client is net/http's client for a door. With http2 it speaks that, with or without TLS.
func (d door) client(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: certificate(t).pool, ServerName: frontHost},
		Protocols:       new(http.Protocols), DisableCompression: true, MaxIdleConnsPerHost: 100,
	}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetHTTP2(http2 && d.tls)
	transport.Protocols.SetUnencryptedHTTP2(http2 && !d.tls)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: exchangeTime}
}

func (d door) url(path string) string { return d.scheme().String() + "://" + d.addr + path }
