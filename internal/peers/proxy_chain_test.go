//go:build linux

package peers

import (
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
)

// The addresses from which the two proxies of a chain connect. Caddy cannot be told one.
const (
	nearNet = "127.0.0.1/32"
	farNet  = outerAddr + "/32"
)

// tellingPort is a hop that also sets X-Forwarded-Port.
func tellingPort(hop forwarded.Hop) forwarded.Hop {
	hop.Port = forwarded.Sets("X-Forwarded-Port")
	return hop
}

// trusting is Caddy with trusted_proxies: it believes the proxy in front, and adds to what that one wrote.
func trusting(hop forwarded.Hop) forwarded.Hop {
	hop.For, hop.Proto, hop.Host = forwarded.Appends("X-Forwarded-For"), forwarded.Passes(), forwarded.Passes()
	return hop
}

// nginxTelling are the usual lines and one that says which of the usual ports the client used, whatever the port is here.
var nginxTelling = append([]string{
	"set $told 80;", "if ($https) { set $told 443; }", "proxy_set_header X-Forwarded-Port $told;",
}, nginxUsual...)

// haproxyEdited and caddyEdited are the proxies with another configuration than usual.
func haproxyEdited(edit func(string) string) starter {
	return func(t *testing.T, upstream, source string) (door, door) {
		addrs := startPeer(t, peerSpec{binary: "haproxy", listen: 2, args: func(dir string, addrs []string) []string {
			text := edit(haproxyText(t, dir, addrs, upstream, source))
			return []string{"-db", "-f", writeFile(t, dir, "haproxy.cfg", text)}
		}})
		return door{addr: addrs[0]}, door{addr: addrs[1], tls: true}
	}
}

func caddyEdited(edit func(string) string) starter {
	return func(t *testing.T, upstream, _ string) (door, door) {
		addrs := startPeer(t, peerSpec{binary: "caddy", listen: 2, args: func(dir string, addrs []string) []string {
			text := edit(caddyText(t, dir, addrs, upstream))
			return []string{"run", "--adapter", "caddyfile", "--config", writeFile(t, dir, "Caddyfile", text)}
		}})
		return door{addr: addrs[0]}, door{addr: addrs[1], tls: true}
	}
}

func haproxyTellsPort(text string) string {
	return strings.Replace(text, "\tdefault_backend", `	http-request set-header X-Forwarded-Port 443 if { ssl_fc }
	http-request set-header X-Forwarded-Port 80 if !{ ssl_fc }
	default_backend`, 1)
}

func haproxyPassesProto(text string) string {
	return strings.NewReplacer("http-request set-header X-Forwarded-Proto", "# ").Replace(text)
}

func caddyTellsPort(text string) string {
	return caddyBlocks(text, "header_up X-Forwarded-Port 80", "header_up X-Forwarded-Port 443")
}

func caddyTrusts(text string) string {
	return caddyBlocks(text, "trusted_proxies "+farNet, "trusted_proxies "+farNet)
}

var caddyUpstream = regexp.MustCompile(`(?m)reverse_proxy \S+$`)

// caddyBlocks gives the reverse_proxy of each door, of which the plain one comes first, a line of its own.
func caddyBlocks(text string, lines ...string) string {
	return caddyUpstream.ReplaceAllStringFunc(text, func(directive string) string {
		line := lines[0]
		lines = lines[1:]
		return directive + " {\n" + line + "\n}"
	})
}

// A link is a chain of two proxies in front of the application.
type link struct {
	name         string
	inner, outer starter
	hops         []forwarded.Hop // as the application declares them, nearest first
	know         known
	nominated    *known // see battery
	asked        bool   // the outer one is ours and says which port the client asked for; others, by default, none
	told         bool   // the outer one says 80 or 443
}

func (l link) run(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	inner, _ := l.inner(t, a.addr, "")
	plain, secure := l.outer(t, inner.addr, outerAddr)
	b := battery{app: a, want: truth{chain: chainOf(l.hops)}, know: l.know, nominated: l.nominated}
	a.use(t, l.hops...)
	l.doors(t, b, plain, secure)
	if l.hops[0].Name == "proxy" { // nothing forged gets past ours, so there is nothing to remove
		t.Run("unguarded", func(t *testing.T) {
			a.configure(t, forwarded.Config{Hops: l.hops, DangerouslyKeepUnverified: true, Logger: slog.New(slog.DiscardHandler)})
			l.doors(t, b, plain, secure)
		})
	}
}

func (l link) doors(t *testing.T, b battery, plain, secure door) {
	t.Run("http", func(t *testing.T) { b.door = plain; l.battery(t, b) })
	t.Run("https", func(t *testing.T) { b.door = secure; l.battery(t, b) })
	t.Run("h2", func(t *testing.T) { b.door, b.http2 = secure, true; l.battery(t, b) })
}

// battery is battery.run for ports that are not the door's.
func (l link) battery(t *testing.T, b battery) {
	b.fill()
	arrived := 0
	for _, a := range attacks {
		if b.http2 && a.h1only {
			continue
		}
		if b.want.scheme == forwarded.HTTPS {
			a = a.httpsInstead()
		}
		switch {
		case l.asked:
			b.want.port = portAsked(b.want.scheme, a.host)
		case l.told:
			b.want.port = portAsked(b.want.scheme, "")
		}
		t.Run(a.name, func(t *testing.T) {
			if b.try(t, a) {
				arrived++
			}
		})
	}
	require.Greater(t, arrived, len(attacks)/2, "most attacks must get as far as the application")
}

// portAsked is the port that a client asks for with this scheme and Host.
func portAsked(scheme forwarded.Scheme, host string) uint16 {
	if scheme == forwarded.HTTPS && !strings.Contains(host, ":") {
		return 443
	}
	return portOf(host)
}

// Our proxy behind another one.
func TestProxyBehind(t *testing.T) {
	withPort := known{client: true, scheme: true, host: true, port: true}
	nginxHop, haproxyHop, caddyHop := forwarded.Nginx(farNet), forwarded.HAProxy(farNet), forwarded.Caddy(nearNet)
	tests := []link{
		{name: "nginx", outer: nginx(nginxUsual), hops: []forwarded.Hop{nginxHop}, know: everything},
		{name: "HAProxy", outer: startHAProxy, hops: []forwarded.Hop{haproxyHop}, know: everything},
		{name: "Caddy", outer: caddy, hops: []forwarded.Hop{caddyHop}, know: everything},
		{
			name: "nginx with port", outer: nginx(nginxTelling), told: true,
			hops: []forwarded.Hop{tellingPort(nginxHop)}, know: withPort,
		},
		{
			name: "HAProxy with port", outer: haproxyEdited(haproxyTellsPort), told: true,
			hops: []forwarded.Hop{tellingPort(haproxyHop)}, know: withPort,
		},
		{
			name: "Caddy with port", outer: caddyEdited(caddyTellsPort), told: true,
			hops: []forwarded.Hop{tellingPort(caddyHop)}, know: withPort,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.inner = ours(test.hops...)
			test.hops = append([]forwarded.Hop{forwarded.Proxy(nearNet)}, test.hops...)
			test.run(t)
		})
	}
}

// Our proxy in front of another one, and of another of its own kind.
func TestProxyInFront(t *testing.T) {
	far := forwarded.Proxy(farNet)
	withPort := known{client: true, scheme: true, host: true, port: true}
	tests := []link{
		{
			name: "nginx", inner: nginx(nginxUsual), hops: []forwarded.Hop{forwarded.Nginx(nearNet), far},
			know: known{client: true, host: true, port: true}, // nginx sets the scheme of our connection
		},
		{
			name: "nginx that passes the scheme", inner: nginx(nginxNoProto),
			hops: []forwarded.Hop{passingProto(forwarded.Nginx(nearNet)), far}, know: withPort,
		},
		{
			name: "HAProxy", inner: startHAProxy, hops: []forwarded.Hop{forwarded.HAProxy(nearNet), far},
			know: known{client: true, host: true, port: true},
		},
		{
			name: "HAProxy that passes the scheme", inner: haproxyEdited(haproxyPassesProto),
			hops: []forwarded.Hop{passingProto(forwarded.HAProxy(nearNet)), far}, know: withPort,
		},
		{
			name: "Caddy", inner: caddy, hops: []forwarded.Hop{forwarded.Caddy(nearNet), far},
			know: known{}, // Caddy replaces whom we named
		},
		{
			name: "Caddy that trusts us", inner: caddyEdited(caddyTrusts),
			hops: []forwarded.Hop{trusting(forwarded.Caddy(nearNet)), far}, know: withPort,
		},
		{name: "ours", inner: ours(far), hops: []forwarded.Hop{forwarded.Proxy(nearNet), far}, know: withPort},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.outer, test.asked = ours(), true
			test.run(t)
		})
	}
}

// A proxy that is its own upstream, directly and through another proxy, notices by its own name in Via.
func TestProxyLoop(t *testing.T) {
	around := map[string]starter{"itself": nil, "nginx": nginx(nginxUsual), "HAProxy": startHAProxy, "Caddy": caddy}
	for name, peer := range around {
		t.Run(name, func(t *testing.T) {
			addr := freeAddrs(t, 1)[0]
			upstream := addr
			if peer != nil {
				between, _ := peer(t, addr, "")
				upstream = between.addr
			}
			failed := newReasons()
			o := startOursAt(t, addr, proxy.Config{Upstreams: []string{"http://" + upstream}, OnError: failed.note})
			require.Equal(t, http.StatusLoopDetected, o.plain.send(t, clientAddr, attack{}))
			require.Equal(t, proxy.ReasonLoop, failed.await(t))
			assert.Empty(t, failed, "one loop is one failure")
			assert.Equal(t, proxy.StateHealthy, o.proxy.Status().Upstreams[0].State, "the upstream did nothing wrong")
		})
	}
}
