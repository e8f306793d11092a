//go:build linux

package peers

import (
	"fmt"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// startHAProxy returns a plain door and one with TLS and HTTP/2. It connects from source; "": as the system likes.
func startHAProxy(t *testing.T, upstream, source string) (plain, secure door) {
	t.Helper()
	addrs := startPeer(t, peerSpec{binary: "haproxy", listen: 2, args: func(dir string, addrs []string) []string {
		return []string{"-db", "-f", writeFile(t, dir, "haproxy.cfg", haproxyText(t, dir, addrs, upstream, source))}
	}})
	return door{addr: addrs[0]}, door{addr: addrs[1], tls: true}
}

func haproxyText(t *testing.T, dir string, addrs []string, upstream, source string) string {
	c := certificate(t)
	if source != "" {
		source = "source " + source
	}
	return fmt.Sprintf(`
global
	maxconn 128
defaults
	mode http
	timeout connect 5s
	timeout client 10s
	timeout server 10s
	option forwardfor
frontend front
	bind %s
	bind %s ssl crt %s alpn h2,http/1.1
	http-request set-header X-Forwarded-Proto https if { ssl_fc }
	http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
	default_backend app
backend app
	server app %s %s
`, addrs[0], addrs[1], writeFile(t, dir, "both.pem", string(c.cert)+string(c.key)), upstream, source)
}

func TestHAProxy(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, secure := startHAProxy(t, a.addr, "")
	for _, hop := range []forwarded.Hop{forwarded.HAProxy("127.0.0.1/32"), forwarded.Trusted("127.0.0.1")} {
		t.Run(hop.Name, func(t *testing.T) {
			a.use(t, hop)
			doors(t, battery{app: a, know: everything}, plain, secure)
		})
	}
}

// What HAProxy sends on: its entry in a line of its own, the last one.
func TestHAProxySendsOn(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, _ := startHAProxy(t, a.addr, "")
	sendsOn(t, a, plain, map[string][]string{
		"X-Forwarded-For":   {"6.6.6.6", "127.0.0.9"},
		"X-Forwarded-Proto": {"http"},
		"X-Forwarded-Host":  {"evil.example"},
		"X-Forwarded-Port":  {"6666"},
		"X-Real-Ip":         {"6.6.6.6"},
		"Forwarded":         {"for=6.6.6.6;proto=https;host=evil.example"},
	})
}
