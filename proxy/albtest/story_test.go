package albtest_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// The tests of this file are the troubles of one afternoon: a balancer with
// listeners 80 and 443, nginx behind it, an application in a container behind
// that. Each shows the trouble, how one can tell what it is, and what this
// module makes of it.

// forwarding is a balancer in memory that forwards from both listeners.
func forwarding(groups map[string]albtest.TargetGroup) albtest.Config {
	return albtest.Config{
		InMemory:     true,
		TargetGroups: groups,
		Listeners: []albtest.Listener{
			{Port: 443, TLS: &albtest.TLS{}, Default: albtest.ForwardTo("app")},
			{Port: 80, Default: albtest.ForwardTo("app")},
		},
	}
}

func behind(t *testing.T, service http.Handler) *albtest.Server {
	t.Helper()
	return albtest.Start(t, forwarding(map[string]albtest.TargetGroup{"app": {Targets: []albtest.Target{{Handler: service}}}}))
}

// get asks and reads all of the answer.
func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}

func last(t *testing.T, s *albtest.Server) albtest.Entry {
	t.Helper()
	log := s.Log()
	require.NotEmpty(t, log)
	return log[len(log)-1]
}

// After a reboot nothing listens behind the balancer: 502, and nobody knows
// whose. Behind a proxy of this module, the proxy answers, and logs what to do.
func TestStoryWhose502(t *testing.T) {
	t.Run("the balancer's", func(t *testing.T) {
		s := behind(t, right())
		require.NoError(t, s.TargetGroup("app").Kill())
		resp, _ := get(t, s.Client(), s.HTTPSURL)
		assert.Equal(t, 502, resp.StatusCode)
		assert.Equal(t, "awselb/2.0", resp.Header.Get("Server"))
		assert.Empty(t, resp.Header.Get("Proxy-Status"))
		e := last(t, s)
		assert.Equal(t, albtest.ByBalancer, e.AnsweredBy)
		assert.Equal(t, "502 -", e.ELBStatusCode.String()+" "+e.TargetStatusCode.String())
		assert.Equal(t, "nothing listens on 10.0.16.10:80", e.Why)

		require.NoError(t, s.TargetGroup("app").Revive())
		resp, _ = get(t, s.Client(), s.HTTPSURL)
		assert.Equal(t, 200, resp.StatusCode)
	})
	t.Run("the proxy's", func(t *testing.T) {
		var log lockedBuffer
		dead := deadAddress(t)
		p, err := proxy.New(proxy.Config{
			Upstreams: []string{"http://" + dead}, Policy: knowing(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Headers: proxy.Headers{Via: "edge"},
		})
		require.NoError(t, err)
		defer func() { assert.NoError(t, p.Shutdown(t.Context())) }()
		s := behind(t, p)
		resp, page := get(t, s.Client(), s.HTTPSURL)
		assert.Equal(t, 502, resp.StatusCode)
		assert.NotEqual(t, "awselb/2.0", resp.Header.Get("Server"))
		assert.Equal(t, "edge; error=connection_refused", resp.Header.Get("Proxy-Status"))
		assert.NotContains(t, page, dead, "clients learn nothing of the inside")
		e := last(t, s)
		assert.Equal(t, albtest.ByTarget, e.AnsweredBy)
		assert.Equal(t, "502 502", e.ELBStatusCode.String()+" "+e.TargetStatusCode.String())
		assert.Contains(t, log.String(), dead)
		assert.Contains(t, log.String(), "nothing listens there: is the application started, and on this address and port?")
	})
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// lockedBuffer is a log that is written and read.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// The balancer was deleted, and its name led to the instance, which went on to
// redirect to https: nobody ends TLS there, and the site is gone. A service that
// redirects only those who came through its balancer serves on.
func TestStoryTheBalancerIsGone(t *testing.T) {
	hops := knowing()
	services := map[string]http.Handler{
		"redirects everybody": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Forwarded-Proto") != "https" {
				leads(w, "https://"+r.Host+"/")
			}
		}),
		"knows its hops": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch i := hops.Resolve(r); {
			case i.Status == forwarded.StatusForwarded && i.Scheme == forwarded.HTTP:
				leads(w, "https://"+i.Host+"/")
			case i.Host == "":
				w.WriteHeader(http.StatusMisdirectedRequest)
			}
		}),
	}
	for name, service := range services {
		t.Run(name, func(t *testing.T) {
			s := behind(t, service)
			resp, _ := get(t, s.Client(), s.HTTPURL)
			assert.Equal(t, "https://www.example.com/", resp.Header.Get("Location"))
			resp, _ = get(t, s.Client(), s.HTTPSURL)
			assert.Equal(t, 200, resp.StatusCode)

			// What the name leads to from now on has port 80 only.
			resp, _ = get(t, s.Direct("app"), "http://www.example.com/")
			if name == "redirects everybody" {
				assert.Equal(t, "https://www.example.com/", resp.Header.Get("Location"), "where nobody listens")
			} else {
				assert.Equal(t, 200, resp.StatusCode)
				assert.Empty(t, resp.Header.Get("Location"))
			}
			s.Close()
			_, err := s.Client().Get(s.HTTPSURL) //nolint:bodyclose // there is none
			assert.Error(t, err, "and here neither")
		})
	}
}

// Somebody opens the instance's address, past the balancer, and is sent to
// https://10.0.16.10, for which there is no certificate.
func TestStoryStraightToTheInstance(t *testing.T) {
	naive := before(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Header.Get("X-Forwarded-Proto") != "https" && leads(w, "https://"+r.Host+r.URL.RequestURI())
	})(right())
	resp, _ := get(t, behind(t, naive).Direct("app"), "http://10.0.16.10/cart")
	assert.Equal(t, "https://10.0.16.10/cart", resp.Header.Get("Location"))

	s := behind(t, right())
	for _, host := range []string{"10.0.16.10", "10.0.16.10:80", "[2001:db8::1]", "ec2-192-0-2-1.compute.example"} {
		resp, _ := get(t, s.Direct("app"), "http://"+host+"/cart")
		assert.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode, host)
		assert.Empty(t, resp.Header.Get("Location"), host)
	}
	resp, _ = get(t, s.Direct("app"), "http://www.example.com/cart")
	assert.Equal(t, "https://www.example.com/cart", resp.Header.Get("Location"), "the name has a certificate, at the balancer")
	assert.Equal(t, "198.51.100.66", resp.Header.Get(believedHeader))
	assert.Empty(t, s.Log(), "the balancer saw nothing of it")
}

// A target group with port 443, where nobody listens, beside one with port 80 on
// the same machine.
func TestStoryTargetGroupOnPort443(t *testing.T) {
	machine := netip.MustParseAddr("10.0.16.10")
	cfg := forwarding(map[string]albtest.TargetGroup{
		"app":       {Targets: []albtest.Target{{Handler: right(), IP: machine}}},
		"https-app": {Protocol: albtest.HTTPS, Port: 443, Targets: []albtest.Target{{Absent: true, IP: machine}}},
	})
	cfg.Listeners = append(cfg.Listeners, albtest.Listener{Port: 8443, TLS: &albtest.TLS{}, Default: albtest.ForwardTo("https-app")})
	s := albtest.Start(t, cfg)

	assert.Equal(t, []albtest.Health{{Target: "10.0.16.10:80", State: albtest.Healthy}}, s.TargetGroup("app").Health())
	assert.Equal(t, []albtest.Health{{
		Target: "10.0.16.10:443", State: albtest.Unhealthy, Reason: albtest.FailedHealthChecks, Description: "Health checks failed",
	}}, s.TargetGroup("https-app").Health())

	resp, _ := get(t, s.Client(), "https://www.example.com:8443/")
	assert.Equal(t, 502, resp.StatusCode)
	assert.Equal(t, "nothing listens on 10.0.16.10:443", last(t, s).Why, "it fails open: there is no other target")
	resp, _ = get(t, s.Client(), s.HTTPSURL)
	assert.Equal(t, 200, resp.StatusCode)
}

// The path of the health check is redirected like all others. The code in the
// brackets says so; a service that knows who asks is healthy.
func TestStoryHealthCheckRedirected(t *testing.T) {
	redirecting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-Proto") != "https" {
			http.Redirect(w, r, "https://www.example.com/", http.StatusMovedPermanently)
		}
	})
	s := behind(t, redirecting)
	assert.Equal(t, albtest.Health{
		Target: "10.0.16.10:80", State: albtest.Unhealthy,
		Reason: albtest.ResponseCodeMismatch, Description: "Health checks failed with these codes: [301]",
	}, s.TargetGroup("app").Health()[0])
	resp, _ := get(t, s.Client(), s.HTTPSURL)
	assert.Equal(t, 200, resp.StatusCode, "it fails open, which hides the trouble until there is a second target")
	assert.Contains(t, last(t, s).Why, "no target is healthy")

	assert.Equal(t, albtest.Healthy, behind(t, right()).TargetGroup("app").Health()[0].State)
}

// nginx is what nginx does to a request on its way to an application on the
// same machine, with the lines that most configurations have: Host passes,
// X-Forwarded-For is appended to, X-Forwarded-Proto becomes $scheme, that of
// nginx's own connection, unless it is told to pass what came.
func nginx(app http.Handler, passesProto bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		r.Header.Set("X-Forwarded-For", strings.Join(append(r.Header["X-Forwarded-For"], from), ", "))
		if !passesProto {
			r.Header.Set("X-Forwarded-Proto", "http")
		}
		r.RemoteAddr = "127.0.0.1:40000"
		app.ServeHTTP(w, r)
	})
}

func behindNginx(t *testing.T, edit func(*forwarded.Hop)) *forwarded.Policy {
	t.Helper()
	hop := forwarded.Nginx("127.0.0.1")
	edit(&hop)
	p, err := forwarded.New(forwarded.Config{Hops: []forwarded.Hop{hop, forwarded.ALB(albtest.Subnets()...)}, Logger: quiet()})
	require.NoError(t, err)
	return p
}

// nginx says http to the application, whatever the balancer said; the
// application redirects to https, for ever. An unknown scheme redirects nobody,
// and Lint names the line to change.
func TestStoryNginxTurnsHTTPSIntoHTTP(t *testing.T) {
	loops := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-Proto") == "http" {
			leads(w, "https://"+r.Host+r.URL.RequestURI())
		}
	})
	s := behind(t, nginx(loops, false))
	resp, _ := get(t, s.Client(), s.HTTPSURL+"/cart")
	assert.Equal(t, s.HTTPSURL+"/cart", resp.Header.Get("Location"), "the address that was asked for")
	assert.Contains(t, last(t, s).Got, "X-Forwarded-Proto: https\r\n", "the balancer had said so")

	policy := behindNginx(t, func(*forwarded.Hop) {})
	unknown := policy.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := forwarded.From(r)
		if i.Scheme == forwarded.HTTP {
			leads(w, "https://"+i.Host+r.URL.RequestURI())
		}
		fmt.Fprint(w, i.Client, " ", i.Scheme, " ", i.SchemeReason)
	}))
	s = behind(t, nginx(unknown, false))
	_, got := get(t, s.Client(), s.HTTPSURL+"/cart")
	assert.Equal(t, "203.0.113.10 unknown scheme_lost", got)
	require.NotEmpty(t, policy.Lint())
	assert.Equal(t, "nginx", policy.Lint()[0].Hop)
	assert.Contains(t, policy.Lint()[0].Message, "overwrites or drops X-Forwarded-Proto")

	passing := behindNginx(t, func(h *forwarded.Hop) { h.Proto = forwarded.Passes() })
	mended := passing.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, forwarded.From(r).URL(r))
	}))
	s = behind(t, nginx(mended, true))
	_, got = get(t, s.Client(), s.HTTPSURL+"/cart")
	assert.Equal(t, "https://www.example.com/cart", got)
}

// Balancer, nginx and application can each redirect to https. The log says who
// did; where all of them can, the outermost does, and the others never see a
// request that they would redirect.
func TestStoryWhoRedirects(t *testing.T) {
	app := func(redirects bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if redirects && r.Header.Get("X-Forwarded-Proto") == "http" {
				w.Header().Set("Server", "app")
				leads(w, "https://"+r.Host+r.URL.RequestURI())
			}
		})
	}
	nginxToo := func(next http.Handler, redirects bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if redirects && r.Header.Get("X-Forwarded-Proto") == "http" {
				w.Header().Set("Server", "nginx")
				leads(w, "https://"+r.Host+r.URL.RequestURI())
				return
			}
			nginx(next, true).ServeHTTP(w, r)
		})
	}
	for _, tc := range []struct {
		balancer, nginx, app bool
		who                  string
	}{
		{true, false, false, "awselb/2.0 answered by balancer: 301 -"},
		{false, true, false, "nginx answered by target: 302 302"},
		{false, false, true, "app answered by target: 302 302"},
		{true, true, true, "awselb/2.0 answered by balancer: 301 -"},
		{false, true, true, "nginx answered by target: 302 302"},
	} {
		cfg := forwarding(map[string]albtest.TargetGroup{"app": {Targets: []albtest.Target{{Handler: nginxToo(app(tc.app), tc.nginx)}}}})
		if tc.balancer {
			cfg.Listeners[1].Default = albtest.ToHTTPS()
		}
		s := albtest.Start(t, cfg)
		resp, _ := get(t, s.Client(), s.HTTPURL+"/cart?id=1")
		e := last(t, s)
		who := fmt.Sprintf("%s answered by %s: %v %v", resp.Header.Get("Server"), e.AnsweredBy, e.ELBStatusCode, e.TargetStatusCode)
		assert.Equal(t, tc.who, who)
		resp, _ = get(t, s.Client(), resp.Header.Get("Location"))
		assert.Equal(t, 200, resp.StatusCode, "after one redirect")
	}
}

// Which port? Clients use 80 and 443, nginx listens on 80, the container on
// 8080 or whatever. None but the client's is told to anybody.
func TestStoryWhichPort(t *testing.T) {
	inner := behindProxy(t)
	app := httptest.NewServer(inner.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := forwarded.From(r)
		if i.Scheme == forwarded.HTTP {
			leads(w, "https://"+i.Host+r.URL.RequestURI())
		}
		fmt.Fprint(w, i.URL(r), " ", i.Port)
	})))
	defer app.Close()
	p, err := proxy.New(proxy.Config{Upstreams: []string{app.URL}, Policy: knowing(), Logger: quiet()})
	require.NoError(t, err)
	defer func() { assert.NoError(t, p.Shutdown(t.Context())) }()

	for _, port := range []int{80, 8080} {
		s := albtest.Start(t, forwarding(map[string]albtest.TargetGroup{"app": {Port: port, Targets: []albtest.Target{{Handler: p}}}}))
		resp, got := get(t, s.Client(), s.HTTPSURL+"/cart")
		assert.Equal(t, "https://www.example.com/cart 443", got)
		assert.Empty(t, resp.Header.Get("Location"))
		resp, got = get(t, s.Client(), s.HTTPURL+"/cart")
		assert.Equal(t, "http://www.example.com/cart 80", got)
		assert.Equal(t, "https://www.example.com/cart", resp.Header.Get("Location"))
		for _, e := range s.Log() {
			assert.Equal(t, fmt.Sprintf("10.0.16.10:%d", port), e.Target)
		}
	}
}

// behindProxy is the policy of an application behind this module's proxy,
// behind the balancer.
func behindProxy(t *testing.T) *forwarded.Policy {
	t.Helper()
	p, err := forwarded.New(forwarded.Config{
		Hops: []forwarded.Hop{forwarded.Proxy("127.0.0.1"), forwarded.ALB(albtest.Subnets()...)}, Logger: quiet(),
	})
	require.NoError(t, err)
	return p
}
