package redirect_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// The two ways in: http is sent to https of the same page, https arrives, and nobody has anything to say about it.
func chainWorks(t *testing.T, s *chainService) {
	t.Helper()
	before := s.served.Load()
	resp, _ := chainGet(t, s.Client(), s.HTTPURL+"/cart?id=1")
	assert.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
	assert.Equal(t, "https://"+chainHost+"/cart?id=1", resp.Header.Get("Location"))
	codes, body := chainVisit(t, s.Client(), newChainJar(t), s.HTTPURL+"/cart?id=1", chainBrowserHeader[4:]...)
	assert.Equal(t, []int{301, 200}, codes)
	assert.Equal(t, "https by GET", body)
	resp, body = chainGet(t, s.Client(), s.HTTPSURL+"/cart?id=1", chainBrowserHeader...)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "https by GET", body)
	assert.Equal(t, before+2, s.served.Load())
	assert.Empty(t, s.log.worst())
}

func TestChainALB(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	chainWorks(t, s)
	assert.Equal(t, map[redirect.Reason]uint64{redirect.ReasonRedirected: 2, redirect.ReasonPassedHTTPS: 2}, s.enforcer.Stats())
}

// What clients write about the scheme themselves changes nothing behind a balancer.
func TestChainForgedThroughTheBalancer(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	forged := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Ssl", "on", "Forwarded", "proto=https;host=evil.example",
		"X-Forwarded-Host", "evil.example", "X-Forwarded-For", "10.0.0.1", "X_Forwarded_Proto", "https"}
	resp, _ := chainGet(t, s.Client(), s.HTTPURL+"/", forged...)
	assert.Equal(t, "https://"+chainHost+"/", resp.Header.Get("Location"))
	forged[1] = "http"
	resp, _ = chainGet(t, s.Client(), s.HTTPSURL+"/", forged...)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.EqualValues(t, 1, s.served.Load())
}

func TestChainALBAndOurProxy(t *testing.T) {
	s := &chainService{log: &chainLog{}}
	handler := chainSetup{hops: []forwarded.Hop{forwarded.Proxy(chainNear), chainALB()}}.handler(t, s)
	app := httptest.NewServer(handler)
	defer app.Close()
	front, err := proxy.New(proxy.Config{
		Upstreams: []string{app.URL}, Policy: chainPolicy(t, chainALB()), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, front.Shutdown(t.Context())) }()
	s.Server = albtest.Start(t, albtest.Config{
		TargetGroups: map[string]albtest.TargetGroup{"app": {Targets: []albtest.Target{{Handler: chainAnswersHealth(front)}},
			HealthCheck: albtest.HealthCheck{Path: chainHealth}}},
		Listeners: []albtest.Listener{
			{Port: 443, TLS: &albtest.TLS{}, Default: albtest.ForwardTo("app")},
			{Port: 80, Default: albtest.ForwardTo("app")},
		},
	})
	chainWorks(t, s)
}

// The balancer's own rule redirects first, to a URL with a port; ours never sees http. One redirect, not two.
func TestChainBalancersOwnRule(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Aliases: []string{"example.com"}}, edit: func(cfg *albtest.Config) {
		cfg.Listeners[1].Default = albtest.ToHTTPS()
	}}.start(t)
	codes, _ := chainVisit(t, s.Client(), newChainJar(t), s.HTTPURL+"/cart")
	assert.Equal(t, []int{301, 200}, codes)
	assert.Equal(t, albtest.ByBalancer, s.Log()[0].AnsweredBy)
	codes, _ = chainVisit(t, s.Client(), newChainJar(t), "http://example.com/cart")
	assert.Equal(t, []int{301, 301, 200}, codes, "the balancer's to https, ours to the canonical host")
	assert.Equal(t, map[redirect.Reason]uint64{redirect.ReasonHostRedirected: 1, redirect.ReasonPassedHTTPS: 2}, s.enforcer.Stats())
	assert.Empty(t, s.log.worst())
}

// A proxy in between destroys the scheme, and Hops says that it does not: the first redirect is reported, and the
// second is an error instead.
func TestChainOverwrittenScheme(t *testing.T) {
	chainTries(t, func() {
		s := chainSetup{hops: []forwarded.Hop{chainPassing(forwarded.Nginx(chainNear)), chainALB()}, front: chainOverwrites}.start(t)
		jar := newChainJar(t)
		codes, body := chainVisit(t, s.Client(), jar, s.HTTPSURL+"/cart")
		assert.Equal(t, []int{301, 500}, codes)
		assert.NotContains(t, body, "example")
		assert.Zero(t, s.served.Load())
		suspected := s.log.oneOrAgain(t, slog.LevelWarn, "redirected")
		assert.Contains(t, suspected.text("fix"), `hop 1 ("nginx")`)
		assert.Contains(t, suspected.text("fix"), "$http_x_forwarded_proto")
		assert.Contains(t, suspected.text("signals"), "X-Forwarded-Port")
		broken := s.log.oneOrAgain(t, slog.LevelError, "loop_broken")
		assert.Equal(t, "if clients use https here: "+broken.text("fix"), suspected.text("fix"), "only the second is sure")
		assert.Equal(t, map[redirect.Reason]uint64{
			redirect.ReasonRedirected: 1, redirect.ReasonLoopSuspected: 1, redirect.ReasonLoopBroken: 1,
		}, s.enforcer.Stats())

		codes, _ = chainVisit(t, s.Client(), jar, s.HTTPURL+"/cart") // the same visitor, who typed http this time
		assert.Equal(t, []int{301, 500}, codes)
	})
}

// A real http client of a chain that works never brings the marker back, and neither error nor warning comes of it.
func TestChainMarkerStaysAway(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	jar := newChainJar(t)
	for range 3 {
		codes, _ := chainVisit(t, s.Client(), jar, s.HTTPURL+"/")
		assert.Equal(t, []int{301, 200}, codes)
	}
	resp, _ := chainGet(t, s.Client(), s.HTTPURL+"/")
	require.Len(t, resp.Cookies(), 1)
	marker := resp.Cookies()[0]
	assert.Equal(t, chainMarker, marker.Name)
	assert.True(t, marker.Secure && marker.HttpOnly && marker.Path == "/" && marker.Domain == "" && marker.MaxAge == 60, marker)
	assert.Empty(t, s.log.worst())
}

// Without the marker a loop is reported and never broken; a cookie of that name is one of the application's.
func TestChainWithoutMarker(t *testing.T) {
	chainTries(t, func() {
		s := chainSetup{
			hops: []forwarded.Hop{chainPassing(forwarded.Nginx(chainNear)), chainALB()}, front: chainOverwrites,
			cfg: redirect.Config{NoLoopMarker: true},
		}.start(t)
		resp, _ := chainGet(t, s.Client(), s.HTTPSURL, "Cookie", chainMarker+"=1")
		assert.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
		assert.Empty(t, resp.Cookies())
		s.log.oneOrAgain(t, slog.LevelWarn, "redirected")
	})
}

// Once the chain is mended, a visitor who was in the loop gets the page at once: nothing has kept a redirect.
func TestChainMendedForTheSameVisitor(t *testing.T) {
	jar := newChainJar(t)
	hops := []forwarded.Hop{chainPassing(forwarded.Nginx(chainNear)), chainALB()}
	broken := chainSetup{hops: hops, front: chainOverwrites}.start(t)
	codes, _ := chainVisit(t, broken.Client(), jar, broken.HTTPSURL)
	assert.Equal(t, []int{301, 500}, codes)
	mended := chainSetup{hops: hops, front: chainPasses}.start(t)
	codes, _ = chainVisit(t, mended.Client(), jar, mended.HTTPSURL)
	assert.Equal(t, []int{200}, codes)
	codes, _ = chainVisit(t, mended.Client(), jar, mended.HTTPURL)
	assert.Equal(t, []int{301, 200}, codes)
}

// Declared as it is, the same proxy costs the redirect and nothing else: the scheme is unknown, which is no http.
func TestChainOverwrittenAndDeclared(t *testing.T) {
	s := chainSetup{
		hops: []forwarded.Hop{forwarded.Nginx(chainNear), chainALB()}, front: chainOverwrites,
		cfg: redirect.Config{HSTS: redirect.OneYear},
	}.start(t)
	for _, target := range []string{s.HTTPSURL, s.HTTPURL} {
		resp, body := chainGet(t, s.Client(), target, chainBrowserHeader...)
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "unknown by GET", body)
		assert.Empty(t, resp.Header.Get("Strict-Transport-Security"))
		assert.Empty(t, resp.Cookies())
	}
	assert.Equal(t, "scheme_lost", s.log.one(t, slog.LevelWarn, "unknown_scheme").text("scheme_reason"))
	assert.Equal(t, map[redirect.Reason]uint64{redirect.ReasonUnknownScheme: 2}, s.enforcer.Stats())

	strict := chainSetup{
		hops: []forwarded.Hop{forwarded.Nginx(chainNear), chainALB()}, front: chainOverwrites, cfg: redirect.Config{RefuseUnknown: true},
	}.start(t)
	resp, body := chainGet(t, strict.Client(), strict.HTTPSURL)
	chainNoRedirect(t, resp, body, http.StatusBadRequest)
}

// chainSilent is an NLB with a TLS listener and without PROXY protocol: it ends TLS and says nothing. Its target sees
// the balancer's address, and the headers that the client sent.
func chainSilent(r *http.Request) {
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Amzn-Trace-Id"} {
		r.Header.Del(name)
	}
}

// Nobody says that there was TLS, so http is what everything looks like. The browser tells.
func TestChainNLBWithoutHeaders(t *testing.T) {
	chainTries(t, func() {
		s := chainSetup{hops: []forwarded.Hop{}, front: chainRewrites(chainSilent)}.start(t)
		codes, _ := chainVisit(t, s.Client(), newChainJar(t), s.HTTPSURL, chainBrowserHeader...)
		assert.Equal(t, []int{301, 500}, codes)
		fix := s.log.oneOrAgain(t, slog.LevelWarn, "redirected").text("fix")
		assert.Contains(t, fix, "no header says so")
		assert.Contains(t, fix, "NLBTLS")
		assert.Equal(t, fix, s.log.oneOrAgain(t, slog.LevelError, "loop_broken").text("fix"))

		declared := chainSetup{hops: []forwarded.Hop{chainALB()}, front: chainRewrites(chainSilent)}.start(t)
		resp, body := chainGet(t, declared.Client(), declared.HTTPSURL, chainBrowserHeader...)
		assert.Equal(t, http.StatusOK, resp.StatusCode, "a declared hop that says nothing leaves the scheme unknown")
		assert.Equal(t, "unknown by GET", body)
	})
}

// chainCDN is a CDN in front of the balancer: it ends TLS, takes X-Forwarded-Proto away, and asks the balancer over
// http. A browser reaches it over https, whatever the balancer sees.
func chainCDN(t *testing.T, s *chainService, header ...string) *http.Response {
	t.Helper()
	header = append(header, "X-Forwarded-For", "203.0.113.77")
	resp, _ := chainGet(t, s.ClientFrom(netip.MustParseAddr("130.176.0.9")), s.HTTPURL+"/cart", header...)
	return resp
}

func TestChainCloudFrontOverHTTP(t *testing.T) {
	chainTries(t, func() {
		s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
		resp := chainCDN(t, s, "CloudFront-Forwarded-Proto", "https")
		assert.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
		assert.Contains(t, s.log.oneOrAgain(t, slog.LevelWarn, "redirected").text("fix"), "CloudFront asks hop 1")
		resp = chainCDN(t, s, "CloudFront-Forwarded-Proto", "https", "Cookie", chainMarker+"=1")
		assert.Equal(t, http.StatusInternalServerError, resp.StatusCode)
		s.log.oneOrAgain(t, slog.LevelError, "loop_broken")

		bare := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t) // no origin request policy, but browsers speak
		chainCDN(t, bare, chainBrowserHeader...)
		assert.Contains(t, bare.log.oneOrAgain(t, slog.LevelWarn, "redirected").text("fix"), "in front of hop 1")
	})
}

func TestChainCloudflareFlexible(t *testing.T) {
	chainTries(t, func() {
		s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
		resp := chainCDN(t, s, "CF-Visitor", `{"scheme":"https"}`, "CF-Connecting-IP", "203.0.113.77")
		assert.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
		assert.Contains(t, s.log.oneOrAgain(t, slog.LevelWarn, "redirected").text("fix"), "Full (strict)")
	})
}

// Whoever finds out the address of a target gets no Location, and does not learn which site it is.
func TestChainDirectToTheAddress(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{HSTS: redirect.OneYear}}.start(t)
	for _, target := range []string{"http://10.0.2.10/", "http://[2001:db8::1]/", "http://10.0.2.10:8080/x?y", "http://ec2-1-2-3-4.compute.amazonaws.com/"} {
		resp, body := chainGet(t, s.Direct(albtest.DefaultGroup), target)
		chainNoRedirect(t, resp, body, http.StatusMisdirectedRequest)
		assert.Empty(t, resp.Header.Get("Strict-Transport-Security"))
		assert.Empty(t, resp.Cookies())
	}
	resp, body := chainGet(t, s.Client(), s.HTTPSURL, "Host", "203.0.113.5") // through the balancer
	chainNoRedirect(t, resp, body, http.StatusMisdirectedRequest)
	assert.Empty(t, resp.Header.Get("Strict-Transport-Security"))
	assert.Zero(t, s.served.Load())
	assert.Empty(t, s.log.worst(), "strangers are no alarm")
}

// The balancer's health check asks an address for a page over http. Inside of Wrap it is refused like any scanner;
// the handler outside answers it.
func TestChainHealthCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
		require.NoError(t, s.TargetGroup(albtest.DefaultGroup).WaitHealthy(t.Context()))
		assert.Empty(t, s.enforcer.Stats(), "it must not come as far as that")

		inside := chainSetup{hops: []forwarded.Hop{chainALB()}, edit: func(cfg *albtest.Config) {
			group := cfg.TargetGroups[albtest.DefaultGroup]
			group.HealthCheck.Path = "/"
			cfg.TargetGroups[albtest.DefaultGroup] = group
		}}.start(t)
		time.Sleep(2 * time.Minute)
		health := inside.TargetGroup(albtest.DefaultGroup).Health()
		require.Len(t, health, 1)
		assert.Equal(t, albtest.Unhealthy, health[0].State)
		assert.Equal(t, "Health checks failed with these codes: [421]", health[0].Description)
		assert.Contains(t, inside.log.about(slog.LevelInfo, "ip_host")[0].text("fix"), "healthcheck.Wrap")
	})
}

// The balancer sends www to the bare domain, and the service the bare domain to www.
func TestChainTwoHostRules(t *testing.T) {
	chainTries(t, func() {
		s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Aliases: []string{"example.com"}}, edit: func(cfg *albtest.Config) {
			cfg.Listeners[0].Rules = []albtest.Rule{{
				Priority: 1, Conditions: []albtest.Condition{albtest.HostHeader{chainHost}}, Action: albtest.Redirect{Host: "example.com"},
			}}
		}}.start(t)
		codes, _ := chainVisit(t, s.Client(), newChainJar(t), s.HTTPSURL)
		assert.Equal(t, []int{301, 301, 301, 301, 301, 301, 301, 301, 301, 301}, codes)
		line := s.log.oneOrAgain(t, slog.LevelWarn, "host_redirected")
		assert.Contains(t, line.text("fix"), "another layer redirects the canonical host back")
		assert.Equal(t, map[redirect.Reason]uint64{redirect.ReasonHostRedirected: 5, redirect.ReasonLoopSuspected: 1}, s.enforcer.Stats())
	})
}

// Past the balancer everything can be forged. It counts as what it is: plain http.
func TestChainForgedPastTheBalancer(t *testing.T) {
	chainTries(t, func() {
		s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{HSTS: redirect.OneYear}}.start(t)
		forged := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Port", "443", "X-Forwarded-For", "10.0.0.7", "X-Forwarded-Host", "evil.example"}
		resp, _ := chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL+"/x", forged...)
		assert.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
		assert.Equal(t, "https://"+chainHost+"/x", resp.Header.Get("Location"))
		assert.Empty(t, resp.Header.Get("Strict-Transport-Security"))
		assert.Contains(t, s.log.oneOrAgain(t, slog.LevelWarn, "redirected").text("fix"), `"198.51.100.0/24"`)
		assert.Zero(t, s.served.Load())

		strict := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{RequireProxy: true}}.start(t)
		resp, body := chainGet(t, strict.Direct(albtest.DefaultGroup), strict.HTTPURL+"/x", forged...)
		chainNoRedirect(t, resp, body, http.StatusMisdirectedRequest)
		strict.log.oneOrAgain(t, slog.LevelWarn, "direct_access")
		chainWorksExceptLog(t, strict)
	})
}

// Through some of the declared hops is not through all of them.
func TestChainPastTheOuterHop(t *testing.T) {
	s := chainSetup{
		hops: []forwarded.Hop{chainPassing(forwarded.Nginx(chainNear)), chainALB()}, front: chainPasses, cfg: redirect.Config{RequireProxy: true},
	}.start(t)
	resp, body := chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL, "X-Forwarded-Proto", "https")
	chainNoRedirect(t, resp, body, http.StatusMisdirectedRequest)
	s.log.one(t, slog.LevelWarn, "direct_access")
	chainWorksExceptLog(t, s)
}

// chainWorksExceptLog is for services that have had something to warn about before.
func chainWorksExceptLog(t *testing.T, s *chainService) {
	t.Helper()
	codes, body := chainVisit(t, s.Client(), newChainJar(t), s.HTTPURL+"/cart")
	assert.Equal(t, []int{301, 200}, codes)
	assert.Equal(t, "https by GET", body)
}

// Without a policy around it, an Enforcer neither believes what headers say nor takes the socket's word for it.
func TestChainWithoutPolicy(t *testing.T) {
	s := chainSetup{cfg: redirect.Config{HSTS: redirect.OneYear}}.start(t)
	chainNobodyJudged(t, s)
	resp, _ := chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL+"/x")
	assert.Equal(t, "https://"+chainHost+"/x", resp.Header.Get("Location"), "without such headers the socket is right")

	refusing := chainSetup{cfg: redirect.Config{RefuseUnknown: true}}.start(t)
	resp, body := chainGet(t, refusing.Client(), refusing.HTTPSURL)
	chainNoRedirect(t, resp, body, http.StatusBadRequest)

	resolving := chainSetup{cfg: redirect.Config{Policy: chainPolicy(t, chainALB())}}.start(t)
	chainWorksWithoutInfo(t, resolving)
}

// chainNobodyJudged: both schemes pass, loudly and without HSTS.
func chainNobodyJudged(t *testing.T, s *chainService) {
	t.Helper()
	for _, target := range []string{s.HTTPSURL, s.HTTPURL} {
		codes, _ := chainVisit(t, s.Client(), newChainJar(t), target, chainBrowserHeader...)
		assert.Equal(t, []int{200}, codes)
		resp, _ := chainGet(t, s.Client(), target)
		assert.Empty(t, resp.Header.Get("Strict-Transport-Security"))
	}
	line := s.log.one(t, slog.LevelError, "no_policy")
	assert.Contains(t, line.Message, "forwarded.Wrap is missing or inside")
	assert.NotEmpty(t, line.text("fix"))
	assert.EqualValues(t, 4, s.enforcer.Stats()[redirect.ReasonNoPolicy])
	assert.EqualValues(t, 4, s.enforcer.Stats()[redirect.ReasonUnknownScheme])
}

// chainWorksWithoutInfo is chainWorks where the application does not get an Info.
func chainWorksWithoutInfo(t *testing.T, s *chainService) {
	t.Helper()
	codes, _ := chainVisit(t, s.Client(), newChainJar(t), s.HTTPURL+"/cart")
	assert.Equal(t, []int{301, 200}, codes)
	resp, _ := chainGet(t, s.Client(), s.HTTPSURL, chainBrowserHeader...)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Empty(t, s.log.worst())
}

// The policy inside of the Enforcer comes too late.
func TestChainPolicyInside(t *testing.T) {
	s := chainSetup{}.start(t)
	inside := s.enforcer.Wrap(chainPolicy(t, chainALB()).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	s.Server = albtest.Start(t, albtest.Config{
		InMemory: true,
		TargetGroups: map[string]albtest.TargetGroup{albtest.DefaultGroup: {
			Targets:     []albtest.Target{{Handler: chainAnswersHealth(inside)}},
			HealthCheck: albtest.HealthCheck{Path: chainHealth},
		}},
		Listeners: []albtest.Listener{
			{Port: 443, TLS: &albtest.TLS{}, Default: albtest.ForwardTo(albtest.DefaultGroup)},
			{Port: 80, Default: albtest.ForwardTo(albtest.DefaultGroup)},
		},
	})
	chainNobodyJudged(t, s)
}

// Neither a chain nor a probe leaves a goroutine behind.
func TestChainLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("loop", TestChainOverwrittenScheme)
	t.Run("proxy", TestChainALBAndOurProxy)
	t.Run("probe", TestProbeConcurrently)
	t.Run("transport", TestProbeOwnTransport)
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before)
}
