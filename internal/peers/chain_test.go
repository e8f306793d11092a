//go:build linux

package peers

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// outerAddr is where an outer proxy connects from, if it can be told; Caddy cannot.
const outerAddr = albAddr

// passingProto is a hop that leaves X-Forwarded-Proto as it came.
func passingProto(hop forwarded.Hop) forwarded.Hop {
	hop.Proto = forwarded.Passes()
	return hop
}

// settingProto is a hop that sets X-Forwarded-Proto.
func settingProto(hop forwarded.Hop) forwarded.Hop {
	hop.Proto = forwarded.Sets("X-Forwarded-Proto")
	return hop
}

// A starter runs one proxy of a chain in front of an upstream, connecting from an address.
type starter func(t *testing.T, upstream, source string) (plain, secure door)

func nginx(lines []string) starter {
	return func(t *testing.T, upstream, source string) (door, door) {
		return startNginx(t, nginxConf{upstream: upstream, source: source, lines: lines})
	}
}

func apache(lines ...string) starter {
	return func(t *testing.T, upstream, source string) (door, door) {
		return startApache(t, apacheConf{upstream: upstream, source: source, lines: lines})
	}
}

func caddy(t *testing.T, upstream, _ string) (door, door) { return startCaddy(t, upstream) }

func TestTwoProxies(t *testing.T) {
	const near, far = "127.0.0.1/32", outerAddr + "/32"
	tests := []struct {
		name         string
		inner, outer starter
		hops         []forwarded.Hop // nearest first
		know         known
		nominated    *known // see battery
	}{
		{
			name: "nginx, HAProxy", outer: nginx(nginxUsual), inner: startHAProxy,
			hops: []forwarded.Hop{forwarded.HAProxy(near), forwarded.Nginx(far)},
			know: known{client: true, host: true}, // HAProxy sets the scheme of nginx's connection
		},
		{
			name: "nginx, nginx that passes the scheme", outer: nginx(nginxUsual), inner: nginx(nginxNoProto),
			hops: []forwarded.Hop{passingProto(forwarded.Nginx(near)), forwarded.Nginx(far)},
			know: everything,
		},
		{
			name: "HAProxy, nginx", outer: startHAProxy, inner: nginx(nginxUsual),
			hops: []forwarded.Hop{forwarded.Nginx(near), forwarded.HAProxy(far)},
			know: known{client: true, host: true},
		},
		{
			name: "HAProxy, nginx that passes the scheme", outer: startHAProxy, inner: nginx(nginxNoProto),
			hops: []forwarded.Hop{passingProto(forwarded.Nginx(near)), forwarded.HAProxy(far)},
			know: everything,
		},
		{
			name: "Apache, nginx", outer: apache("ProxyPreserveHost On"), inner: nginx(nginxUsual),
			hops: []forwarded.Hop{forwarded.Nginx(near), forwarded.Apache(far)},
			know: known{client: true, host: true},
		},
		{
			name: "Apache that sets the scheme, nginx that passes it", inner: nginx(nginxNoProto),
			outer: apache("RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}"),
			hops:  []forwarded.Hop{passingProto(forwarded.Nginx(near)), settingProto(forwarded.Apache(far))},
			know:  everything, nominated: &known{client: true, host: true}, // Apache removes its own header
		},
		{
			name: "HAProxy, Apache", outer: startHAProxy, inner: apache("ProxyPreserveHost On"),
			hops: []forwarded.Hop{preservingHost(forwarded.Apache(near)), forwarded.HAProxy(far)},
			know: everything, // Apache passes the scheme
			// HAProxy hands the nomination on, and Apache removes what HAProxy wrote about the client.
			nominated: &known{host: true},
		},
		{
			name: "Caddy, nginx", outer: caddy, inner: nginx(nginxUsual),
			hops: []forwarded.Hop{forwarded.Nginx(near), forwarded.Caddy(near)},
			know: known{client: true, host: true},
		},
		{
			name: "Caddy, nginx that passes the scheme", outer: caddy, inner: nginx(nginxNoProto),
			hops: []forwarded.Hop{passingProto(forwarded.Nginx(near)), forwarded.Caddy(near)},
			know: everything,
		},
		{
			name: "nginx, Caddy", outer: nginx(nginxUsual), inner: caddy,
			hops: []forwarded.Hop{forwarded.Caddy(near), forwarded.Nginx(far)},
			know: known{}, // Caddy replaces whom nginx named
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := startApp(t, "127.0.0.1:0")
			inner, _ := test.inner(t, a.addr, "")
			plain, secure := test.outer(t, inner.addr, outerAddr)
			a.use(t, test.hops...)
			b := battery{app: a, want: truth{chain: chainOf(test.hops)}, know: test.know, nominated: test.nominated}
			doors(t, b, plain, secure)
			t.Run("past the outer proxy", func(t *testing.T) { pastOuter(t, a, inner, test.hops) })
		})
	}
}

// preservingHost is Apache with ProxyPreserveHost.
func preservingHost(hop forwarded.Hop) forwarded.Hop {
	hop.ReplacesHost = false
	return hop
}

// chainOf is what the outer hops leave of themselves in X-Forwarded-For: the address the next one saw.
func chainOf(hops []forwarded.Hop) []string {
	var chain []string
	for i := len(hops) - 1; i > 0; i-- {
		chain = append(chain, strings.TrimSuffix(hops[i].From[0], "/32"))
	}
	return chain
}

// pastOuter attacks the inner proxy directly. Its client is known wherever the hop says who connected, and the
// outer proxy must not be given the credit.
func pastOuter(t *testing.T, a *app, inner door, hops []forwarded.Hop) {
	t.Helper()
	battery{app: a, door: inner, know: known{client: true}}.run(t)
	require.Equal(t, 200, inner.send(t, clientAddr, attack{lines: family}))
	got, ok := a.take(t)
	require.True(t, ok)
	require.Equal(t, 1, got.Info.Hops)
	require.False(t, got.Info.Complete)
	if hops[0].Proto == forwarded.Passes() {
		require.Equal(t, forwarded.SchemeUnknown, got.Info.Scheme)
	}
}

// A story is the chain that this library was written for: client, ALB, nginx, application.
type story struct {
	app           *app
	nginx         door
	plain, secure door // of the balancer
	log           syncBuffer
}

func startStory(t *testing.T, lines []string) *story {
	t.Helper()
	s := &story{app: startApp(t, "127.0.0.1:0")}
	s.nginx, _ = startNginx(t, nginxConf{upstream: s.app.addr, lines: lines})
	s.plain, s.secure = startALB(t, s.nginx.addr)
	return s
}

// configure declares nginx and the balancer.
func (s *story) configure(t *testing.T, cfg forwarded.Config, nginx forwarded.Hop) *forwarded.Policy {
	t.Helper()
	cfg.Hops = []forwarded.Hop{nginx, forwarded.ALB(albAddr + "/32")}
	cfg.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	return s.app.configure(t, cfg)
}

// ask sends one request and returns what the application believed.
func (s *story) ask(t *testing.T, d door, a attack) seen {
	t.Helper()
	require.Equal(t, 200, d.send(t, clientAddr, a))
	got, ok := s.app.take(t)
	require.True(t, ok)
	return got
}

// batteries attacks through the balancer, past it at nginx, and past both at the application.
func (s *story) batteries(t *testing.T, know known) {
	t.Helper()
	for _, way := range []struct {
		name string
		door door
		port uint16
	}{{"http", s.plain, 80}, {"https", s.secure, 443}} {
		t.Run(way.name, func(t *testing.T) {
			want := truth{port: way.port, chain: []string{albAddr}}
			battery{app: s.app, door: way.door, want: want, know: know}.run(t)
		})
	}
	t.Run("straight to nginx", func(t *testing.T) {
		battery{app: s.app, door: s.nginx, know: known{client: true, host: true}}.run(t)
	})
	t.Run("straight to the application", func(t *testing.T) {
		straight := known{client: true, scheme: true, host: true, port: true}
		battery{app: s.app, door: door{addr: s.app.addr}, know: straight, direct: true}.run(t)
	})
}

// nginx overwrites what the balancer wrote. The scheme is unknown, not http: nothing can loop on it.
func TestStoryNginxOverwritesTheScheme(t *testing.T) {
	s := startStory(t, nginxUsual)
	p := s.configure(t, forwarded.Config{}, forwarded.Nginx("127.0.0.1/32"))
	s.batteries(t, known{client: true, host: true, port: true})

	got := s.ask(t, s.secure, attack{})
	require.Equal(t, []string{"http"}, got.Raw["X-Forwarded-Proto"], "nginx must have overwritten it")
	require.Equal(t, forwarded.SchemeUnknown, got.Info.Scheme)
	require.Equal(t, forwarded.ReasonSchemeLost, got.Info.SchemeReason)
	require.Equal(t, 2, got.Info.Hops)
	require.True(t, got.Info.Complete)

	t.Run("lint", func(t *testing.T) { lintNamesNginx(t, p.Lint()) })
	t.Run("warning", func(t *testing.T) {
		lines := s.log.containing("W2")
		require.NotEmpty(t, lines, "no warning that proto and port disagree in:\n%s", s.log.text())
		assert.Contains(t, lines[0], "nginx")
	})
}

func lintNamesNginx(t *testing.T, findings []forwarded.Finding) {
	for _, f := range findings {
		if strings.Contains(f.Hop, "nginx") {
			assert.NotEmpty(t, f.Code)
			assert.Contains(t, f.Message+f.Fix, "X-Forwarded-Proto")
			assert.NotEmpty(t, f.Fix)
			return
		}
	}
	require.Failf(t, "Lint does not name nginx", "%+v", findings)
}

// The balancer's port passes nginx untouched, and tells what the scheme was.
func TestStorySchemeFromPort(t *testing.T) {
	s := startStory(t, nginxUsual)
	s.configure(t, forwarded.Config{SchemeFromPort: true}, forwarded.Nginx("127.0.0.1/32"))
	s.batteries(t, known{client: true, scheme: true, host: true, port: true})

	got := s.ask(t, s.secure, attack{})
	require.Equal(t, forwarded.HTTPS, got.Info.Scheme)
	require.Equal(t, "https://"+frontHost+"/", got.URL.String())
}

// nginx without its own line passes what the balancer wrote.
func TestStoryNginxPassesTheScheme(t *testing.T) {
	s := startStory(t, nginxNoProto)
	s.configure(t, forwarded.Config{}, passingProto(forwarded.Nginx("127.0.0.1/32")))
	s.batteries(t, known{client: true, scheme: true, host: true, port: true})

	require.Equal(t, "https://"+frontHost+"/", s.ask(t, s.secure, attack{}).URL.String())
	require.Equal(t, "http://"+frontHost+"/", s.ask(t, s.plain, attack{}).URL.String())
	require.Empty(t, s.log.containing("W2"))

	t.Run("straight to nginx with a forged scheme", func(t *testing.T) {
		got := s.ask(t, s.nginx, attack{lines: []string{"X-Forwarded-Proto: https", "X-Forwarded-Port: 443"}})
		require.Equal(t, []string{"https"}, got.Raw["X-Forwarded-Proto"], "nginx must have passed the forgery on")
		require.Equal(t, forwarded.SchemeUnknown, got.Info.Scheme)
		require.NotEmpty(t, got.Info.SchemeReason.String())
		require.Equal(t, clientAddr, got.Info.Client)
	})
}

// The same with the request variable spelled out, which is how many configurations say it.
func TestStoryNginxRepeatsTheScheme(t *testing.T) {
	s := startStory(t, append([]string{"proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;"}, nginxNoProto...))
	s.configure(t, forwarded.Config{}, passingProto(forwarded.Nginx("127.0.0.1/32")))
	s.batteries(t, known{client: true, scheme: true, host: true, port: true})
}

// Declaring nginx alone makes the balancer the client: the number of hops is a promise. What the balancer wrote is
// then nobody's word, and the scheme is that of the balancer's own connection.
func TestStoryBalancerNotDeclared(t *testing.T) {
	s := startStory(t, nginxUsual)
	s.app.use(t, forwarded.Nginx("127.0.0.1/32"))
	got := s.ask(t, s.secure, attack{lines: family})
	require.Equal(t, albAddr, got.Info.Client.String())
	require.Equal(t, forwarded.HTTP, got.Info.Scheme)
	require.Equal(t, 1, got.Info.Hops)
}

// A syncBuffer is a log that the server writes and the test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *syncBuffer) containing(word string) []string {
	var lines []string
	for line := range strings.Lines(b.text()) {
		if strings.Contains(line, word) {
			lines = append(lines, line)
		}
	}
	return lines
}
