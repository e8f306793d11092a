//go:build linux

package peers

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// A greeted is one request on a connection that began with a PROXY header.
type greeted struct {
	Remote, Proto, Path string
	Header              proxyproto.Header
	OK                  bool // there was a header
	Info                forwarded.Info
}

// A backend is a server behind peers that send PROXY headers.
type backend struct {
	addr string // as Go dials it
	seen chan greeted
}

// startBackend listens on a TCP address, or on a unix socket if network says so, and ends TLS if secure.
func startBackend(t *testing.T, network string, secure bool, hop forwarded.Hop) *backend {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	require.NoError(t, err)
	l, err := proxyproto.Listen(ln, proxyproto.Config{From: hop.From, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // the server has closed it already
	policy, err := forwarded.New(forwarded.Config{Hops: []forwarded.Hop{hop}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	b := &backend{addr: l.Addr().String(), seen: make(chan greeted, 64)}
	h := policy.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header, ok := proxyproto.FromContext(r.Context())
		select {
		case b.seen <- greeted{r.RemoteAddr, r.Proto, r.URL.Path, header, ok, forwarded.From(r)}:
		default: // health checks go on when nobody looks any more
		}
	}))
	if secure {
		serve(t, tls.NewListener(l, &tls.Config{
			Certificates: []tls.Certificate{certificate(t).pair}, NextProtos: []string{"h2", "http/1.1"},
		}), h)
	} else {
		serve(t, l, h)
	}
	return b
}

// take returns the next request to a path.
func (b *backend) take(t *testing.T, path string) greeted {
	t.Helper()
	deadline := time.After(exchangeTime)
	for {
		select {
		case g := <-b.seen:
			if g.Path == path {
				return g
			}
		case <-deadline:
			require.FailNow(t, "nothing arrived", path)
		}
	}
}

// visit sends one request through a door, from an address, and returns the address that it came from.
func (d door) visit(t *testing.T, from netip.Addr, protocol string) netip.AddrPort {
	t.Helper()
	var source netip.AddrPort
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := d.dial(ctx, from, protocol)
		if err == nil {
			source = conn.LocalAddr().(*net.TCPAddr).AddrPort()
		}
		return conn, err
	}
	transport := &http.Transport{DialContext: dial, DialTLSContext: dial, ForceAttemptHTTP2: protocol == "h2"}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.scheme().String()+"://"+frontHost+"/visit", nil)
	require.NoError(t, err)
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return source
}

// requireVisit asserts that the header told the truth about a visit through a door.
func requireVisit(t *testing.T, g greeted, source netip.AddrPort, d door, version int) {
	t.Helper()
	require.True(t, g.OK)
	require.Equal(t, version, g.Header.Version)
	require.Equal(t, "tcp", g.Header.Network)
	require.Equal(t, source, g.Header.Source)
	require.Equal(t, d.addr, g.Header.Destination.String())
	require.False(t, g.Header.Local)
	require.Equal(t, source.String(), g.Remote)
	require.Equal(t, source.Addr(), g.Info.Client)
	require.Equal(t, source.Port(), g.Info.ClientPort)
	require.Equal(t, d.port(), g.Info.Port)
	require.Equal(t, forwarded.StatusForwarded, g.Info.Status)
}
