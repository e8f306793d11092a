package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// peerAddr is what requests come from in tests that do not say otherwise, and
// clientAddr the client behind it.
const (
	peerAddr   = "10.0.16.9"
	clientAddr = "203.0.113.7"
)

// requestFrom is a request as net/http hands it over, with these header lines.
func requestFrom(peer string, lines ...string) *http.Request {
	r := httptest.NewRequest("GET", "/p?x=1", nil)
	r.Host, r.RemoteAddr = "good.test", netip.AddrPortFrom(netip.MustParseAddr(peer), 40000).String()
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// policyOf is a Policy that logs nothing.
func policyOf(t testing.TB, hops ...forwarded.Hop) *forwarded.Policy {
	t.Helper()
	p, err := forwarded.New(forwarded.Config{Hops: hops, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return p
}

// wrapped is the request that Wrap hands on.
func wrapped(t testing.TB, p *forwarded.Policy, r *http.Request) *http.Request {
	t.Helper()
	var got *http.Request
	p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
	require.NotNil(t, got, "Wrap refused the request")
	return got
}

// sent is the header that goes out for a request that came as r.
func sent(t testing.TB, p *forwarded.Policy, r *http.Request, h Headers) http.Header {
	t.Helper()
	in := wrapped(t, p, r)
	out := http.Header{}
	outgoing(out, in, forwarded.From(in), &h)
	return out
}

// line is a header's only line, "" if it is absent.
func line(t testing.TB, h http.Header, name string) string {
	t.Helper()
	if len(h[name]) == 0 {
		assert.NotContains(t, h, name, "present without a value")
		return ""
	}
	assert.Len(t, h[name], 1, name)
	return h[name][0]
}

// A localAddr is what a listener that reads PROXY headers leaves.
type localAddr struct{ transport forwarded.Transport }

func (localAddr) Network() string                  { return "tcp" }
func (localAddr) String() string                   { return "10.0.0.1:80" }
func (a localAddr) Transport() forwarded.Transport { return a.transport }
func withLocal(r *http.Request, a net.Addr) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, a))
}

func albHop() forwarded.Hop { return forwarded.ALB("10.0.16.0/20") }

// behindALB is a request of an honest client through the balancer.
func behindALB(lines ...string) *http.Request {
	return requestFrom(peerAddr, append([]string{
		"X-Forwarded-For: " + clientAddr, "X-Forwarded-Proto: https", "X-Forwarded-Port: 443"}, lines...)...)
}

func TestModesBehindTrustedHop(t *testing.T) {
	all := func(m Mode) Headers {
		return Headers{For: m, Proto: m, Host: m, Port: m, Prefix: m, Forwarded: m, RealIP: m}
	}
	for name, c := range map[string]struct {
		h    Headers
		want http.Header
	}{
		"auto": {Headers{}, http.Header{
			"X-Forwarded-For": {clientAddr + ", " + peerAddr}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"good.test"}, "X-Forwarded-Port": {"443"}}},
		"set": {all(Set), http.Header{
			"X-Forwarded-For": {clientAddr}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"good.test"}, "X-Forwarded-Port": {"443"},
			"Forwarded": {"for=" + clientAddr + ";host=good.test;proto=https"}, "X-Real-Ip": {clientAddr}}},
		"append": {all(Append), http.Header{
			"X-Forwarded-For": {clientAddr + ", " + peerAddr}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"good.test"}, "X-Forwarded-Port": {"443"},
			"Forwarded": {"for=" + clientAddr + `;host=good.test;proto=https, for="` + peerAddr + `:40000";host=good.test;proto=http`}, "X-Real-Ip": {clientAddr}}},
		"preserve": {all(Preserve), http.Header{
			"X-Forwarded-For": {clientAddr}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"}}},
		"remove": {all(Remove), http.Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := behindALB("X-Forwarded-Host: evil.test", "X-Forwarded-Prefix: /evil", "Forwarded: for=6.6.6.6", "X-Real-Ip: 6.6.6.6")
			assert.Equal(t, c.want, sent(t, policyOf(t, albHop()), r, c.h))
		})
	}
}

func TestModesWithoutTrustedHop(t *testing.T) {
	for mode, want := range map[Mode]string{Auto: clientAddr, Set: clientAddr, Append: clientAddr, Preserve: "", Remove: ""} {
		out := sent(t, policyOf(t), requestFrom(clientAddr, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"), Headers{For: mode})
		assert.Equal(t, want, line(t, out, "X-Forwarded-For"), "mode %d", mode)
		assert.Equal(t, "http", line(t, out, "X-Forwarded-Proto"))
		assert.Equal(t, "80", line(t, out, "X-Forwarded-Port"))
	}
}

// TestClients is the list for each way in which a request can come.
func TestClients(t *testing.T) {
	nlb := forwarded.NLBTCP("10.9.0.0/16")
	proxied := func(tp forwarded.Transport, lines ...string) *http.Request {
		tp.Peer = netip.MustParseAddrPort("10.9.0.5:6000")
		return withLocal(requestFrom("10.9.0.5", lines...), localAddr{tp})
	}
	client, nginx := netip.MustParseAddrPort("[::ffff:203.0.113.7]:55"), netip.MustParseAddrPort("10.0.16.9:99")
	unix := &net.UnixAddr{Net: "unix", Name: "/run/s"}
	for name, c := range map[string]struct {
		hops []forwarded.Hop
		r    *http.Request
		mode Mode
		want string
	}{
		"IPv6 is bare":                {nil, requestFrom("2001:db8::1"), Append, "2001:db8::1"},
		"ports and lines are joined":  {[]forwarded.Hop{forwarded.Nginx(peerAddr), forwarded.ALB("10.1.0.0/16")}, requestFrom(peerAddr, "X-Forwarded-For: 6.6.6.6, [2001:db8::2]:443", "X-Forwarded-For: 10.1.0.3"), Auto, "[2001:db8::2]:443, 10.1.0.3, " + peerAddr},
		"empty entries go":            {[]forwarded.Hop{forwarded.Nginx(peerAddr), forwarded.ALB("10.1.0.0/16")}, requestFrom(peerAddr, "X-Forwarded-For: 203.0.113.7,, ,10.1.0.3,"), Auto, "203.0.113.7, 10.1.0.3, " + peerAddr},
		"same address twice":          {[]forwarded.Hop{albHop()}, requestFrom(peerAddr, "X-Forwarded-For: "+peerAddr, "X-Forwarded-Proto: http"), Auto, peerAddr + ", " + peerAddr},
		"unknown behind a hop":        {[]forwarded.Hop{albHop()}, requestFrom(peerAddr, "X-Forwarded-For: garbage", "X-Forwarded-Proto: https"), Auto, "unknown, " + peerAddr},
		"a probe is no client":        {[]forwarded.Hop{albHop()}, requestFrom(peerAddr), Auto, "unknown, " + peerAddr},
		"skipped hop":                 {[]forwarded.Hop{forwarded.Nginx("10.5.0.1"), albHop()}, requestFrom(peerAddr), Append, "unknown, " + peerAddr},
		"skipped hop, set":            {[]forwarded.Hop{forwarded.Nginx("10.5.0.1"), albHop()}, requestFrom(peerAddr), Auto, "unknown"},
		"client in a header of a CDN": {[]forwarded.Hop{forwarded.Cloudflare(peerAddr)}, requestFrom(peerAddr, "X-Forwarded-For: 6.6.6.6", "Cf-Connecting-Ip: "+clientAddr), Auto, clientAddr + ", " + peerAddr},
		"unix socket":                 {[]forwarded.Hop{forwarded.Nginx("unix")}, withLocal(requestFrom(peerAddr, "X-Forwarded-For: "+clientAddr), unix), Auto, clientAddr},
		"unix socket, not declared":   {nil, withLocal(requestFrom(peerAddr, "X-Forwarded-For: 6.6.6.6"), unix), Append, "unknown"},
		"PROXY client":                {[]forwarded.Hop{nlb}, proxied(forwarded.Transport{Source: client}, "X-Forwarded-For: 6.6.6.6"), Auto, clientAddr},
		"PROXY and a hop":             {[]forwarded.Hop{nlb, albHop()}, proxied(forwarded.Transport{Source: nginx}, "X-Forwarded-For: "+clientAddr), Auto, clientAddr + ", " + peerAddr},
		"PROXY probe":                 {[]forwarded.Hop{nlb}, proxied(forwarded.Transport{Local: true}), Append, "unknown"},
		"PROXY without source":        {[]forwarded.Hop{nlb}, proxied(forwarded.Transport{}), Append, "unknown"},
		"PROXY source unspecified":    {[]forwarded.Hop{nlb}, proxied(forwarded.Transport{Source: netip.MustParseAddrPort("0.0.0.0:1")}), Append, "unknown"},
		"PROXY header missing":        {[]forwarded.Hop{nlb}, requestFrom("10.9.0.5", "X-Forwarded-For: 6.6.6.6"), Append, "unknown"},
		"PROXY not declared":          {nil, proxied(forwarded.Transport{Source: client}), Append, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			out := sent(t, policyOf(t, c.hops...), c.r, Headers{For: c.mode})
			assert.Equal(t, c.want, line(t, out, "X-Forwarded-For"))
		})
	}
}

// TestChainOfAnotherKind: WriteHeaders does not pass on a list that is no way
// from the client to here, as one that no Wrap has cleaned may be.
func TestChainOfAnotherKind(t *testing.T) {
	info := forwarded.Info{Client: netip.MustParseAddr(clientAddr), Hops: 1, Status: forwarded.StatusForwarded, Peer: netip.MustParseAddrPort(peerAddr + ":1")}
	for _, list := range []string{"6.6.6.6", "6.6.6.6, " + clientAddr, clientAddr + ", <script>", clientAddr + ", unknown", "", ",,"} {
		out := http.Header{}
		WriteHeaders(out, requestFrom("9.9.9.9", "X-Forwarded-For: "+list), info, Headers{})
		assert.Equal(t, clientAddr+", "+peerAddr, line(t, out, "X-Forwarded-For"), "%q", list)
	}
	info.Hops = 2
	out := http.Header{}
	WriteHeaders(out, requestFrom("9.9.9.9", "X-Forwarded-For: 6.6.6.6"), info, Headers{})
	assert.Equal(t, clientAddr+", "+peerAddr, line(t, out, "X-Forwarded-For"), "no Wrap has seen it")
	WriteHeaders(out, requestFrom("9.9.9.9", "X-Forwarded-For: 6.6.6.6"), forwarded.Info{}, Headers{For: Preserve})
	assert.Empty(t, line(t, out, "X-Forwarded-For"), "no hop was consumed")
}

// TestClientInAnotherHeader: the way from the hop that told of the client is
// kept, with the client in front.
func TestClientInAnotherHeader(t *testing.T) {
	p := policyOf(t, forwarded.Nginx(peerAddr), forwarded.Cloudflare("10.1.0.0/16"))
	r := requestFrom(peerAddr, "X-Forwarded-For: 6.6.6.6, "+clientAddr+", 10.1.0.3", "Cf-Connecting-Ip: "+clientAddr)
	out := sent(t, p, r, Headers{})
	assert.Equal(t, clientAddr+", 10.1.0.3, "+peerAddr, line(t, out, "X-Forwarded-For"))
	behind := forwarded.Trusted("10.1.0.0/16")
	assert.Equal(t, clientAddr, next(t, out, "good.test", forwarded.Proxy(proxyAddr), forwarded.Nginx(peerAddr), behind).Client.String())
}

// TestPeerThatIsTheClient: with forwarded's DangerouslyLocalPeerIsClient the hop
// itself made the request; that is one connection.
func TestPeerThatIsTheClient(t *testing.T) {
	p, err := forwarded.New(forwarded.Config{Hops: []forwarded.Hop{albHop()}, DangerouslyLocalPeerIsClient: true, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	assert.Equal(t, peerAddr, line(t, sent(t, p, requestFrom(peerAddr), Headers{}), "X-Forwarded-For"))
}

// TestLongChain: a balancer answers 463 to more than 30 entries.
func TestLongChain(t *testing.T) {
	info := forwarded.Info{Client: netip.MustParseAddr(clientAddr), Hops: 1, Status: forwarded.StatusForwarded, Peer: netip.MustParseAddrPort(peerAddr + ":1")}
	for _, n := range []int{28, 29, 30, 60, 5000} {
		entries := []string{clientAddr}
		for i := range n - 1 {
			entries = append(entries, fmt.Sprintf("10.3.%d.%d", i/256, i%256))
		}
		out := http.Header{}
		WriteHeaders(out, requestFrom("9.9.9.9", "X-Forwarded-For: "+strings.Join(entries, ", ")), info, Headers{})
		want := append(entries[max(0, n-29):], peerAddr)
		assert.Equal(t, strings.Join(want, ", "), line(t, out, "X-Forwarded-For"), "%d entries", n)
	}
}

// TestHostAndPort: the authority has the port unless that is the scheme's.
func TestHostAndPort(t *testing.T) {
	for _, c := range []struct {
		info                forwarded.Info
		host, port, element string
	}{
		{forwarded.Info{Host: "a.test", Port: 443, Scheme: forwarded.HTTPS}, "a.test", "443", "for=unknown;host=a.test;proto=https"},
		{forwarded.Info{Host: "a.test", Port: 80, Scheme: forwarded.HTTPS}, "a.test:80", "80", `for=unknown;host="a.test:80";proto=https`},
		{forwarded.Info{Host: "a.test", Port: 443}, "a.test:443", "443", `for=unknown;host="a.test:443"`},
		{forwarded.Info{Host: "a.test", Scheme: forwarded.HTTP}, "a.test", "", "for=unknown;host=a.test;proto=http"},
		{forwarded.Info{Host: "2001:db8::1", Port: 8080, Scheme: forwarded.HTTP}, "[2001:db8::1]:8080", "8080", `for=unknown;host="[2001:db8::1]:8080";proto=http`},
		{forwarded.Info{Host: "2001:db8::1"}, "[2001:db8::1]", "", `for=unknown;host="[2001:db8::1]"`},
		{forwarded.Info{Port: 80, Scheme: forwarded.HTTP}, "", "80", "for=unknown;proto=http"},
	} {
		out := http.Header{}
		WriteHeaders(out, requestFrom(peerAddr), c.info, Headers{Forwarded: Set})
		assert.Equal(t, c.host, line(t, out, "X-Forwarded-Host"))
		assert.Equal(t, c.port, line(t, out, "X-Forwarded-Port"))
		assert.Equal(t, c.element, line(t, out, "Forwarded"))
	}
}

// TestZeroInfo: without a Policy nothing is believed, and nothing is guessed.
func TestZeroInfo(t *testing.T) {
	out := http.Header{"X-Forwarded-Proto": {"https"}}
	r := requestFrom(clientAddr, "X-Forwarded-For: 6.6.6.6")
	r.TLS = &tls.ConnectionState{}
	WriteHeaders(out, r, forwarded.Info{}, Headers{RealIP: Set})
	assert.Equal(t, http.Header{"X-Forwarded-For": {"unknown"}}, out)
}

// TestPrefixAndKeep: the prefix is the Info's; a kept header needs a hop that
// answers for it.
func TestPrefixAndKeep(t *testing.T) {
	hop := albHop()
	hop.Vouches = []string{"X-Forwarded-User"}
	h := Headers{Keep: []string{"x-forwarded-user", "X-Forwarded-Prefix"}}
	lines := []string{"X-Forwarded-User: alice", "X-Forwarded-Prefix: /evil", "X-Remote-User: root"}

	out := sent(t, policyOf(t, hop), behindALB(lines...), h)
	assert.Equal(t, "alice", line(t, out, "X-Forwarded-User"))
	assert.NotContains(t, out, "X-Forwarded-Prefix")
	assert.NotContains(t, out, "X-Remote-User")

	out = http.Header{"X-Forwarded-User": {"alice"}}
	WriteHeaders(out, requestFrom(clientAddr), forwarded.Info{Client: netip.MustParseAddr(clientAddr)}, h)
	assert.NotContains(t, out, "X-Forwarded-User", "no hop was consumed")

	WriteHeaders(out, requestFrom(clientAddr), forwarded.Info{Prefix: "/api"}, Headers{})
	assert.Equal(t, "/api", line(t, out, "X-Forwarded-Prefix"))
}

// TestValuesAreApart: a caller that adds a value changes no other header, and
// nothing of the request that came.
func TestValuesAreApart(t *testing.T) {
	in := wrapped(t, policyOf(t, albHop()), behindALB("X-A: 1"))
	before := in.Header.Clone()
	out := http.Header{}
	outgoing(out, in, forwarded.From(in), &Headers{RealIP: Set})
	for name := range maps.Clone(out) {
		out.Add(name, "added")
	}
	for name, lines := range out {
		assert.Len(t, lines, 2, name)
		assert.NotEqual(t, "added", lines[0], name)
	}
	assert.Equal(t, before, in.Header)
}

// TestGHSA_3h23_rrpc_3p87: one resolver, one answer; RemoteAddr is not read.
func TestGHSA_3h23_rrpc_3p87(t *testing.T) {
	in := wrapped(t, policyOf(t, albHop()), behindALB())
	info := forwarded.From(in)
	in.RemoteAddr = "6.6.6.6:6"
	out := http.Header{}
	outgoing(out, in, info, &Headers{RealIP: Set, Forwarded: Append})
	for name, lines := range out {
		assert.NotContains(t, strings.Join(lines, ", "), "6.6.6.6", name)
	}
}

// TestPrivatePeersAreNotTrusted: no address is internal by its look.
func TestPrivatePeersAreNotTrusted(t *testing.T) {
	for _, peer := range []string{"10.0.0.9", "127.0.0.1", "192.168.1.1", "fd00::1", "::1"} {
		out := sent(t, policyOf(t), requestFrom(peer, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Remote-User: root"), Headers{})
		assert.Equal(t, peer, line(t, out, "X-Forwarded-For"))
		assert.Equal(t, "http", line(t, out, "X-Forwarded-Proto"))
		assert.NotContains(t, out, "X-Remote-User")
	}
}

// TestCVE_2022_32148: a header that is nil in the map has no meaning of its
// own; the mode alone decides.
func TestCVE_2022_32148(t *testing.T) {
	for mode, want := range map[Mode]string{Auto: clientAddr, Set: clientAddr, Append: clientAddr, Preserve: "", Remove: ""} {
		r := requestFrom(clientAddr)
		r.Header["X-Forwarded-For"] = nil
		out := http.Header{"X-Forwarded-For": nil}
		WriteHeaders(out, r, policyOf(t).Resolve(r), Headers{For: mode})
		assert.Equal(t, want, line(t, out, "X-Forwarded-For"), "mode %d", mode)
	}
}

// TestCVE_2026_30851: what is managed goes even where there is nothing to
// write.
func TestCVE_2026_30851(t *testing.T) {
	everything := http.Header{
		"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Port": {"1"}, "X-Forwarded-Prefix": {"/evil"},
		"X-Real-Ip": {"6.6.6.6"}, "Forwarded": {"for=6.6.6.6"}, "X-Remote-User": {"root"},
	}
	keep := slices.Collect(maps.Keys(everything))
	keep = slices.DeleteFunc(keep, func(name string) bool { return name == "X-Remote-User" })
	for _, hops := range []int{0, 1} {
		out := everything.Clone()
		WriteHeaders(out, requestFrom(clientAddr), forwarded.Info{Hops: hops}, Headers{RealIP: Set, Keep: keep})
		assert.Equal(t, http.Header{"X-Forwarded-For": {"unknown"}}, out, "%d hops", hops)
	}
}

// TestCVE_2024_52003 and CVE-2026-35051: the family is a pattern, not a list of
// what was thought of.
func TestCVE_2024_52003(t *testing.T) { familyIsPattern(t) }
func TestCVE_2026_35051(t *testing.T) { familyIsPattern(t) }

func familyIsPattern(t *testing.T) {
	for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Anything-New", "X-Forwarded"} {
		for _, r := range []*http.Request{requestFrom(clientAddr, name+": /evil"), behindALB(name + ": /evil")} {
			assert.NotContains(t, sent(t, policyOf(t, albHop()), r, Headers{}), name)
		}
	}
}

// Aliases that CGI and WSGI read as the real name.
func TestGHSA_5m6w_wvh7_57vm(t *testing.T) { aliasGoes(t, "X_Forwarded_Proto", "https") }
func TestGHSA_f59h_q822_g45g(t *testing.T) { aliasGoes(t, "X_Forwarded_For", "6.6.6.6") }
func TestGHSA_49wc_4hcv_v58q(t *testing.T) { aliasGoes(t, "X.Forwarded.For", "6.6.6.6") }
func TestCVE_2025_64484(t *testing.T)      { aliasGoes(t, "X_Forwarded_User", "root") }

// aliasGoes sends the alias past Wrap, which would remove it as well, and in the
// company of a kept header of nearly the same name.
func aliasGoes(t *testing.T, alias, value string) {
	for _, hops := range []int{0, 1} {
		in := requestFrom(clientAddr)
		in.Header[alias] = []string{value}
		in.Header[strings.ToLower(alias)] = []string{value}
		out := http.Header{}
		outgoing(out, in, forwarded.Info{Hops: hops}, &Headers{Keep: []string{"X-Forwarded-User"}})
		assert.Equal(t, http.Header{"X-Forwarded-For": {"unknown"}}, out)
	}
}

// The round trip. A topology of declared hops and a flow through it are drawn;
// what this proxy writes is read by a next hop that declares this proxy and,
// behind it, the same hops. It must come to the same client, and to the same
// scheme or none.

// proxyAddr is where the next hop sees this proxy.
const proxyAddr = "192.0.2.77"

// A simHop is a declared hop, how it behaves, and one address of its own.
type simHop struct {
	forwarded.Hop
	kind string
	addr string
}

func (h simHop) unix() bool { return h.From[0] == "unix" }

// sim draws topologies and flows, and counts what came of them.
type sim struct {
	*rand.Rand
	count map[string]int
}

func (s *sim) chance(percent int) bool { return s.IntN(100) < percent }

func (s *sim) hops() []simHop {
	var hops []simHop
	for i := range s.IntN(4) {
		from := fmt.Sprintf("10.%d.0.0/24", i+1)
		kinds := []string{"append", "set", "self", "own", "passing", "noproto", "dropping"}
		if i == 0 {
			kinds = append(kinds, "nlbtcp", "nlbtls", "unix")
		}
		h := simHop{kind: kinds[s.IntN(len(kinds))], addr: fmt.Sprintf("10.%d.0.%d", i+1, 1+s.IntN(9))}
		h.Hop = hopOf(h.kind, from)
		hops = append(hops, h)
	}
	return hops
}

func hopOf(kind, from string) forwarded.Hop {
	sets := forwarded.Sets
	switch kind {
	case "set":
		return forwarded.Caddy(from)
	case "self":
		return forwarded.Hop{From: []string{from}, Self: []string{"198.51.100.1"}, For: forwarded.AppendsWithSelf("X-Forwarded-For"), Proto: sets("X-Forwarded-Proto")}
	case "own":
		return forwarded.Hop{From: []string{from}, For: sets("Cf-Connecting-Ip"), Proto: sets("X-Forwarded-Proto")}
	case "passing":
		return forwarded.NginxPassing(from)
	case "noproto":
		return forwarded.Hop{From: []string{from}, For: forwarded.Appends("X-Forwarded-For"), Proto: forwarded.Drops("X-Forwarded-Proto"), ReplacesHost: true}
	case "dropping":
		return forwarded.Hop{From: []string{from}, For: forwarded.Drops("X-Forwarded-For"), Proto: sets("X-Forwarded-Proto"), Port: sets("X-Forwarded-Port")}
	case "nlbtcp":
		return forwarded.NLBTCP(from)
	case "nlbtls":
		return forwarded.NLBTLS(from)
	case "unix":
		return forwarded.Nginx("unix")
	case "unix7239":
		h := hopOf("rfc7239", from)
		h.From = []string{"unix"}
		return h
	case "rfc7239":
		return forwarded.Hop{From: []string{from}, For: forwarded.Appends("Forwarded"), Proto: forwarded.Appends("Forwarded"), Host: forwarded.Appends("Forwarded")}
	}
	return forwarded.ALB(from)
}

// seenByNext are the hops as the next hop's topology has them: behind a hop
// without an address (a PROXY header, a unix socket) it sees the one further out.
func seenByNext(hops []simHop) (seen []forwarded.Hop) {
	for _, h := range hops {
		if h.kind != "nlbtcp" && h.kind != "nlbtls" && !h.unix() {
			seen = append(seen, h.Hop)
		}
	}
	return seen
}

func declared(hops []simHop) (all []forwarded.Hop) {
	for _, h := range hops {
		all = append(all, h.Hop)
	}
	return all
}

// flow sends a request into one of the hops, or past all of them, with whatever
// somebody hostile may put into it.
func (s *sim) flow(hops []simHop) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "good.test"
	s.attack(r, hops)
	src, tls443 := s.client(hops), s.chance(50)
	for i := s.IntN(len(hops)+1) - 1; i >= 0; i-- {
		if s.chance(90) { // otherwise it is broken, and passes what came
			r = s.pass(hops[i], r, src, tls443)
		}
		src = hops[i].addr
		tls443 = s.chance(20)
	}
	if s.chance(4) { // nobody declared this PROXY header
		r = withLocal(r, localAddr{forwarded.Transport{Peer: netip.MustParseAddrPort(src + ":7"), Source: netip.MustParseAddrPort("6.6.6.6:6")}})
	}
	r.RemoteAddr = src + ":4711"
	if tls443 {
		r.TLS = &tls.ConnectionState{}
	}
	return r
}

func (s *sim) client(hops []simHop) string {
	if len(hops) > 0 && s.chance(15) {
		return hops[s.IntN(len(hops))].addr
	}
	return fmt.Sprintf("203.0.113.%d", s.IntN(256))
}

// pass is what an honest hop of a kind does.
func (s *sim) pass(h simHop, r *http.Request, src string, https bool) *http.Request {
	scheme, dest := "http", "192.0.2.1:80"
	if https {
		scheme, dest = "https", "192.0.2.1:443"
	}
	add := func(name, value string) { r.Header[name] = []string{strings.Join(append(r.Header[name], value), ", ")} }
	switch h.kind {
	case "append", "unix":
		add("X-Forwarded-For", src)
		r.Header.Set("X-Forwarded-Proto", scheme)
	case "set":
		r.Header.Set("X-Forwarded-For", src)
		r.Header.Set("X-Forwarded-Proto", scheme)
		r.Header.Set("X-Forwarded-Host", r.Host)
	case "self":
		add("X-Forwarded-For", src+", 198.51.100.1")
		r.Header.Set("X-Forwarded-Proto", scheme)
	case "own":
		r.Header.Set("Cf-Connecting-Ip", src)
		r.Header.Set("X-Forwarded-Proto", scheme)
	case "noproto":
		add("X-Forwarded-For", src)
		r.Header.Del("X-Forwarded-Proto")
	case "dropping":
		r.Header.Del("X-Forwarded-For")
		r.Header.Set("X-Forwarded-Proto", scheme)
		r.Header.Set("X-Forwarded-Port", dest[len("192.0.2.1:"):])
	case "rfc7239", "unix7239":
		add("Forwarded", "for="+src+";proto="+scheme+";host="+r.Host)
	case "nlbtcp", "nlbtls":
		tp := forwarded.Transport{Peer: netip.MustParseAddrPort(h.addr + ":7"), Source: netip.MustParseAddrPort(src + ":8"), Destination: netip.MustParseAddrPort(dest)}
		if s.chance(10) {
			tp.Source = netip.AddrPort{}
		}
		tp.Local = s.chance(10)
		r = withLocal(r, localAddr{tp})
	}
	if h.unix() {
		r = withLocal(r, &net.UnixAddr{Net: "unix", Name: "/run/s"})
	}
	return r
}

func (s *sim) attack(r *http.Request, hops []simHop) {
	words := []string{"6.6.6.6", "unknown", "_hidden", "", ",,", "garbage", "0.0.0.0", "[2001:db8::6]:6", `for=6.6.6.6;proto=https`, `for="unclosed`, "https", "http",
		"evil.test", "127.0.0.1", strings.Repeat("7.7.7.7, ", 40) + "6.6.6.6", "198.51.100.1", proxyAddr}
	for _, h := range hops {
		words = append(words, h.addr, "6.6.6.6, "+h.addr)
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "Cf-Connecting-Ip",
		"X-Real-Ip", "X_Forwarded_For", "Connection"} {
		for s.chance(30) {
			r.Header[name] = append(r.Header[name], words[s.IntN(len(words))])
		}
	}
	if s.chance(20) {
		r.Header["Connection"] = []string{"", "X-Forwarded-For, X-Forwarded-Proto, Forwarded"}
	}
}

// next resolves what out says behind this proxy.
func next(t testing.TB, out http.Header, host string, hops ...forwarded.Hop) forwarded.Info {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.Header, r.RemoteAddr = host, out, proxyAddr+":5000"
	return policyOf(t, hops...).Resolve(r)
}

func (s *sim) roundTrip(t *testing.T, hops []simHop, h Headers, self forwarded.Hop, outer []forwarded.Hop) {
	t.Helper()
	r := s.flow(hops)
	came := r.Clone(r.Context())
	in := wrapped(t, policyOf(t, declared(hops)...), r)
	info, out := forwarded.From(in), http.Header{}
	outgoing(out, in, info, &h)
	got := next(t, out, in.Host, append([]forwarded.Hop{self}, outer...)...)
	about := fmt.Sprintf("came from %s %v\nhops %v\nresolved %+v\nsent %v\nnext %+v", came.RemoteAddr, came.Header, declared(hops), info, out, got)
	if !(got.Reason == forwarded.ReasonMismatch && twoFamilies(hops)) {
		require.Equal(t, info.Client, got.Client, about)
	}
	require.Contains(t, []forwarded.Scheme{info.Scheme, forwarded.SchemeUnknown}, got.Scheme, about)
	require.NotEqual(t, forwarded.StatusLocal, got.Status, about)
	require.NotEqual(t, forwarded.StatusDirect, got.Status, about)
	s.count[info.Status.String()+"/"+info.Reason.String()]++
	s.count["scheme "+cmp.Or(map[bool]string{true: "known"}[got.Scheme != forwarded.SchemeUnknown], "unknown")]++
}

// twoFamilies reports whether a hop replaces X-Forwarded-For while one further
// out speaks of the client in a header of its own. The list that this proxy
// writes then begins with the client, where the next hop, which still knows the
// one that replaces, may refuse to see it; it comes to no client then.
func twoFamilies(hops []simHop) bool {
	set := slices.IndexFunc(hops, func(h simHop) bool { return h.kind == "set" })
	return set >= 0 && slices.ContainsFunc(hops[set:], func(h simHop) bool { return h.kind == "own" })
}

func newSim(seed uint64) *sim {
	return &sim{Rand: rand.New(rand.NewPCG(seed, 3)), count: map[string]int{}}
}

// reached requires that the interesting cases came up at all.
func (s *sim) reached(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		assert.Positive(t, s.count[name], "%s never happened: %v", name, s.count)
	}
}

func TestRoundTrip(t *testing.T) {
	s := newSim(20261122)
	for range 4000 {
		hops := s.hops()
		h := Headers{For: []Mode{Auto, Append}[s.IntN(2)], Keep: []string{"Cf-Connecting-Ip"}}
		self := forwarded.Proxy(proxyAddr)
		if h.For == Auto && len(hops) == 0 {
			self.For = forwarded.Sets("X-Forwarded-For")
		}
		s.roundTrip(t, hops, h, self, seenByNext(hops))
	}
	s.reached(t, "direct/direct", "forwarded/forwarded", "local/local", "unknown/mismatch", "unknown/malformed", "unknown/obfuscated",
		"unknown/not_visible", "unknown/skipped_hop", "scheme known", "scheme unknown")
}

// TestRoundTripSet: with Set the next hop declares this proxy alone.
func TestRoundTripSet(t *testing.T) {
	s := newSim(20261123)
	sets := forwarded.Hop{From: []string{proxyAddr}, For: forwarded.Sets("X-Forwarded-For"), Proto: forwarded.Sets("X-Forwarded-Proto"), Host: forwarded.Sets("X-Forwarded-Host")}
	element := forwarded.Hop{From: []string{proxyAddr}, For: forwarded.Sets("Forwarded"), Proto: forwarded.Sets("Forwarded"), Host: forwarded.Sets("Forwarded")}
	for range 2000 {
		hops := s.hops()
		s.roundTrip(t, hops, Headers{For: Set}, sets, nil)
		s.roundTrip(t, hops, Headers{Forwarded: Set}, element, nil)
	}
	s.reached(t, "direct/direct", "forwarded/forwarded", "local/local", "unknown/mismatch", "scheme known")
}

// TestRoundTripForwarded: the same through RFC 7239's header.
func TestRoundTripForwarded(t *testing.T) {
	s := newSim(20261124)
	for range 3000 {
		hops := s.hops()
		for i := range hops {
			switch k := hops[i].kind; k {
			case "nlbtcp", "nlbtls":
				continue
			case "unix":
				hops[i].kind = "unix7239"
			default:
				hops[i].kind = "rfc7239"
			}
			hops[i].Hop = hopOf(hops[i].kind, hops[i].From[0])
		}
		self := hopOf("rfc7239", proxyAddr)
		s.roundTrip(t, hops, Headers{Forwarded: Append}, self, seenByNext(hops))
	}
	s.reached(t, "direct/direct", "forwarded/forwarded", "unknown/mismatch", "unknown/skipped_hop", "scheme known")
}
