//go:build linux

package peers

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// apacheProxyModules are what a reverse proxy with TLS and HTTP/2 loads.
var apacheProxyModules = []string{"mpm_event", "authz_core", "proxy", "proxy_http", "ssl", "http2", "headers"}

// apacheConf is what differs between the Apaches of these tests.
type apacheConf struct {
	upstream string
	source   string   // where it connects from; "": as the system likes
	lines    []string // for the whole server
}

// startApache returns a plain door and one with TLS and HTTP/2.
func startApache(t *testing.T, c apacheConf) (plain, secure door) {
	t.Helper()
	addrs := startPeer(t, peerSpec{binary: "apache2", listen: 2, args: func(dir string, addrs []string) []string {
		return []string{"-X", "-f", writeFile(t, dir, "httpd.conf", c.text(t, dir, addrs))}
	}})
	return door{addr: addrs[0]}, door{addr: addrs[1], tls: true}
}

func (c apacheConf) text(t *testing.T, dir string, addrs []string) string {
	lines := strings.Join(c.lines, "\n")
	if c.source != "" {
		lines += "\nProxySourceAddress " + c.source
	}
	cert := certificate(t)
	return fmt.Sprintf(`
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/httpd.pid
ErrorLog %[1]s/error.log
Mutex fcntl:%[1]s
ServerName proxy.example
User www-data
Group www-data
%[2]s
Listen %[3]s
Listen %[4]s
Protocols h2 http/1.1
ProxyPass / http://%[7]s/
%[8]s
<VirtualHost %[4]s>
	SSLEngine on
	SSLCertificateFile %[5]s
	SSLCertificateKeyFile %[6]s
	ProxyPass / http://%[7]s/
</VirtualHost>
`, dir, loadModules(), addrs[0], addrs[1],
		writeFile(t, dir, "cert.pem", string(cert.cert)), writeFile(t, dir, "key.pem", string(cert.key)), c.upstream, lines)
}

func loadModules() string {
	var text strings.Builder
	for _, name := range apacheProxyModules {
		fmt.Fprintf(&text, "LoadModule %s_module %s\n", name, filepath.Join(modulesDir(), "mod_"+name+".so"))
	}
	return text.String()
}

func TestApache(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, secure := startApache(t, apacheConf{upstream: a.addr})
	a.use(t, forwarded.Apache("127.0.0.1/32"))
	b := battery{app: a, know: known{client: true, host: true}} // it passes whatever X-Forwarded-Proto comes
	doors(t, b, plain, secure)
}

// With the scheme set and the client's Host kept, nothing is left to guess. But Apache removes whatever Connection
// nominates after it has set its own headers: a client can take its scheme away, never change it.
func TestApacheSettingProto(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, secure := startApache(t, apacheConf{upstream: a.addr, lines: []string{
		"ProxyPreserveHost On",
		`RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}`,
	}})
	hop := forwarded.Apache("127.0.0.1/32")
	hop.ReplacesHost, hop.Proto = false, forwarded.Sets("X-Forwarded-Proto")
	for _, hop := range []forwarded.Hop{hop, forwarded.Trusted("127.0.0.1")} {
		t.Run(hop.Name, func(t *testing.T) {
			a.use(t, hop)
			b := battery{app: a, know: everything, nominated: &known{client: true, host: true}}
			doors(t, b, plain, secure)
		})
	}
}

// What Apache sends on: the client's own X-Forwarded-Proto, and a list of hosts that begins with the client's.
func TestApacheSendsOn(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	plain, _ := startApache(t, apacheConf{upstream: a.addr})
	sendsOn(t, a, plain, map[string][]string{
		"X-Forwarded-For":    {"6.6.6.6, 127.0.0.9"},
		"X-Forwarded-Proto":  {"https"},
		"X-Forwarded-Host":   {"evil.example, " + frontHost},
		"X-Forwarded-Server": {"proxy.example"},
		"X-Forwarded-Port":   {"6666"},
		"X-Real-Ip":          {"6.6.6.6"},
		"Forwarded":          {"for=6.6.6.6;proto=https;host=evil.example"},
	})
}
