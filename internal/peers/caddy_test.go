//go:build linux

package peers

import (
	"fmt"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// startCaddy returns a plain door and one with TLS and HTTP/2.
func startCaddy(t *testing.T, upstream string) (plain, secure door) {
	t.Helper()
	addrs := startPeer(t, peerSpec{binary: "caddy", listen: 2, args: func(dir string, addrs []string) []string {
		conf := writeFile(t, dir, "Caddyfile", caddyText(t, dir, addrs, upstream))
		return []string{"run", "--adapter", "caddyfile", "--config", conf}
	}})
	return door{addr: addrs[0]}, door{addr: addrs[1], tls: true}
}

func caddyText(t *testing.T, dir string, addrs []string, upstream string) string {
	c := certificate(t)
	return fmt.Sprintf(`
{
	admin off
	auto_https off
	servers {
		protocols h1 h2
	}
}
http://:%d {
	bind 127.0.0.1
	reverse_proxy %[5]s
}
https://:%[2]d {
	bind 127.0.0.1
	tls %[3]s %[4]s
	reverse_proxy %[5]s
}
`, door{addr: addrs[0]}.port(), door{addr: addrs[1]}.port(),
		writeFile(t, dir, "cert.pem", string(c.cert)), writeFile(t, dir, "key.pem", string(c.key)), upstream)
}

func TestCaddy(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, secure := startCaddy(t, a.addr)
	for _, hop := range []forwarded.Hop{forwarded.Caddy("127.0.0.1/32"), forwarded.Trusted("127.0.0.1")} {
		t.Run(hop.Name, func(t *testing.T) {
			a.use(t, hop)
			doors(t, battery{app: a, know: everything}, plain, secure)
		})
	}
}

// What Caddy sends on: its own three headers, and every other one as it came.
func TestCaddySendsOn(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, _ := startCaddy(t, a.addr)
	sendsOn(t, a, plain, map[string][]string{
		"X-Forwarded-For":   {"127.0.0.9"},
		"X-Forwarded-Proto": {"http"},
		"X-Forwarded-Host":  {frontHost},
		"X-Forwarded-Port":  {"6666"},
		"X-Real-Ip":         {"6.6.6.6"},
		"Forwarded":         {"for=6.6.6.6;proto=https;host=evil.example"},
	})
}
