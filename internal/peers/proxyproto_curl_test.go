//go:build linux

package peers

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// curl sends a header of version 1 in its own name.
func TestCurlSendsPROXY(t *testing.T) {
	plain := startBackend(t, "tcp", false, forwarded.NLBTCP("127.0.0.1"))
	secure := startBackend(t, "tcp", true, forwarded.NLBTCP("127.0.0.1"))
	for _, c := range []struct {
		name, url, protocol string
		args                []string
		to                  *backend
		scheme              forwarded.Scheme
	}{
		{"plain", "http://" + plain.addr, "HTTP/1.1", nil, plain, forwarded.HTTP},
		{"TLS", "https://" + secure.addr, "HTTP/1.1", []string{"--http1.1"}, secure, forwarded.HTTPS},
		{"HTTP/2", "https://" + secure.addr, "HTTP/2.0", []string{"--http2"}, secure, forwarded.HTTPS},
	} {
		t.Run(c.name, func(t *testing.T) {
			curl(t, nil, append(c.args, "--haproxy-protocol", c.url+"/visit")...)
			g := c.to.take(t, "/visit")
			require.True(t, g.OK)
			require.Equal(t, 1, g.Header.Version)
			require.Equal(t, c.protocol, g.Proto)
			require.Equal(t, g.Header.Peer, g.Header.Source, "curl is its own client")
			require.Equal(t, c.to.addr, g.Header.Destination.String())
			require.Equal(t, g.Header.Source.String(), g.Remote)
			require.Equal(t, c.scheme, g.Info.Scheme)
		})
	}
}

// Over a unix socket curl knows no addresses: whatever it says, none is taken for the client's.
func TestCurlSendsPROXYOverUnix(t *testing.T) {
	b := startBackend(t, "unix", false, forwarded.NLBTCP("unix"))
	curl(t, nil, "--haproxy-protocol", "--unix-socket", b.addr, "http://"+frontHost+"/visit")
	g := b.take(t, "/visit")
	require.True(t, g.OK)
	require.Equal(t, 1, g.Header.Version)
	require.False(t, g.Info.Client.IsValid())
	require.Equal(t, forwarded.StatusUnknown, g.Info.Status)
}
