//go:build linux

package peers

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// clientAddr is where clients connect from: not an address of any proxy, which all connect from 127.0.0.1 or 127.0.0.2.
var clientAddr = netip.MustParseAddr("127.0.0.9")

const exchangeTime = 10 * time.Second // for one request and its answer

// A door is one way into a proxy: an address, and whether TLS ends there.
type door struct {
	addr string
	tls  bool
}

func (d door) scheme() forwarded.Scheme {
	if d.tls {
		return forwarded.HTTPS
	}
	return forwarded.HTTP
}

func (d door) port() uint16 { return netip.MustParseAddrPort(d.addr).Port() }

// send writes an attack from an address, reads the answer to its end and returns its status. A proxy that refuses by
// closing the connection counts as a 400.
func (d door) send(t *testing.T, from netip.Addr, a attack) int {
	t.Helper()
	conn, err := d.dial(t.Context(), from, "http/1.1")
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(exchangeTime)))
	_, err = io.WriteString(conn, a.request())
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		return http.StatusBadRequest
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // some proxies cut an error page short
	return resp.StatusCode
}

// sendHTTP2 is send over HTTP/2.
func (d door) sendHTTP2(t *testing.T, from netip.Addr, a attack) int {
	t.Helper()
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.dial(ctx, from, "h2")
		},
	}
	defer transport.CloseIdleConnections()
	req, err := a.http2("https://" + frontHost)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), exchangeTime)
	defer cancel()
	resp, err := transport.RoundTrip(req.WithContext(ctx))
	if err != nil { // nginx has no other way to refuse a trailer
		require.ErrorContains(t, err, "PROTOCOL_ERROR")
		return http.StatusBadRequest
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.Equal(t, 2, resp.ProtoMajor)
	return resp.StatusCode
}

// dial connects from an address of the loopback network.
func (d door) dial(ctx context.Context, from netip.Addr, protocol string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: exchangeTime, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := dialer.DialContext(ctx, "tcp", d.addr)
	if err != nil || !d.tls {
		return conn, err
	}
	secured := tls.Client(conn, &tls.Config{
		ServerName: frontHost, RootCAs: sharedCert.pool, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12,
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

var loopback6 = netip.MustParseAddr("::1")

// requireIPv6 skips a test on a machine without it.
func requireIPv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	require.NoError(t, ln.Close())
}

// sendsOn asserts what a proxy makes of the whole forged family: the facts that its preset encodes.
func sendsOn(t *testing.T, a *app, d door, want map[string][]string) {
	t.Helper()
	require.Equal(t, 200, d.send(t, clientAddr, attack{lines: family}))
	got, ok := a.take(t)
	require.True(t, ok)
	for name, values := range want {
		require.Equal(t, values, got.Raw[name], name)
	}
}
