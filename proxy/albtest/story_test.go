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
	"github.com/knownhops/knownhops/healthcheck"
	"github.com/knownhops/knownhops/proxy"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// The tests of this file are the troubles of one afternoon: a balancer with
// listeners 80 and 443, nginx behind it, an application in a container behind
// that. Each shows the trouble, how one can tell what it is, and what this
// module makes of it.

// forwarding is a balancer in memory that forwards from both listeners, and asks
// for health where package healthcheck answers.
func forwarding(groups map[string]albtest.TargetGroup) albtest.Config {
	for name, g := range groups {
		g.HealthCheck.Path = "/healthz"
		groups[name] = g
	}
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

// enforcing is a service that redirects as package redirect does. The health
// check is answered outside of it, by package healthcheck. log may be nil.
func enforcing(t *testing.T, hops *forwarded.Policy, cfg redirect.Config, log io.Writer) http.Handler {
	t.Helper()
	if log == nil {
		log = io.Discard
	}
	cfg.Canonical, cfg.Logger = albtest.DefaultHost, slog.New(slog.NewTextHandler(log, nil))
	https, err := redirect.New(cfg)
	require.NoError(t, err)
	return new(healthcheck.Health).Wrap(hops.Wrap(https.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, forwarded.From(r).URL(r))
	}))))
}

// naive redirects whatever does not say https, to whatever was asked for.
func naive(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Forwarded-Proto") != "https" {
		leads(w, "https://"+r.Host+r.URL.RequestURI())
	}
}

// The balancer was deleted, and its name led to the instance, which went on to
// redirect to https: nobody ends TLS there, and the site is gone. With Proof, a
// service redirects only where https is known to work, and says what is missing.
func TestStoryTheALBIsDeletedWhileHTTPIsStillRedirected(t *testing.T) {
	nobodyEndsTLS := func(forwarded.Info, string) bool { return false }
	for name, tc := range map[string]struct {
		service    func(log io.Writer) http.Handler
		get, post  int // past where the balancer was
		toNowhere  bool
		log, cache string
	}{
		"naive": {
			func(io.Writer) http.Handler { return http.HandlerFunc(naive) },
			302, 302, true, "", "",
		},
		"by default": { // it cannot know, but nobody keeps the redirect
			func(log io.Writer) http.Handler { return enforcing(t, knowing(), redirect.Config{}, log) },
			301, 308, true, "", "private, no-store",
		},
		"with Proof": {
			func(log io.Writer) http.Handler {
				return enforcing(t, knowing(), redirect.Config{Proof: nobodyEndsTLS}, log)
			},
			200, 503, false, "make https work for this host: a certificate in the balancer or tlsterm in this process", "",
		},
		"refusing without proof": {
			func(log io.Writer) http.Handler {
				return enforcing(t, knowing(), redirect.Config{RefuseWithoutProof: true}, log)
			},
			503, 503, false, "reason=no_proof", "private, no-store",
		},
		"behind the balancer only": {
			func(log io.Writer) http.Handler {
				return enforcing(t, knowing(), redirect.Config{RequireProxy: true}, log)
			},
			421, 421, false, "reason=direct_access", "private, no-store",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			s := behind(t, tc.service(&log))
			resp, _ := get(t, s.Client(), s.HTTPSURL+"/cart")
			assert.Equal(t, 200, resp.StatusCode)
			resp, _ = get(t, s.Client(), s.HTTPURL+"/cart")
			assert.Equal(t, "https://www.example.com/cart", resp.Header.Get("Location"), "https has just been seen to work")

			// What the name leads to from now on has port 80 only.
			resp, _ = get(t, s.Direct("app"), "http://www.example.com/cart")
			assert.Equal(t, tc.get, resp.StatusCode)
			assert.Equal(t, tc.toNowhere, resp.Header.Get("Location") != "")
			assert.Equal(t, tc.cache, resp.Header.Get("Cache-Control"))
			resp, err := s.Direct("app").Post("http://www.example.com/cart", "text/plain", http.NoBody)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, tc.post, resp.StatusCode)
			assert.Contains(t, log.String(), tc.log)
			s.Close()
			_, err = s.Client().Get(s.HTTPSURL) //nolint:bodyclose // there is none
			assert.Error(t, err, "nobody answers https")
		})
	}
}

// Before anybody has used https through a new balancer, nothing shows that it
// works. One request is enough.
func TestStoryTheALBIsNew(t *testing.T) {
	var log lockedBuffer
	s := behind(t, enforcing(t, knowing(), redirect.Config{Proof: func(forwarded.Info, string) bool { return false }}, &log))
	resp, page := get(t, s.Client(), s.HTTPURL+"/cart")
	assert.Equal(t, "200 http://www.example.com/cart", fmt.Sprint(resp.StatusCode, " ", page))
	assert.Contains(t, log.String(), "one https request through a declared hop is proof for an hour")
	get(t, s.Client(), s.HTTPSURL+"/cart")
	resp, _ = get(t, s.Client(), s.HTTPURL+"/cart")
	assert.Equal(t, 301, resp.StatusCode)
}

// Somebody opens the instance's address, past the balancer, and is sent to
// https://10.0.16.10, for which there is no certificate.
func TestStoryRequestsToTheInstancesIP(t *testing.T) {
	resp, _ := get(t, behind(t, http.HandlerFunc(naive)).Direct("app"), "http://10.0.16.10/cart")
	assert.Equal(t, "https://10.0.16.10/cart", resp.Header.Get("Location"))

	var log lockedBuffer
	s := behind(t, enforcing(t, anyHost(t), redirect.Config{}, &log))
	for host, reason := range map[string]string{
		"10.0.16.10": "ip_host", "10.0.16.10:80": "ip_host", "[2001:db8::1]": "ip_host", "ec2-192-0-2-1.compute.example": "unknown_host",
	} {
		resp, page := get(t, s.Direct("app"), "http://"+host+"/cart")
		assert.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode, host)
		assert.Empty(t, resp.Header.Get("Location"), host)
		assert.NotContains(t, page, albtest.DefaultHost, "whoever scans addresses learns nothing")
		assert.Contains(t, log.String(), "reason="+reason)
	}
	resp, _ = get(t, s.Direct("app"), "http://www.example.com/cart")
	assert.Equal(t, "https://www.example.com/cart", resp.Header.Get("Location"), "the name has a certificate, at the balancer")
	assert.Empty(t, s.Log(), "the balancer saw nothing of it")
	assert.Equal(t, albtest.Healthy, s.TargetGroup("app").Health()[0].State, "its health checks ask for the address too")
}

// A target group with port 443, where nobody listens, beside one with port 80 on
// the same machine.
func TestStoryTargetGroupOnPort443(t *testing.T) {
	machine := netip.MustParseAddr("10.0.16.10")
	var health healthcheck.Health
	cfg := forwarding(map[string]albtest.TargetGroup{
		"app":       {Targets: []albtest.Target{{Handler: health.Wrap(right()), IP: machine}}},
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
	require.Len(t, health.Snapshot().Probers, 2, "each node asks at port 80")
	resp, _ = get(t, s.Client(), s.HTTPSURL)
	assert.Equal(t, 200, resp.StatusCode)
}

// The path of the health check is redirected like all others. The code in the
// brackets says so. An Enforcer refuses what asks for an address, and its log
// says where health checks belong: outside of it, as package healthcheck does.
func TestStoryHealthCheckRedirected(t *testing.T) {
	state := func(s *albtest.Server) string {
		h := s.TargetGroup("app").Health()[0]
		return fmt.Sprint(h.State, " ", h.Reason, " ", h.Description)
	}
	s := behind(t, http.HandlerFunc(naive))
	assert.Equal(t, "unhealthy Target.ResponseCodeMismatch Health checks failed with these codes: [302]", state(s))
	resp, _ := get(t, s.Client(), s.HTTPSURL)
	assert.Equal(t, 200, resp.StatusCode, "it fails open, which hides the trouble until there is a second target")
	assert.Contains(t, last(t, s).Why, "no target is healthy")

	var log lockedBuffer
	https, err := redirect.New(redirect.Config{Canonical: albtest.DefaultHost, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	inside := anyHost(t).Wrap(https.Wrap(http.NotFoundHandler()))
	assert.Equal(t, "unhealthy Target.ResponseCodeMismatch Health checks failed with these codes: [421]", state(behind(t, inside)))
	assert.Contains(t, log.String(), "health checks are answered")

	// One that is answered at another path than the balancer asks for: both sides
	// say what the other one does.
	var aside lockedBuffer
	health := healthcheck.Must(healthcheck.New(healthcheck.Config{
		Paths: healthcheck.Paths{Health: "/up"}, Logger: slog.New(slog.NewTextHandler(&aside, nil)),
	}))
	assert.Equal(t, "unhealthy Target.ResponseCodeMismatch Health checks failed with these codes: [421]", state(behind(t, health.Wrap(inside))))
	assert.Contains(t, aside.String(), `probes \"/healthz\", which the application answered with 421`)
	assert.Contains(t, aside.String(), `fix="set its path to /up"`)

	assert.Equal(t, "healthy  ", state(behind(t, enforcing(t, anyHost(t), redirect.Config{}, nil))))
}

// anyHost is knowing without a list of hosts: that is left to the Enforcer.
func anyHost(t *testing.T) *forwarded.Policy {
	t.Helper()
	p, err := forwarded.New(forwarded.Config{Hops: []forwarded.Hop{forwarded.ALB(albtest.Subnets()...)}, Logger: quiet()})
	require.NoError(t, err)
	return p
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
// application redirects to https, for ever. Declared as it is, Lint names the
// line to change, and an unknown scheme redirects nobody. Declared wrongly, it is
// reported at the first request and ends at the second.
func TestStoryNginxTurnsHTTPSIntoHTTP(t *testing.T) {
	s := behind(t, nginx(http.HandlerFunc(naive), false))
	resp, _ := get(t, s.Client(), s.HTTPSURL+"/cart")
	assert.Equal(t, s.HTTPSURL+"/cart", resp.Header.Get("Location"), "the address that was asked for")
	assert.Contains(t, last(t, s).Got, "X-Forwarded-Proto: https\r\n", "the balancer had said so")

	passing := func(h *forwarded.Hop) { h.Proto = forwarded.Passes() }
	t.Run("declared as it is", func(t *testing.T) {
		var log lockedBuffer
		policy := behindNginx(t, func(*forwarded.Hop) {})
		s := behind(t, nginx(enforcing(t, policy, redirect.Config{}, &log), false))
		resp, _ := get(t, s.Client(), s.HTTPSURL+"/cart")
		assert.Equal(t, 200, resp.StatusCode)
		assert.Contains(t, log.String(), "reason=unknown_scheme")
		assert.Contains(t, log.String(), "scheme_reason=scheme_lost")
		require.NotEmpty(t, policy.Lint())
		assert.Equal(t, "nginx", policy.Lint()[0].Hop)
		assert.Contains(t, policy.Lint()[0].Message, "overwrites or drops X-Forwarded-Proto")
	})
	const fix = "have it pass the header on (nginx: proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto)"
	t.Run("declared wrongly", func(t *testing.T) {
		var log lockedBuffer
		s := behind(t, nginx(enforcing(t, behindNginx(t, passing), redirect.Config{}, &log), false))
		resp, _ := get(t, s.Client(), s.HTTPSURL+"/cart")
		assert.Equal(t, s.HTTPSURL+"/cart", resp.Header.Get("Location"))
		assert.Contains(t, log.String(), `msg="redirect: a redirect that may never end" reason=redirected`)
		assert.Contains(t, log.String(), fix)
		require.Len(t, resp.Cookies(), 1)

		req, err := http.NewRequest(http.MethodGet, s.HTTPSURL+"/cart", nil)
		require.NoError(t, err)
		req.AddCookie(resp.Cookies()[0]) // it is Secure, and this is https
		resp, err = s.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, 500, resp.StatusCode)
		assert.Empty(t, resp.Header.Get("Location"))
		assert.Contains(t, log.String(), "reason=loop_broken")
	})
	t.Run("mended as the log says", func(t *testing.T) {
		s := behind(t, nginx(enforcing(t, behindNginx(t, passing), redirect.Config{}, nil), true))
		_, got := get(t, s.Client(), s.HTTPSURL+"/cart")
		assert.Equal(t, "https://www.example.com/cart", got)
		resp, _ := get(t, s.Client(), s.HTTPURL+"/cart")
		assert.Equal(t, "https://www.example.com/cart", resp.Header.Get("Location"))
	})
}

// Balancer, nginx and application can each redirect to https. The log says who
// did; where all of them can, the outermost does, and the others never see a
// request that they would redirect.
func TestStoryALBNginxAndApplicationEachRedirect(t *testing.T) {
	passing := behindNginx(t, func(h *forwarded.Hop) { h.Proto = forwarded.Passes() })
	nginxToo := func(next http.Handler, redirects bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if redirects && r.Header.Get("X-Forwarded-Proto") == "http" {
				w.Header().Set("Server", "nginx")
				naive(w, r)
				return
			}
			nginx(next, true).ServeHTTP(w, r)
		})
	}
	for _, tc := range []struct {
		balancer, nginx bool
		who, app        string // the application's reasons, of both requests
	}{
		{true, false, "awselb/2.0 answered by balancer: 301 -", "passed_https"},
		{false, true, "nginx answered by target: 302 302", "passed_https"},
		{false, false, " answered by target: 301 301", "redirected passed_https"},
		{true, true, "awselb/2.0 answered by balancer: 301 -", "passed_https"},
	} {
		var decided []string
		app := enforcing(t, passing, redirect.Config{OnDecision: func(_ *http.Request, d redirect.Decision) {
			decided = append(decided, d.Reason.String())
		}}, nil)
		cfg := forwarding(map[string]albtest.TargetGroup{"app": {Targets: []albtest.Target{{Handler: nginxToo(app, tc.nginx)}}}})
		if tc.balancer {
			cfg.Listeners[1].Default = albtest.ToHTTPS()
		}
		s := albtest.Start(t, cfg)
		resp, _ := get(t, s.Client(), s.HTTPURL+"/cart?id=1")
		e := last(t, s)
		who := fmt.Sprintf("%s answered by %s: %v %v", resp.Header.Get("Server"), e.AnsweredBy, e.ELBStatusCode, e.TargetStatusCode)
		assert.Equal(t, tc.who, who)
		resp, page := get(t, s.Client(), resp.Header.Get("Location"))
		assert.Equal(t, "200 https://www.example.com/cart?id=1", fmt.Sprint(resp.StatusCode, " ", page), "after one redirect")
		assert.Equal(t, tc.app, strings.Join(decided, " "))
	}
}

// Which port? Clients use 80 and 443, nginx listens on 80, the container on
// 8080 or whatever. None but the client's is told to anybody.
func TestStoryWhichPort(t *testing.T) {
	app := httptest.NewServer(enforcing(t, behindProxy(t), redirect.Config{}, nil))
	defer app.Close()
	p, err := proxy.New(proxy.Config{Upstreams: []string{app.URL}, Policy: knowing(), Logger: quiet()})
	require.NoError(t, err)
	defer func() { assert.NoError(t, p.Shutdown(t.Context())) }()

	for _, port := range []int{80, 8080} {
		s := albtest.Start(t, forwarding(map[string]albtest.TargetGroup{"app": {Port: port, Targets: []albtest.Target{{Handler: p}}}}))
		resp, got := get(t, s.Client(), s.HTTPSURL+"/cart")
		assert.Equal(t, "https://www.example.com/cart", got)
		assert.Empty(t, resp.Header.Get("Location"))
		resp, _ = get(t, s.Client(), s.HTTPURL+"/cart")
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
