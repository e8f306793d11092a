//go:build linux

package peers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// startHAProxyTCP runs HAProxy with one frontend, that passes bytes, for each server line.
func startHAProxyTCP(t *testing.T, ssl bool, servers ...string) []door {
	t.Helper()
	addrs := startPeer(t, peerSpec{binary: "haproxy", listen: len(servers), args: func(dir string, addrs []string) []string {
		var text strings.Builder
		text.WriteString(`
global
	maxconn 128
defaults
	mode tcp
	timeout connect 5s
	timeout client 10s
	timeout server 10s
	timeout check 5s
`)
		bind := ""
		if ssl {
			c := certificate(t)
			bind = "ssl alpn h2,http/1.1 crt " + writeFile(t, dir, "both.pem", string(c.cert)+string(c.key)) +
				" verify optional ca-file " + writeFile(t, dir, "ca.pem", string(c.cert))
		}
		for i, server := range servers {
			fmt.Fprintf(&text, `
listen front%d
	bind %s %s
	option httpchk GET /health
	server app %s
`, i, addrs[i], bind, server)
		}
		return []string{"-db", "-f", writeFile(t, dir, "haproxy.cfg", text.String())}
	}})
	doors := make([]door, len(addrs))
	for i, addr := range addrs {
		doors[i] = door{addr: addr, tls: ssl}
	}
	return doors
}

func TestHAProxySendsPROXY(t *testing.T) {
	b := startBackend(t, "tcp", false, forwarded.NLBTCP("127.0.0.1"))
	u := startBackend(t, "unix", false, forwarded.NLBTCP("unix"))
	doors := startHAProxyTCP(t, false,
		b.addr+" send-proxy",
		b.addr+" send-proxy-v2",
		b.addr+" send-proxy-v2 proxy-v2-options crc32c",
		"unix@"+u.addr+" send-proxy",
		"unix@"+u.addr+" send-proxy-v2",
	)
	for i, version := range []int{1, 2, 2, 1, 2} {
		to := b
		if i >= 3 {
			to = u
		}
		source := doors[i].visit(t, clientAddr, "http/1.1")
		g := to.take(t, "/visit")
		requireVisit(t, g, source, doors[i], version)
		require.Equal(t, forwarded.HTTP, g.Info.Scheme)
		require.Equal(t, to == b, g.Header.Peer.IsValid(), "a unix socket's peer has no address")
	}
}

// HAProxy ends TLS and tells what was agreed on.
func TestHAProxySendsTLVs(t *testing.T) {
	b := startBackend(t, "tcp", false, forwarded.NLBTLS("127.0.0.1"))
	d := startHAProxyTCP(t, true, b.addr+" send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c")[0]
	source := d.visit(t, clientAddr, "http/1.1")
	g := b.take(t, "/visit")
	requireVisit(t, g, source, d, 2)
	require.Equal(t, frontHost, g.Header.Authority())
	require.Equal(t, forwarded.SchemeUnknown, g.Info.Scheme, "the port is neither 80 nor 443")
	ssl, ok := g.Header.SSL()
	require.True(t, ok)
	require.True(t, ssl.Used)
	require.False(t, ssl.Certificate)
	require.False(t, ssl.Verified)
	require.Equal(t, "TLSv1.3", ssl.Version)
	require.NotEmpty(t, ssl.Cipher)
	require.NotEmpty(t, ssl.KeyAlg)
	require.Empty(t, ssl.CommonName)
}

// HAProxy verifies a client's certificate and says whose it is.
func TestHAProxySendsClientCertificate(t *testing.T) {
	b := startBackend(t, "tcp", false, forwarded.NLBTLS("127.0.0.1"))
	d := startHAProxyTCP(t, true, b.addr+" send-proxy-v2-ssl-cn")[0]
	c := certificate(t)
	both := writeFile(t, t.TempDir(), "client.pem", string(c.cert)+string(c.key))
	curl(t, nil, "--http1.1", "--cert", both, d.url("/visit"))
	ssl, ok := b.take(t, "/visit").Header.SSL()
	require.True(t, ok)
	require.True(t, ssl.Certificate)
	require.True(t, ssl.Verified)
	require.Equal(t, frontHost, ssl.CommonName)
}

// HAProxy passes TLS through, and HTTP/2 in it.
func TestHAProxyPassesTLS(t *testing.T) {
	b := startBackend(t, "tcp", true, forwarded.NLBTCP("127.0.0.1"))
	d := startHAProxyTCP(t, false, b.addr+" send-proxy-v2")[0]
	d.tls = true
	for protocol, want := range map[string]string{"http/1.1": "HTTP/1.1", "h2": "HTTP/2.0"} {
		source := d.visit(t, clientAddr, protocol)
		g := b.take(t, "/visit")
		requireVisit(t, g, source, d, 2)
		require.Equal(t, want, g.Proto)
		require.Equal(t, forwarded.HTTPS, g.Info.Scheme)
	}
}

// HAProxy's health checks speak for HAProxy itself. Version 1 has no word for that: there HAProxy is its own client.
func TestHAProxyHealthChecks(t *testing.T) {
	for version, option := range map[int]string{1: "send-proxy", 2: "send-proxy-v2"} {
		b := startBackend(t, "tcp", false, forwarded.NLBTCP("127.0.0.1"))
		startHAProxyTCP(t, false, b.addr+" check inter 50ms check-send-proxy "+option)
		g := b.take(t, "/health")
		require.True(t, g.OK)
		require.Equal(t, version, g.Header.Version)
		require.Equal(t, g.Header.Peer.String(), g.Remote)
		if version == 1 {
			require.Equal(t, g.Header.Peer, g.Header.Source)
			continue
		}
		require.True(t, g.Header.Local)
		require.False(t, g.Info.Client.IsValid())
		require.Equal(t, forwarded.StatusLocal, g.Info.Status)
	}
}
