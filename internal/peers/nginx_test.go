//go:build linux

package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// nginxUsual are the lines that most nginx configurations have; nginxNoProto leaves out the one that hides what an
// outer proxy wrote.
var (
	nginxNoProto = []string{
		"proxy_set_header Host $host;",
		"proxy_set_header X-Real-IP $remote_addr;",
		"proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
	}
	nginxUsual = append([]string{"proxy_set_header X-Forwarded-Proto $scheme;"}, nginxNoProto...)
)

// nginxConf is what differs between the nginxes of these tests.
type nginxConf struct {
	upstream string   // as proxy_pass wants it, without http://
	lines    []string // in the location
	source   string   // where it connects from; "": as the system likes
	lax      bool     // lets through header names that nginx drops as invalid
	v6       bool     // one more door, on [::1] and the port of the first
}

// startNginx returns a plain door and one with TLS and HTTP/2.
func startNginx(t *testing.T, n nginxConf) (plain, secure door) {
	t.Helper()
	addrs := startPeer(t, peerSpec{binary: "nginx", listen: 2, args: func(dir string, addrs []string) []string {
		conf := writeFile(t, dir, "nginx.conf", n.text(t, dir, addrs))
		return []string{"-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", conf}
	}})
	return door{addr: addrs[0]}, door{addr: addrs[1], tls: true}
}

func (n nginxConf) text(t *testing.T, dir string, addrs []string) string {
	c := certificate(t)
	lines := strings.Join(n.lines, "\n")
	if n.source != "" {
		lines += "\nproxy_bind " + n.source + ";"
	}
	listen := "listen " + addrs[0] + ";"
	if n.v6 {
		listen += "\nlisten [::1]:" + addrs[0][strings.LastIndexByte(addrs[0], ':')+1:] + ";"
	}
	if n.lax {
		listen += "\nunderscores_in_headers on;\nignore_invalid_headers off;"
	}
	return fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/nginx.pid;
events { worker_connections 128; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		%[2]s
		listen %[3]s ssl http2;
		ssl_certificate %[4]s;
		ssl_certificate_key %[5]s;
		location / {
			%[6]s
			proxy_pass http://%[7]s;
		}
	}
}
`, dir, listen, addrs[1], writeFile(t, dir, "cert.pem", string(c.cert)), writeFile(t, dir, "key.pem", string(c.key)),
		lines, n.upstream)
}

// doors runs the same battery through each way in: plain, TLS with HTTP/1.1 and TLS with HTTP/2.
func doors(t *testing.T, b battery, plain, secure door) {
	t.Helper()
	t.Run("http", func(t *testing.T) { b.door = plain; b.run(t) })
	t.Run("https", func(t *testing.T) { b.door = secure; b.run(t) })
	t.Run("h2", func(t *testing.T) { b.door, b.http2 = secure, true; b.run(t) })
}

func TestNginx(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, secure := startNginx(t, nginxConf{upstream: a.addr, lines: nginxUsual})
	for _, hop := range []forwarded.Hop{forwarded.Nginx("127.0.0.1/32"), forwarded.Trusted("127.0.0.1")} {
		t.Run(hop.Name, func(t *testing.T) {
			a.use(t, hop)
			doors(t, battery{app: a, know: everything}, plain, secure)
		})
	}
}

// Without its two safeguards against odd names nginx passes aliases on, as every other proxy does.
func TestNginxLax(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, secure := startNginx(t, nginxConf{upstream: a.addr, lines: nginxUsual, lax: true})
	a.use(t, forwarded.Nginx("127.0.0.1/32"))
	doors(t, battery{app: a, know: everything}, plain, secure)
}

// A bare proxy_pass says nothing about who connected, and Host is the upstream's name.
func TestNginxPassing(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, secure := startNginx(t, nginxConf{upstream: a.addr})
	a.use(t, forwarded.NginxPassing("127.0.0.1/32"))
	doors(t, battery{app: a}, plain, secure)

	require.Equal(t, 200, plain.send(t, clientAddr, attack{lines: family}))
	got, ok := a.take(t)
	require.True(t, ok)
	require.Equal(t, []string{"6.6.6.6"}, got.Raw["X-Forwarded-For"], "nginx must have passed the forgery on")
	require.Equal(t, forwarded.ReasonHostReplaced, got.Info.HostReason)
	require.Equal(t, 1, got.Info.Hops)
}

func TestNginxToUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "peers") // t.TempDir is too long for a socket's name
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	a := startApp(t, "unix:"+filepath.Join(dir, "app.sock"))
	plain, secure := startNginx(t, nginxConf{upstream: a.addr, lines: nginxUsual})
	a.use(t, forwarded.Nginx("unix"))
	doors(t, battery{app: a, know: everything}, plain, secure)

	require.Equal(t, 200, plain.send(t, clientAddr, attack{}))
	got, ok := a.take(t)
	require.True(t, ok)
	require.False(t, got.Info.Peer.IsValid(), "a unix socket has no address")
}

func TestNginxOverIPv6(t *testing.T) {
	requireIPv6(t)
	a := startApp(t, "[::1]:0")
	plain, secure := startNginx(t, nginxConf{upstream: a.addr, lines: nginxUsual, v6: true})
	a.use(t, forwarded.Nginx("::1/128"))
	doors(t, battery{app: a, know: everything}, plain, secure)

	t.Run("client", func(t *testing.T) { // its address is one of a consumed hop's: an internal caller, still given
		v6 := door{addr: strings.Replace(plain.addr, "127.0.0.1", "[::1]", 1)}
		battery{app: a, door: v6, want: truth{client: loopback6}, know: everything}.run(t)
	})
}

// What nginx sends on. If this changes, the comments of the presets and what they promise must be looked at again.
func TestNginxSendsOn(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, _ := startNginx(t, nginxConf{upstream: a.addr, lines: nginxUsual})
	sendsOn(t, a, plain, map[string][]string{
		"X-Forwarded-For":    {"6.6.6.6, 127.0.0.9"},
		"X-Forwarded-Proto":  {"http"},
		"X-Forwarded-Host":   {"evil.example"},
		"X-Forwarded-Port":   {"6666"},
		"X-Forwarded-Prefix": {"/evil"},
		"X-Real-Ip":          {"127.0.0.9"},
		"Forwarded":          {"for=6.6.6.6;proto=https;host=evil.example"},
	})
}
