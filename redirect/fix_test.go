package redirect_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// A chainFix is one sentence of the log, tried: a set-up that is broken in the way it is about, and what becomes of it
// when the operator does what it says.
type chainFix struct {
	name   string
	broken chainSetup
	ask    func(*testing.T, *chainService) // makes it speak; nil: chainAsksHTTPS
	level  slog.Level
	reason string
	says   []string // what the sentence must say for the mended set-up to be what it asks for
	mended chainSetup
	works  func(*testing.T, *chainService) // nil: chainWorks
}

func (f chainFix) try(t *testing.T) {
	if f.ask == nil {
		f.ask = chainAsksHTTPS
	}
	chainTries(t, func() {
		broken := f.broken.start(t)
		f.ask(t, broken)
		fix := broken.log.oneOrAgain(t, f.level, f.reason).text("fix")
		for _, part := range f.says {
			assert.Contains(t, fix, part)
		}
	})
	if f.works == nil {
		f.works = chainWorks
	}
	f.works(t, f.mended.start(t))
}

func chainAsksHTTPS(t *testing.T, s *chainService) {
	t.Helper()
	chainGet(t, s.Client(), s.HTTPSURL+"/cart", chainBrowserHeader...)
}

func chainAsks(target string, header ...string) func(*testing.T, *chainService) {
	return func(t *testing.T, s *chainService) {
		t.Helper()
		chainGet(t, s.Client(), target, header...)
	}
}

// chainServes: these answer 200 and nobody warns.
func chainServes(targets ...string) func(*testing.T, *chainService) {
	return func(t *testing.T, s *chainService) {
		t.Helper()
		for _, target := range targets {
			codes, _ := chainVisit(t, s.Client(), newChainJar(t), target)
			assert.Equal(t, 200, codes[len(codes)-1], "%s: %v", target, codes)
		}
		assert.Empty(t, s.log.worst())
	}
}

func TestFixHosts(t *testing.T) {
	alb := []forwarded.Hop{chainALB()}
	replacing := chainPassing(forwarded.Nginx(chainNear))
	replacing.ReplacesHost = true
	replaces := func(next http.Handler) http.Handler {
		return chainRewrites(func(r *http.Request) { r.Host = "app:8080" })(chainPasses(next))
	}
	for _, f := range []chainFix{
		{
			name: "an alias", broken: chainSetup{hops: alb}, ask: chainAsks("https://shop.example.com/"),
			level: slog.LevelInfo, reason: "unknown_host", says: []string{"add it to Aliases"},
			mended: chainSetup{hops: alb, cfg: redirect.Config{Aliases: []string{"shop.example.com"}}},
			works:  chainServes("https://shop.example.com/", "http://shop.example.com/"),
		},
		{
			name: "a plain host", broken: chainSetup{hops: alb}, ask: chainAsks("http://orders.internal/"),
			level: slog.LevelInfo, reason: "unknown_host", says: []string{"PlainHosts"},
			mended: chainSetup{hops: alb, cfg: redirect.Config{PlainHosts: []string{"orders.internal"}}},
			works:  chainServes("https://orders.internal/", "http://orders.internal/"),
		},
		{
			name: "an address", broken: chainSetup{hops: alb}, ask: chainAsks("http://10.0.2.10/"),
			level: slog.LevelInfo, reason: "ip_host", says: []string{"a name from PlainHosts"},
			mended: chainSetup{hops: alb, cfg: redirect.Config{PlainHosts: []string{"orders.internal"}}},
			works:  chainServes("http://orders.internal/"),
		},
		{
			name: "a replaced host", broken: chainSetup{hops: []forwarded.Hop{replacing, chainALB()}, front: replaces},
			level: slog.LevelWarn, reason: "host_lost", says: []string{"pass the client's Host", "ReplacesHost: false"},
			mended: chainSetup{hops: []forwarded.Hop{chainPassing(forwarded.Nginx(chainNear)), chainALB()}, front: chainPasses},
		},
		{
			name:   "an undeclared network",
			broken: chainSetup{hops: []forwarded.Hop{forwarded.ALB("10.9.0.0/24")}, cfg: redirect.Config{RequireProxy: true}},
			level:  slog.LevelWarn, reason: "direct_access", says: []string{"declare the peer's network"},
			mended: chainSetup{hops: alb, cfg: redirect.Config{RequireProxy: true}},
		},
	} {
		t.Run(f.name, f.try)
	}
}

// chainSets is a proxy that sets a header on the way, beside X-Forwarded-For.
func chainSets(name, value string) func(http.Handler) http.Handler {
	return chainProxy(func(h http.Header) { h.Set(name, value) })
}

// chainOnly is a single proxy in front: what the balancer wrote is gone, and so is all trace of it but the scheme,
// which only the proxy knows.
func chainOnly(say func(h http.Header, scheme string)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out := r.Clone(r.Context())
			scheme := out.Header.Get("X-Forwarded-Proto")
			out.RemoteAddr = chainNear + ":4711"
			chainSilent(out)
			out.Header.Set("X-Forwarded-For", "203.0.113.10")
			say(out.Header, scheme)
			next.ServeHTTP(w, out)
		})
	}
}

func chainSaysNothing(http.Header, string) {}

func chainSaysProto(h http.Header, scheme string) { h.Set("X-Forwarded-Proto", scheme) }

// Sentences for schemes that are unknown or contradict themselves.
func TestFixSchemes(t *testing.T) {
	near := chainPassing(forwarded.Nginx(chainNear))
	both := []forwarded.Hop{near, chainALB()}
	one := []forwarded.Hop{forwarded.Trusted(chainNear)}
	proto := chainSetup{hops: one, front: chainOnly(chainSaysProto)}
	withFor := func(rule forwarded.Rule) []forwarded.Hop {
		hop := forwarded.Trusted(chainNear)
		hop.For = rule
		return []forwarded.Hop{hop}
	}
	writing := func(value string) func(http.Header, string) {
		return func(h http.Header, scheme string) {
			h.Set("X-Forwarded-Proto", scheme)
			h.Set("X-Forwarded-For", value)
		}
	}
	named := forwarded.Trusted(chainNear)
	named.Proto = forwarded.Sets("X-Scheme")
	blind := chainPassing(forwarded.NginxPassing(chainNear))
	blind.ReplacesHost = false
	secret := chainALB()
	secret.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{"a secret of sixteen bytes"}}
	realIP := chainRewrites(func(r *http.Request) { r.RemoteAddr = "203.0.113.9" })
	own := func(info forwarded.Info) func(http.Handler) http.Handler {
		return chainRewrites(func(r *http.Request) { *r = *r.WithContext(forwarded.NewContext(r.Context(), info)) })
	}
	conflict := forwarded.Info{Status: forwarded.StatusForwarded, Host: chainHost, SchemeReason: forwarded.ReasonConflict}
	decided := forwarded.Info{Status: forwarded.StatusForwarded, Host: chainHost, Scheme: forwarded.HTTPS}

	const unknown, bad = "unknown_scheme", "bad_scheme"
	for _, f := range []chainFix{
		{
			name: "scheme_lost", broken: chainSetup{hops: []forwarded.Hop{forwarded.Nginx(chainNear), chainALB()}, front: chainOverwrites},
			reason: unknown, says: []string{"$http_x_forwarded_proto", "Proto: Passes()"}, mended: chainSetup{hops: both, front: chainPasses},
		},
		{
			name: "scheme_missing", broken: chainSetup{hops: one, front: chainOnly(chainSaysNothing)},
			reason: unknown, says: []string{"have the outermost proxy send X-Forwarded-Proto"}, mended: proto,
		},
		{
			name: "scheme_missing, another header", broken: chainSetup{hops: one, front: chainOnly(func(h http.Header, scheme string) { h.Set("X-Scheme", scheme) })},
			reason: unknown, says: []string{"declare the header in which it says the scheme"},
			mended: chainSetup{hops: []forwarded.Hop{named}, front: chainOnly(func(h http.Header, scheme string) { h.Set("X-Scheme", scheme) })},
		},
		{
			name: "not_visible", broken: chainSetup{hops: []forwarded.Hop{blind, chainALB()}, front: chainRewrites(func(r *http.Request) { r.RemoteAddr = chainNear + ":1" })},
			reason: unknown, says: []string{"have the hops write the client's address"}, mended: chainSetup{hops: both, front: chainPasses},
		},
		{
			name: "skipped_hop", broken: chainSetup{hops: both},
			reason: unknown, says: []string{"remove the skipped hop from Hops"}, mended: chainSetup{hops: both[1:]},
		},
		{
			name: "skipped_hop, there is a way past it", broken: chainSetup{hops: both},
			reason: unknown, says: []string{"let only the innermost proxy reach this port"}, mended: chainSetup{hops: both, front: chainPasses},
		},
		{
			name: "bad_peer", broken: chainSetup{hops: both[1:], front: realIP},
			reason: unknown, says: []string{"changes RemoteAddr; put forwarded.Policy.Wrap outside of it"}, mended: chainSetup{hops: both[1:], inner: realIP},
		},
		{
			name: "obfuscated", broken: chainSetup{hops: both, front: chainSets("X-Forwarded-For", "203.0.113.10, unknown")},
			reason: unknown, says: []string{"have the proxy write the client's address"}, mended: chainSetup{hops: both, front: chainPasses},
		},
		{
			name: "bad_proto", broken: chainSetup{hops: one, front: chainOnly(func(h http.Header, _ string) { h.Set("X-Forwarded-Proto", "secure") })},
			reason: bad, says: []string{"something else than http or https"}, mended: proto,
		},
		{
			name: "mismatch", broken: chainSetup{hops: withFor(forwarded.Sets("X-Forwarded-For")), front: chainOnly(writing("198.51.100.4, 203.0.113.10"))},
			reason: bad, says: []string{"fewer or more entries than Hops says"},
			mended: chainSetup{hops: withFor(forwarded.Appends("X-Forwarded-For")), front: chainOnly(writing("198.51.100.4, 203.0.113.10"))},
		},
		{
			name: "malformed", broken: chainSetup{hops: one, front: chainOnly(writing("the client"))},
			reason: bad, says: []string{"something that is no address"}, mended: proto,
		},
		{
			name: "too_long", broken: chainSetup{hops: one, front: chainOnly(writing(strings.Repeat(" ,", 3000)))},
			reason: bad, says: []string{"have the hop write fewer entries"}, mended: proto,
		},
		{
			name: "conflict", broken: chainSetup{front: own(conflict)},
			reason: bad, says: []string{"declare the one that is right"}, mended: chainSetup{front: own(decided)}, works: chainServes("https://" + chainHost),
		},
		{
			name: "bad_secret", broken: chainSetup{hops: []forwarded.Hop{secret}},
			reason: bad, says: []string{"have the proxy send the secret header"},
			mended: chainSetup{hops: []forwarded.Hop{secret}, front: chainRewrites(func(r *http.Request) { r.Header.Set("X-Origin-Secret", secret.Secret.Values[0]) })},
		},
	} {
		f.level = slog.LevelWarn
		t.Run(f.name, f.try)
	}
}

func TestFixNoPolicy(t *testing.T) {
	for _, f := range []chainFix{
		{name: "around", says: []string{"put forwarded.Policy.Wrap around this handler"}, mended: chainSetup{hops: []forwarded.Hop{chainALB()}}},
		{
			name: "in the Config", says: []string{"or set Config.Policy"},
			mended: chainSetup{cfg: redirect.Config{Policy: chainPolicy(t, chainALB())}}, works: chainWorksWithoutInfo,
		},
	} {
		f.level, f.reason = slog.LevelError, "no_policy"
		t.Run(f.name, f.try)
	}
}

// The hop says nothing: of a health check, which is meant, and of every visitor where the hop is a balancer that ends
// TLS below HTTP. Both sentences stand in the one that is logged, and both are right.
func TestFixLocal(t *testing.T) {
	silent := chainSetup{hops: []forwarded.Hop{chainALB()}, front: chainRewrites(chainSilent)}
	for _, f := range []chainFix{
		{
			name: "a health check by name", broken: silent, says: []string{"healthcheck.Wrap around this handler"},
			ask:    chainAsks("http://" + chainHost + "/"),
			mended: silent, works: chainServes("http://" + chainHost + chainHealth),
		},
		{name: "visitors", broken: silent, says: []string{"NLBTLS"}, mended: chainSetup{hops: []forwarded.Hop{forwarded.NLBTLS(albtest.Subnets()...)}, front: chainPROXY}},
	} {
		f.level, f.reason = slog.LevelWarn, "unknown_scheme"
		t.Run(f.name, f.try)
	}
}

// chainPROXY is an NLB that ends TLS and sends the PROXY protocol: the client and the port that it connected to are in
// the connection's own address, and no header says anything.
func chainPROXY(next http.Handler) http.Handler {
	return chainRewrites(func(r *http.Request) {
		port := uint16(80)
		if r.Header.Get("X-Forwarded-Proto") == "https" {
			port = 443
		}
		chainSilent(r)
		peer := netip.MustParseAddrPort(r.RemoteAddr)
		addr := chainTransport{Addr: &net.TCPAddr{}, transport: forwarded.Transport{
			Peer: peer, Source: netip.MustParseAddrPort("203.0.113.10:5678"), Destination: netip.AddrPortFrom(peer.Addr(), port),
		}}
		*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
	})(next)
}

type chainTransport struct {
	net.Addr
	transport forwarded.Transport
}

func (a chainTransport) Transport() forwarded.Transport { return a.transport }

// What the log proposes to declare is declared letter by letter.
var (
	chainProposal     = regexp.MustCompile(`forwarded\.(\w+)\("([^"]+)"\)`)
	chainProposedRule = regexp.MustCompile(`with (For and )?Proto: (\w+)\("([^"]+)"\)`)
)

func chainDeclared(t *testing.T, fix string) forwarded.Hop {
	t.Helper()
	parts := chainProposal.FindStringSubmatch(fix)
	require.NotNil(t, parts, fix)
	presets := map[string]func(...string) forwarded.Hop{
		"ALB": forwarded.ALB, "Cloudflare": forwarded.Cloudflare, "CloudFront": forwarded.CloudFront, "Trusted": forwarded.Trusted,
	}
	require.Contains(t, presets, parts[1])
	return presets[parts[1]](parts[2])
}

// The peer is a proxy that nobody has declared.
func TestFixUndeclared(t *testing.T) {
	oneNode := func(cfg *albtest.Config) { cfg.Nodes = []netip.Addr{netip.MustParseAddr("10.0.1.7")} }
	from := func(peer string, say func(http.Header, string)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return chainOnly(say)(chainRewrites(func(r *http.Request) { r.RemoteAddr = peer })(next))
		}
	}
	unix := func(next http.Handler) http.Handler {
		return chainOnly(chainSaysProto)(chainRewrites(func(r *http.Request) {
			r.RemoteAddr = "@"
			local := &net.UnixAddr{Name: "/run/app.sock", Net: "unix"}
			*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local)))
		})(next))
	}
	cloudflare := func(h http.Header, scheme string) {
		h.Set("X-Forwarded-Proto", scheme)
		h.Set("CF-Visitor", `{"scheme":"`+scheme+`"}`)
		h.Set("CF-Connecting-IP", "203.0.113.10")
	}
	for _, test := range []struct {
		name, preset, network string
		setup                 chainSetup
	}{
		{"balancer", "alb", "10.0.1.0/24", chainSetup{edit: oneNode}},
		{"CDN", "cloudflare", "198.51.100.0/24", chainSetup{front: from("198.51.100.7:4711", cloudflare)}},
		{"proxy", "trusted", "192.0.2.0/24", chainSetup{front: from("192.0.2.7:4711", chainSaysProto)}},
		{"IPv6", "trusted", "2001:db8:7::/48", chainSetup{front: from("[2001:db8:7::9]:4711", chainSaysProto)}},
		{"unix", "trusted", "unix", chainSetup{front: unix}},
	} {
		t.Run(test.name, func(t *testing.T) {
			chainTries(t, func() {
				test.setup.hops = []forwarded.Hop{}
				broken := test.setup.start(t)
				chainAsksHTTPS(t, broken)
				hop := chainDeclared(t, broken.log.oneOrAgain(t, slog.LevelWarn, "redirected").text("fix"))
				assert.Equal(t, []string{test.network}, hop.From)
				assert.Equal(t, test.preset, strings.ToLower(hop.Name))
				test.setup.hops = []forwarded.Hop{hop}
				chainWorks(t, test.setup.start(t))
			})
		})
	}
}

// Proxies that say the scheme in a header of their own: if the log proposes a declaration, that has to understand it.
func TestFixUndeclaredInOtherWords(t *testing.T) {
	for name, value := range map[string]string{
		"X-Forwarded-Scheme": "https", "X-Url-Scheme": "https", "X-Scheme": "https", "CloudFront-Forwarded-Proto": "https",
		"Forwarded": "for=203.0.113.10;proto=https", "X-Forwarded-Port": "443",
		"X-Forwarded-Ssl": "on", "Front-End-Https": "on", "X-Arr-Ssl": "2048|256|CN=ca|CN=" + chainHost,
	} {
		t.Run(name, func(t *testing.T) {
			chainTries(t, func() {
				says := func(h http.Header, scheme string) {
					if scheme == "https" {
						h.Set(name, value)
					}
				}
				setup := chainSetup{hops: []forwarded.Hop{}, front: chainOnly(says)}
				broken := setup.start(t)
				chainAsksHTTPS(t, broken)
				fix := broken.log.oneOrAgain(t, slog.LevelWarn, "redirected").text("fix")
				assert.Contains(t, fix, name)
				hop := chainDeclared(t, fix)
				if rule := chainProposedRule.FindStringSubmatch(fix); rule != nil {
					require.NoError(t, hop.Proto.UnmarshalText([]byte(strings.ToLower(rule[2])+":"+rule[3])))
					if rule[1] != "" {
						hop.For = hop.Proto
					}
				} else {
					assert.Contains(t, fix, "have it send X-Forwarded-Proto too")
					setup.front = chainOnly(chainSaysProto)
				}
				setup.hops = []forwarded.Hop{hop}
				mended := setup.start(t)
				resp, body := chainGet(t, mended.Client(), mended.HTTPSURL, chainBrowserHeader...)
				assert.Equal(t, http.StatusOK, resp.StatusCode)
				assert.Equal(t, "https by GET", body, "after what this says: %s", fix)
			})
		})
	}
}

// No header says anything, and no hop is declared.
func TestFixNothingSaid(t *testing.T) {
	silent := chainSetup{hops: []forwarded.Hop{}, front: chainRewrites(chainSilent)}
	for _, f := range []chainFix{
		{name: "another balancer", says: []string{"use a balancer that sends X-Forwarded-Proto and declare it"}, mended: chainSetup{hops: []forwarded.Hop{chainALB()}}},
		{
			name: "PROXY protocol", says: []string{"PROXY protocol with forwarded.NLBTLS"},
			mended: chainSetup{hops: []forwarded.Hop{forwarded.NLBTLS(albtest.Subnets()...)}, front: chainPROXY},
		},
	} {
		f.broken, f.level, f.reason = silent, slog.LevelWarn, "redirected"
		t.Run(f.name, f.try)
	}
}

// chainFromCDN asks through a CDN, which asks the balancer over http or https.
func chainFromCDN(scheme string, header ...string) func(*testing.T, *chainService) {
	return func(t *testing.T, s *chainService) {
		t.Helper()
		target, cdn := s.HTTPURL, s.ClientFrom(chainEdge)
		if scheme == "https" {
			target = s.HTTPSURL
		}
		header := append([]string{"X-Forwarded-For", "203.0.113.77"}, header...)
		resp, body := chainGet(t, cdn, target, header...)
		t.Log(resp.Status, body)
		if scheme == "https" {
			chainServed(t, s, resp, body)
		}
	}
}

// chainServed: visitors got their page, as https, and nobody warned.
func chainServed(t *testing.T, s *chainService, resp *http.Response, body string) {
	t.Helper()
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "https by GET", body)
	assert.Empty(t, s.log.worst())
}

// chainEdge is one of CloudFront's published addresses.
var chainEdge = netip.MustParseAddr("130.176.0.9")

// A CDN in front of the balancer ends TLS and asks it over http.
func TestFixCDN(t *testing.T) {
	alb := chainSetup{hops: []forwarded.Hop{chainALB()}}
	cdn := forwarded.Hop{Name: "cdn", From: []string{chainEdge.String()}, For: forwarded.Appends("X-Forwarded-For"), Proto: forwarded.Sets("X-Cdn-Proto")}
	front := forwarded.CloudFront()
	front.Proto = forwarded.Sets("CloudFront-Forwarded-Proto")
	forwarding := front
	forwarding.ReplacesHost = false
	declared := func(hop forwarded.Hop, header string) (chainSetup, func(*testing.T, *chainService)) {
		return chainSetup{hops: []forwarded.Hop{chainALB(), hop}}, func(t *testing.T, s *chainService) {
			resp, body := chainGet(t, s.ClientFrom(chainEdge), s.HTTPURL, append([]string{header, "https", "X-Forwarded-For", "203.0.113.77"}, chainBrowserHeader...)...)
			chainServed(t, s, resp, body)
			resp, _ = chainGet(t, s.ClientFrom(chainEdge), s.HTTPURL, header, "http", "X-Forwarded-For", "203.0.113.77")
			assert.Equal(t, "https://"+chainHost+"/", resp.Header.Get("Location"))
		}
	}
	asCloudFront, cloudFrontWorks := declared(forwarding, "CloudFront-Forwarded-Proto")
	asCDN, cdnWorks := declared(cdn, "X-Cdn-Proto")
	cloudFront := []string{"CloudFront-Forwarded-Proto", "https"}
	visitor := []string{"CF-Visitor", `{"scheme":"https"}`}
	for _, f := range []chainFix{
		{
			name: "CloudFront over https", ask: chainFromCDN("http", cloudFront...), says: []string{"CloudFront asks hop 1", "have it ask over https"},
			mended: alb, works: chainFromCDN("https", cloudFront...),
		},
		{
			name: "CloudFront declared", ask: chainFromCDN("http", cloudFront...),
			says:   []string{`CloudFront() with Proto: Sets("CloudFront-Forwarded-Proto")`, "ReplacesHost: false"}, // it did forward Host, or this had been host_lost
			mended: asCloudFront, works: cloudFrontWorks,
		},
		{
			name: "Cloudflare", ask: chainFromCDN("http", visitor...), says: []string{"Full (strict)"},
			mended: alb, works: chainFromCDN("https", visitor...),
		},
		{
			name: "silent, over https", ask: chainFromCDN("http", chainBrowserHeader...), says: []string{"a proxy in front of hop 1", "have it ask over https"},
			mended: alb, works: chainFromCDN("https", chainBrowserHeader...),
		},
		{
			name: "silent, declared", ask: chainFromCDN("http", chainBrowserHeader...), says: []string{"declare it in Hops after hop 1", "with the header in which it says the scheme"},
			mended: asCDN, works: cdnWorks,
		},
		{
			name: "in a header that a balancer passes", ask: chainFromCDN("http", "X-Forwarded-Ssl", "on"), // no ALB can be told to pass X-Forwarded-Proto
			says: []string{"X-Forwarded-Ssl", "ask", "over https"}, mended: alb, works: chainFromCDN("https", "X-Forwarded-Ssl", "on"),
		},
	} {
		f.broken, f.level, f.reason = alb, slog.LevelWarn, "redirected"
		t.Run(f.name, f.try)
	}
}

// A proxy behind the balancer writes its own scheme.
func TestFixOverwriting(t *testing.T) {
	both := []forwarded.Hop{chainPassing(forwarded.Nginx(chainNear)), chainALB()}
	for _, f := range []chainFix{
		{
			name: "declared as passing", broken: chainSetup{hops: both, front: chainOverwrites},
			says:   []string{`hop 1 ("nginx")`, "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto", "as Hops says that it does"},
			mended: chainSetup{hops: both, front: chainPasses},
		},
		{
			name: "the balancer undeclared", broken: chainSetup{hops: []forwarded.Hop{forwarded.Nginx(chainNear)}, front: chainOverwrites},
			says:   []string{`hop 1 ("nginx")`, "X-Forwarded-Port", "pass X-Forwarded-Proto on", "Proto: Passes()", "declare the proxy that ends TLS after it"},
			mended: chainSetup{hops: both, front: chainPasses},
		},
	} {
		f.level, f.reason = slog.LevelWarn, "redirected"
		t.Run(f.name, f.try)
	}
}

// Two layers redirect each other's host, or one client goes round without a sign.
func TestFixCircles(t *testing.T) {
	again := func(target string) func(*testing.T, *chainService) {
		return func(t *testing.T, s *chainService) {
			for range 6 {
				chainGet(t, s.Client(), target)
			}
		}
	}
	hostRule := func(cfg *albtest.Config) {
		cfg.Listeners[0].Rules = []albtest.Rule{{
			Priority: 1, Conditions: []albtest.Condition{albtest.HostHeader{chainHost}}, Action: albtest.Redirect{Host: "example.com"},
		}}
	}
	aliased := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Aliases: []string{"example.com"}}}
	fighting := aliased
	fighting.edit = hostRule
	silent := chainSetup{hops: []forwarded.Hop{}, front: chainRewrites(chainSilent)}
	for _, f := range []chainFix{
		{
			name: "hosts", broken: fighting, reason: "host_redirected", ask: again("https://example.com/"),
			says: []string{"remove the host rule of the balancer"}, mended: aliased,
			works: chainServes("https://"+chainHost, "https://example.com", "http://example.com"),
		},
		{
			name: "scheme", broken: silent, reason: "redirected", ask: again("https://" + chainHost),
			says: []string{"a proxy ends TLS and no header says so"}, mended: chainSetup{hops: []forwarded.Hop{chainALB()}},
		},
	} {
		f.level = slog.LevelWarn
		t.Run(f.name, f.try)
	}
}

// One https request is proof enough, and nothing else had to change.
func TestFixNoProof(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{RefuseWithoutProof: true}}.start(t)
	resp, body := chainGet(t, s.Client(), s.HTTPURL)
	chainNoRedirect(t, resp, body, http.StatusServiceUnavailable)
	assert.Contains(t, s.log.one(t, slog.LevelWarn, "no_proof").text("fix"), "one https request through a declared hop is proof")
	chainGet(t, s.Client(), s.HTTPSURL)
	resp, _ = chainGet(t, s.Client(), s.HTTPURL)
	assert.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
}

func TestFixCredentials(t *testing.T) {
	chainTries(t, func() {
		secret := []string{"Authorization", "Bearer abc"}
		for _, cfg := range []redirect.Config{{}, {RefuseUnsafe: true}} {
			reason := map[bool]string{false: "preserved", true: "unsafe_refused"}[cfg.RefuseUnsafe]
			s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: cfg}.start(t)
			chainAsk(t, s.Client(), http.MethodPost, s.HTTPURL, secret...)
			line := s.log.oneOrAgain(t, slog.LevelWarn, reason)
			assert.Contains(t, line.text("fix"), "have the client use https from the start, and revoke")
			assert.NotContains(t, line.all(), "abc")
			resp, _ := chainAsk(t, s.Client(), http.MethodPost, s.HTTPSURL, secret...)
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.Len(t, s.log.worst(), 1)
		}
	})
}

// Browsers follow no redirect of a WebSocket. The sentence is for the client's author, so it is not logged.
func TestFixWebSocket(t *testing.T) {
	var fixes []string
	s := chainSetup{
		hops: []forwarded.Hop{chainALB()},
		cfg:  redirect.Config{OnDecision: func(_ *http.Request, d redirect.Decision) { fixes = append(fixes, d.Fix) }},
		edit: func(cfg *albtest.Config) { cfg.Attributes.DisableHTTP2 = true },
	}.start(t)
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	resp, body := chainGet(t, s.Client(), s.HTTPURL, upgrade...)
	chainNoRedirect(t, resp, body, http.StatusForbidden)
	assert.Contains(t, fixes[0], "wss://")
	chainGet(t, s.Client(), s.HTTPSURL, upgrade...)
	assert.EqualValues(t, 1, s.served.Load())
	assert.Equal(t, []string{fixes[0], ""}, fixes)
}

// What New warns about, and that doing what it says ends it.
func TestFixHSTSOnAnotherPort(t *testing.T) {
	warnings := func(cfg redirect.Config) []chainLine {
		log := &chainLog{}
		cfg.Canonical, cfg.HTTPSPort, cfg.Logger = chainHost, 8443, slog.New(log)
		redirect.Must(redirect.New(cfg))
		return log.worst()
	}
	lines := warnings(redirect.Config{HSTS: redirect.OneHour})
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0].text("fix"), "leave HSTS zero")
	assert.Empty(t, warnings(redirect.Config{}))
}

// Past the balancer, at the proxy behind it, nobody has said a scheme. That is no mistake of the proxy's.
func TestFixPastTheOuterHop(t *testing.T) {
	near := forwarded.Nginx(chainNear)
	s := chainSetup{hops: []forwarded.Hop{chainPassing(near), chainALB()}, front: chainPasses}.start(t)
	resp, _ := chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	fix := s.log.one(t, slog.LevelWarn, "unknown_scheme").text("fix")
	assert.Contains(t, fix, "nothing, if a stranger went past the outermost hop")
	assert.Contains(t, fix, "if that hop is gone, take it out of Hops")
	chainWorksExceptLog(t, s)

	alone := chainSetup{hops: []forwarded.Hop{near}, front: chainOverwrites}.start(t) // the balancer is gone, and taken out
	resp, _ = chainGet(t, alone.Direct(albtest.DefaultGroup), alone.HTTPURL)
	assert.Equal(t, "https://"+chainHost+"/", resp.Header.Get("Location"), "the proxy's own scheme is the client's now")
	assert.Empty(t, alone.log.worst())
}

// Every hop passes a header that nobody has set: the outermost has to send one.
func TestFixNobodySaysTheScheme(t *testing.T) {
	chainFix{
		broken: chainSetup{hops: []forwarded.Hop{chainPassing(forwarded.Nginx(chainNear))}, front: chainOnly(chainSaysNothing)},
		level:  slog.LevelWarn, reason: "unknown_scheme", says: []string{"send X-Forwarded-Proto"},
		mended: chainSetup{hops: []forwarded.Hop{forwarded.Nginx(chainNear)}, front: chainOnly(chainSaysProto)},
	}.try(t)
}
