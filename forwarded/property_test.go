package forwarded_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// The simulation builds a chain of proxies that do what their hops declare,
// sends requests through it, honest and hostile, and knows the truth about
// each: who opened the connection into the outermost declared hop, and how.
// What Resolve says may be less than the truth. It must never be something
// else, except in the one documented case: somebody who is not the next hop
// speaks from an address that the next hop declares.

// KNOWNHOPS_PROPERTY_RUNS sets the number of topologies, and
// KNOWNHOPS_PROPERTY_SEED the seed.
const simTopologies = 6000

const simRequests = 4 // per topology

func simSetting(t *testing.T, name string, def uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestNeverWrong(t *testing.T) {
	seed := simSetting(t, "KNOWNHOPS_PROPERTY_SEED", 20261122)
	runs := simSetting(t, "KNOWNHOPS_PROPERTY_RUNS", simTopologies)
	if testing.Short() {
		runs /= 10
	}
	s := &sim{Rand: rand.New(rand.NewPCG(seed, 1)), count: map[string]int{}}
	for run := range runs {
		cfg := s.config()
		p := cfg.policy(t)
		for range simRequests {
			flow := s.flow(cfg)
			info := p.Resolve(flow.request.request())
			if problem := s.judge(flow, info); problem != "" {
				t.Fatalf("seed %d, topology %d: %s\n%s\n%+v", seed, run, problem, flow, info)
			}
			if d := cfg.disagrees(flow.request, info); d != "" {
				t.Fatalf("seed %d, topology %d: the reference disagrees: %s\n%s\n%+v", seed, run, d, flow, info)
			}
		}
	}
	s.report(t)
}

// sim draws topologies and requests, and counts what came of them.
type sim struct {
	*rand.Rand
	count map[string]int
}

// chance is true in p of a hundred cases.
func (s *sim) chance(p int) bool { return s.IntN(100) < p }

func pick[T any](s *sim, from ...T) T { return from[s.IntN(len(from))] }

// report requires that every kind of case really came up: a simulation whose
// interesting cases never happen proves nothing.
func (s *sim) report(t *testing.T) {
	t.Logf("%v", s.count)
	for _, name := range []string{
		"client known", "scheme known", "host known", "port known", "prefix known", "direct",
		"destroyed: client", "destroyed: scheme", "destroyed: host", "obfuscated", "probe", "probe of an outer hop",
		"skipped hop", "no secret", "undeclared proxy taken for the client", "client inside a consumed range",
		"limit", "limit: wrong", "scheme without client", "unix", "balancer", "scheme from port",
	} {
		if s.count[name] == 0 {
			t.Errorf("the simulation never met %q", name)
		}
	}
	known, all := s.count["client known"], s.count["client known"]+s.count["destroyed: client"]
	if known*2 < all {
		t.Errorf("the client was known in only %d of %d cases: the topologies drawn destroy too much", known, all)
	}
}

// ---- topologies

// config draws one to four hops and the flags.
func (s *sim) config() refConfig {
	cfg := refConfig{schemeFromPort: s.chance(15), localPeerIsClient: s.chance(8)}
	if s.chance(15) {
		cfg.hosts = []string{"www.example.com", "*.example.net"}
	}
	n := 1 + s.IntN(4)
	for i := range n {
		cfg.hops = append(cfg.hops, s.hop(i))
	}
	if s.chance(8) {
		cfg.hops[0] = s.balancer()
	}
	if s.chance(4) && cfg.hops[0].rules[refFor].act != refPROXY {
		cfg.hops[0].from = []string{"unix"}
	}
	if s.chance(6) {
		// Internal tiers often share one range.
		for i := range cfg.hops {
			cfg.hops[i].from = []string{"10.0.0.0/8"}
		}
	}
	return cfg
}

// from gives hop i a network of its own.
func (s *sim) from(i int) []string {
	v4 := fmt.Sprintf("10.%d.0.0/16", i+1)
	v6 := fmt.Sprintf("fd00:%x::/32", i+1)
	return pick(s, []string{v4}, []string{v4}, []string{v6}, []string{v6, v4},
		[]string{fmt.Sprintf("192.0.2.%d", i+1)})
}

func (s *sim) balancer() refHop {
	h := refHop{from: []string{"172.16.0.0/12"}}
	h.rules[refFor].act, h.rules[refPort].act = refPROXY, refPROXY
	if s.chance(60) {
		h.rules[refProto].act = refPROXY
	}
	return h
}

func (s *sim) hop(i int) refHop {
	h := refHop{from: s.from(i), replacesHost: s.chance(15)}
	if s.chance(10) {
		h.secretHeader, h.secret = fmt.Sprintf("X-Origin-Secret-%d", i+1), fmt.Sprintf("hop %d, 0123456789abcdef", i+1)
	}
	// One hop does one thing to Forwarded, whichever facts it puts there.
	rfc7239 := pick(s, refAppends, refAppends, refSets)
	h.rules[refFor] = s.forRule(&h, i, rfc7239)
	h.rules[refProto] = s.protoRule(rfc7239)
	h.rules[refHost] = s.hostRule(rfc7239)
	h.rules[refPort] = s.draw(rfc7239, refWrites(refSets, "X-Forwarded-Port"), refWrites(refSets, "X-Forwarded-Port"),
		refWrites(refAppends, "X-Forwarded-Port"), refRule{}, refRule{}, refRule{act: refDrops})
	h.rules[refPrefix] = s.draw(rfc7239, refWrites(refSets, "X-Forwarded-Prefix"), refRule{}, refRule{},
		refWrites(refAppends, "X-Forwarded-Prefix"), refWrites(refDrops, "X-Forwarded-Prefix"))
	return h
}

// draw picks a rule; what concerns Forwarded becomes the hop's one way with it.
func (s *sim) draw(rfc7239 refAct, rules ...refRule) refRule {
	r := pick(s, rules...)
	if r.writes() && r.headers[0] == "Forwarded" {
		r.act = rfc7239
	}
	return r
}

func (s *sim) forRule(h *refHop, i int, rfc7239 refAct) refRule {
	xff := refWrites(refAppends, "X-Forwarded-For")
	self := refWrites(refAppendsSelf, "X-Forwarded-For")
	r := s.draw(rfc7239, xff, xff, xff, xff, xff, xff, xff, xff, xff, xff, xff, xff,
		refWrites(refSets, "X-Forwarded-For"), refWrites(refSets, "X-Real-Ip"), refWrites(refSets, "Cf-Connecting-Ip"),
		refWrites(refAppends, "Forwarded"), refWrites(refAppends, "Forwarded"), refWrites(refAppends, "Forwarded"),
		self, refRule{}, refWrites(refDrops, "X-Forwarded-For"), refRule{act: refDrops})
	if r.act == refAppendsSelf {
		h.self = []string{fmt.Sprintf("198.51.100.%d", i+1)}
	}
	return r
}

func (s *sim) protoRule(rfc7239 refAct) refRule {
	xfp := refWrites(refSets, "X-Forwarded-Proto")
	return s.draw(rfc7239, xfp, xfp, xfp, xfp, refRule{}, refRule{}, refRule{}, refRule{},
		refWrites(refAppends, "X-Forwarded-Proto"), refWrites(refAppends, "X-Forwarded-Proto"),
		refWrites(refSets, "Cloudfront-Forwarded-Proto"), refWrites(refAppends, "Forwarded"),
		refWrites(refDrops, "X-Forwarded-Proto"), refRule{act: refDrops})
}

func (s *sim) hostRule(rfc7239 refAct) refRule {
	xfh := refWrites(refSets, "X-Forwarded-Host")
	return s.draw(rfc7239, xfh, xfh, refRule{}, refRule{}, refRule{}, refRule{},
		refWrites(refAppends, "X-Forwarded-Host"), refWrites(refAppends, "X-Forwarded-Host"),
		refWrites(refAppends, "Forwarded"), refWrites(refDrops, "X-Forwarded-Host"), refRule{act: refDrops})
}

// ---- a request on its way

// An entry is one written element and who wrote it: a hop, or nobody we know.
type simEntry struct {
	text   string
	writer int
	kinds  [refKinds]bool // what the writer meant it to say
}

const simStranger = -1

// simHeader is a header map in which every element still knows its writer.
type simHeader map[string][][]simEntry

// simParty is one end of a connection.
type simParty struct {
	hop  int // index in the topology, or simStranger
	addr netip.Addr
	tls  bool // the connection it opens towards the application
	port uint16
	peer uint16
	host string
	id   string // a hop may hide who spoke to it: "unknown", "_x"
	self string
	pre  string
}

// String shows a party in a failure message.
func (p simParty) String() string {
	return fmt.Sprintf("hop %d at %v, over %s to port %d, Host %q, hiding as %q", p.hop+1,
		netip.AddrPortFrom(p.addr, p.peer), simScheme(p.tls), p.port, p.host, p.id)
}

// A simFlow is one request with the truth about it. Parties are listed from
// the application outwards.
type simFlow struct {
	cfg     refConfig
	parties []simParty
	k       int // parties that are the hops declared, in order
	header  simHeader
	request refRequest
	probe   bool
	// Set where the PROXY header carried the truth about the first party.
	balanced bool
}

// speaker is whoever opened the connection into hop k: the client, as far as
// the topology can tell.
func (f *simFlow) speaker() simParty { return f.parties[min(f.k, len(f.parties)-1)] }

func (f *simFlow) String() string {
	var b strings.Builder
	for i, h := range f.cfg.hops {
		fmt.Fprintf(&b, "hop %d: %v\n", i+1, h)
	}
	fmt.Fprintf(&b, "parties from inside (0 is a stranger): %v\nk=%d probe=%v SchemeFromPort=%v LocalPeerIsClient=%v hosts=%v\n",
		f.parties, f.k, f.probe, f.cfg.schemeFromPort, f.cfg.localPeerIsClient, f.cfg.hosts)
	fmt.Fprintf(&b, "request: remote=%q unix=%v tls=%v host=%q transport=%+v\n", f.request.remote, f.request.unix,
		f.request.tls, f.request.host, f.request.transport)
	for name, lines := range f.request.header {
		fmt.Fprintf(&b, "  %s: %.200q\n", name, lines)
	}
	return b.String()
}

// flow draws a route, a client and its forgeries, and lets every hop on the
// route do its work.
func (s *sim) flow(cfg refConfig) *simFlow {
	f := &simFlow{cfg: cfg, header: simHeader{}}
	f.parties = s.route(cfg)
	for f.k < len(f.parties) && f.parties[f.k].hop == f.k {
		f.k++
	}
	f.probe = f.parties[len(f.parties)-1].hop != simStranger
	client := &f.parties[len(f.parties)-1]
	if !f.probe {
		s.forge(cfg, f.header)
	}
	host := client.host
	for i := len(f.parties) - 2; i >= 0; i-- {
		f.parties[i].host = s.forward(cfg, f.header, f.parties[i], f.parties[i+1], host)
		host = f.parties[i].host
	}
	s.arrive(f, host)
	return f
}

// route draws who speaks to whom: the declared hops from some entry point
// inwards, sometimes one of them left out or a stranger's proxy between, and a
// client at the end, unless a hop itself asks.
func (s *sim) route(cfg refConfig) []simParty {
	enter := s.IntN(len(cfg.hops) + 1)
	if s.chance(60) {
		enter = len(cfg.hops)
	}
	var route []simParty
	for i := range enter {
		route = append(route, s.hopParty(cfg, i))
	}
	switch {
	case len(route) > 0 && s.chance(6):
		return route // a probe: the last hop is where it starts
	case len(route) > 1 && s.chance(8):
		at := s.IntN(len(route) - 1)
		route = slices.Delete(route, at, at+1)
	case len(route) > 0 && s.chance(5):
		route = slices.Insert(route, s.IntN(len(route)), s.stranger(cfg))
	}
	return append(route, s.stranger(cfg))
}

func (s *sim) hopParty(cfg refConfig, i int) simParty {
	p := simParty{hop: i, addr: s.inside(cfg.hops[i]), pre: pick(s, "/app", "/a/b-c", "/v1")}
	s.leg(cfg, &p)
	if self := cfg.hops[i].self; len(self) > 0 {
		p.self = self[0]
	}
	if s.chance(2) {
		p.id = pick(s, "unknown", "_hidden", "_gazonk-1")
	}
	return p
}

// leg draws how a party connects onwards. With SchemeFromPort, and behind a
// network balancer that ends TLS, the operator promises that ports tell the
// scheme.
func (s *sim) leg(cfg refConfig, p *simParty) {
	p.tls, p.port, p.peer = s.chance(50), pick[uint16](s, 80, 443, 8080, 8443), uint16(1024+s.IntN(60000))
	promised := cfg.schemeFromPort || cfg.hops[0].rules[refFor].act == refPROXY
	if promised && (p.port == 80 || p.port == 443) {
		p.tls = p.port == 443
	}
}

// stranger is a client, or a proxy that nobody declared: often from the open
// internet, now and then from inside a declared range.
func (s *sim) stranger(cfg refConfig) simParty {
	p := simParty{hop: simStranger, host: s.clientHost()}
	s.leg(cfg, &p)
	p.addr = pick(s, netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7"),
		netip.MustParseAddr("10.200.1.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fe80::1"))
	if s.chance(12) {
		p.addr = s.inside(cfg.hops[s.IntN(len(cfg.hops))])
	}
	return p
}

// clientHost draws a Host, valid or not, but none that is empty or holds a
// comma: a hop that appends such a one to a list has declared one element and
// written none, or two. The Host is the client's own choice in any case.
func (s *sim) clientHost() string {
	return pick(s, "www.example.com", "WWW.Example.com:8443", "a.example.net", "192.0.2.80", "[2001:db8::80]:8080",
		"evil.example", `evil.example"x`, "a b", "user@evil.example", `x\"y`)
}

// inside draws an address that a hop connects from; a unix socket has none and
// the loopback stands in, which no other hop declares.
func (s *sim) inside(h refHop) netip.Addr {
	from := pick(s, h.from...)
	if from == "unix" {
		return netip.MustParseAddr("127.0.0.9")
	}
	if addr, err := netip.ParseAddr(from); err == nil {
		return addr
	}
	p := netip.MustParsePrefix(from)
	raw := p.Addr().AsSlice()
	for i := p.Bits() / 8; i < len(raw); i++ {
		if p.Bits()%8 == 0 || i > p.Bits()/8 {
			raw[i] = byte(1 + s.IntN(250))
		}
	}
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// ---- forged headers

var simFamily = []string{
	"X-Forwarded-For", "X-Real-Ip", "Cf-Connecting-Ip", "Forwarded", "X-Forwarded-Proto",
	"Cloudfront-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix",
}

// forge fills headers with what an attacker would try.
func (s *sim) forge(cfg refConfig, header simHeader) {
	for _, name := range simFamily {
		if !s.chance(40) {
			continue
		}
		for range 1 + s.IntN(2) {
			header[name] = append(header[name], []simEntry{{text: s.forgery(cfg), writer: simStranger}})
		}
	}
	if s.chance(20) {
		header["X-Origin-Secret-1"] = [][]simEntry{{{text: "guess", writer: simStranger}}}
	}
}

func (s *sim) forgery(cfg refConfig) string {
	hop := cfg.hops[s.IntN(len(cfg.hops))]
	trusted := s.inside(hop).String()
	return pick(s, "6.6.6.6", trusted, "6.6.6.6, "+trusted, trusted+", "+trusted+", "+trusted, "garbage", "", ",,,,,,,,,,,,",
		"https", "http, https", "evil.example", "443", "/evil", "unknown", "_x", "::ffff:"+trusted, "6.6.6.6:99999",
		"for=6.6.6.6;proto=https;host=evil.example", `for="6.6.6.6`, `for="`+trusted+`", for="`, `\`, `"`, `for="x\`,
		`for=6.6.6.6;proto=https, for=`+trusted, "a b", "\t6.6.6.6\t", "x\x00y", strings.Repeat("a", 5000), "0.0.0.0", "fe80::1%eth0")
}

// ---- what a hop does

// forward lets one hop hand on what it got from the next party outwards, and
// returns the Host it sends.
func (s *sim) forward(cfg refConfig, header simHeader, at, from simParty, host string) string {
	if at.hop == simStranger {
		s.strangeProxy(header, from)
		return pick(s, host, "proxy.example")
	}
	hop := cfg.hops[at.hop]
	if hop.rules[refFor].act == refPROXY {
		return host
	}
	for k, r := range hop.rules {
		if r.act == refDrops {
			s.drop(header, refKind(k), r.headers)
		}
	}
	for _, name := range simFamily {
		s.write(header, name, hop, at, from, host)
	}
	if hop.secret != "" {
		header[hop.secretHeader] = [][]simEntry{{{text: hop.secret, writer: at.hop}}}
	}
	if hop.replacesHost {
		return fmt.Sprintf("upstream-%d.internal", at.hop+1)
	}
	return host
}

// strangeProxy does as many proxies do, whatever we would like.
func (s *sim) strangeProxy(header simHeader, from simParty) {
	if s.chance(70) {
		s.add(header, "X-Forwarded-For", simEntry{text: from.addr.String(), writer: simStranger})
	}
	if s.chance(50) {
		header["X-Forwarded-Proto"] = [][]simEntry{{{text: simScheme(from.tls), writer: simStranger}}}
	}
}

// simKinds lists the family by what a header can say; Forwarded says most.
var simKinds = [refKinds][]string{
	refFor:    {"X-Forwarded-For", "X-Real-Ip", "Cf-Connecting-Ip", "Forwarded"},
	refProto:  {"X-Forwarded-Proto", "Cloudfront-Forwarded-Proto", "Forwarded"},
	refHost:   {"X-Forwarded-Host", "Forwarded"},
	refPort:   {"X-Forwarded-Port"},
	refPrefix: {"X-Forwarded-Prefix"},
}

func (s *sim) drop(header simHeader, kind refKind, names []string) {
	if len(names) == 0 {
		names = simKinds[kind]
	}
	for _, name := range names {
		delete(header, name)
	}
}

// write carries out what the hop's rules say about one header.
func (s *sim) write(header simHeader, name string, hop refHop, at, from simParty, host string) {
	entry := simEntry{writer: at.hop}
	act := refPasses
	for k, r := range hop.rules {
		if r.writes() && r.headers[0] == name {
			act, entry.kinds[k] = r.act, true
		}
	}
	if act == refPasses {
		return
	}
	if act == refSets {
		delete(header, name)
	}
	entry.text = s.word(name, entry.kinds, at, from, host)
	s.add(header, name, entry)
	if act == refAppendsSelf {
		s.add(header, name, simEntry{text: at.self, writer: at.hop})
	}
}

// add appends an entry as proxies do it: to the last line, as a line of its
// own, or after folding all lines into one.
func (s *sim) add(header simHeader, name string, entry simEntry) {
	lines := header[name]
	switch style := s.IntN(3); {
	case len(lines) == 0 || style == 0:
		header[name] = append(lines, []simEntry{entry})
	case style == 1:
		last := len(lines) - 1
		lines[last] = append(slices.Clone(lines[last]), entry)
	default:
		header[name] = [][]simEntry{append(slices.Concat(lines...), entry)}
	}
}

// word is what the hop says in one header about the connection it got.
func (s *sim) word(name string, kinds [refKinds]bool, at, from simParty, host string) string {
	if name == "Forwarded" {
		return s.element(kinds, at, from, host)
	}
	switch {
	case kinds[refFor]:
		return s.node(at, from, false)
	case kinds[refProto]:
		return pick(s, simScheme(from.tls), strings.ToUpper(simScheme(from.tls)), strings.Replace(simScheme(from.tls), "http", "ws", 1))
	case kinds[refHost]:
		return host
	case kinds[refPort]:
		return strconv.Itoa(int(from.port))
	}
	return at.pre
}

func simScheme(tls bool) string {
	if tls {
		return "https"
	}
	return "http"
}

// element writes an RFC 7239 element in one of its many legal shapes.
func (s *sim) element(kinds [refKinds]bool, at, from simParty, host string) string {
	var pairs []string
	if kinds[refFor] {
		pairs = append(pairs, pick(s, "for=", "For=")+simQuote(s, s.node(at, from, true)))
	}
	if kinds[refProto] {
		pairs = append(pairs, "proto="+simQuote(s, simScheme(from.tls)))
	}
	if kinds[refHost] {
		pairs = append(pairs, "host="+simQuote(s, host))
	}
	if s.chance(30) {
		pairs = append(pairs, pick(s, "by=_me", `by="[2001:db8::1]:80"`, `ext="a, b; c=\"d\""`, "", `x="\\"`))
	}
	s.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	return strings.Join(pairs, pick(s, ";", "; ", " ;"))
}

// simQuote quotes where the grammar demands it, and sometimes where it only
// may.
func simQuote(s *sim, value string) string {
	if refToken(value) && s.chance(60) {
		return value
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// node writes the address of the party that spoke to the hop.
func (s *sim) node(at, from simParty, rfc7239 bool) string {
	if at.id != "" {
		return at.id
	}
	withPort := netip.AddrPortFrom(from.addr, from.peer).String()
	if from.addr.Is4() {
		return pick(s, from.addr.String(), from.addr.String(), withPort)
	}
	bracketed := "[" + from.addr.String() + "]"
	if rfc7239 {
		return pick(s, bracketed, withPort)
	}
	return pick(s, from.addr.String(), bracketed, withPort)
}

// arrive turns the simulated message into the request the application sees.
func (s *sim) arrive(f *simFlow, host string) {
	in := f.parties[0]
	q := refRequest{host: host, tls: in.tls, header: http.Header{}}
	q.remote = netip.AddrPortFrom(in.addr, in.peer).String()
	if in.addr.Is4() && s.chance(20) {
		q.remote = netip.AddrPortFrom(netip.AddrFrom16(in.addr.As16()), in.peer).String()
	}
	for name, lines := range f.header {
		for _, line := range lines {
			q.header.Add(name, simJoin(s, line))
		}
	}
	first := f.cfg.hops[0]
	if first.rules[refFor].act == refPROXY && in.hop == 0 {
		f.balanced = true
		q.transport = s.transport(f)
		if first.rules[refProto].act != refPROXY && len(f.parties) > 1 {
			q.tls = f.parties[1].tls // bytes pass: the socket is the client's own
		}
	}
	q.unix = slices.Contains(first.from, "unix") && in.hop == 0
	if q.unix {
		q.remote = pick(s, "@", "", "/run/app.sock")
	}
	f.request = q
}

func (s *sim) transport(f *simFlow) *forwarded.Transport {
	t := &forwarded.Transport{Peer: netip.AddrPortFrom(f.parties[0].addr, f.parties[0].peer)}
	if len(f.parties) == 1 {
		t.Local = true
		return t
	}
	from := f.parties[1]
	t.Source = netip.AddrPortFrom(from.addr, from.peer)
	t.Destination = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.200"), from.port)
	return t
}

func simJoin(s *sim, line []simEntry) string {
	texts := make([]string, len(line))
	for i, e := range line {
		texts[i] = e.text
	}
	return strings.Join(texts, pick(s, ", ", ",", " , ", "\t,\t"))
}

// ---- the verdict

// survives reports whether what a hop wrote for one kind reached the
// application.
func (f *simFlow) survives(hop int, kind refKind) bool {
	if f.cfg.hops[hop].rules[refFor].act == refPROXY {
		return f.cfg.hops[hop].rules[kind].act == refPROXY && f.balanced && !f.request.transport.Local
	}
	for _, lines := range f.header {
		for _, line := range lines {
			if slices.ContainsFunc(line, func(e simEntry) bool { return e.writer == hop && e.kinds[kind] }) {
				return true
			}
		}
	}
	return false
}

// limit reports whether the documented limit is reached: the party after the
// last hop in order is not the next hop, but speaks from its range.
func (f *simFlow) limit() bool {
	return f.known() && f.k < len(f.parties) && f.k < len(f.cfg.hops) && simIn(f.cfg.hops[f.k], f.speaker().addr)
}

// unproven reports whether only the missing secret keeps the limit away.
func (f *simFlow) unproven() bool {
	hop := f.cfg.hops[f.k]
	return hop.secret != "" && f.request.header.Get(hop.secretHeader) != hop.secret
}

func simIn(h refHop, addr netip.Addr) bool {
	return slices.ContainsFunc(h.from, func(from string) bool {
		if one, err := netip.ParseAddr(from); err == nil {
			return one == addr
		}
		p, err := netip.ParsePrefix(from)
		return err == nil && p.Contains(addr)
	})
}

// skipped reports whether the speaker's address is a later hop's.
func (f *simFlow) skipped() bool {
	return f.k < len(f.parties) && f.k < len(f.cfg.hops) &&
		slices.ContainsFunc(f.cfg.hops[f.k+1:], func(h refHop) bool { return simIn(h, f.speaker().addr) })
}

// visible counts the hops whose For entries a resolver can read one after the
// other; said is false where the last of them wrote no address.
func (f *simFlow) visible() (hops int, said bool) {
	for j := range f.k {
		if !f.survives(j, refFor) || f.parties[j].id != "" && f.cfg.hops[j].rules[refFor].act != refPROXY {
			return j + 1, false
		}
	}
	return f.k, true
}

// known reports whether every consumed hop's word about its client arrived.
func (f *simFlow) known() bool {
	visible, said := f.visible()
	return visible == f.k && said
}

// judge compares an answer with the truth; "" when nothing in it is wrong and
// nothing is missing that was there to be known.
func (s *sim) judge(f *simFlow, info forwarded.Info) string {
	switch {
	case f.probe:
		return s.judgeProbe(f, info)
	case f.limit() && f.unproven():
		s.count["no secret"]++
		return simUnknown(info)
	case f.limit():
		s.count["limit"]++
		if s.wrong(f, info) != "" {
			s.count["limit: wrong"]++
		}
		return ""
	case f.skipped():
		s.count["skipped hop"]++
		return simUnknown(info)
	}
	if problem := s.wrong(f, info); problem != "" {
		return problem
	}
	return s.missing(f, info)
}

// judgeProbe: whoever asks on its own account is no client, unless the
// dangerous setting says so.
func (s *sim) judgeProbe(f *simFlow, info forwarded.Info) string {
	s.count["probe"]++
	if f.k > 1 {
		s.count["probe of an outer hop"]++
	}
	if f.cfg.localPeerIsClient && info.Status == forwarded.StatusLocal {
		info.Port = 0 // as the Host has it, and a probe's has what it likes
		return s.wrong(f, info)
	}
	return simUnknown(info)
}

func simUnknown(info forwarded.Info) string {
	if info.Client.IsValid() || info.Status == forwarded.StatusForwarded || info.Status == forwarded.StatusDirect {
		return "a client where nobody can know it"
	}
	return ""
}

// wrong lists what the answer claims and the truth denies. The host of an
// answer without a client is not held against it: where the walk stopped early
// it is the Host as received, which a hop further out may have replaced.
func (s *sim) wrong(f *simFlow, info forwarded.Info) string {
	sp := f.speaker()
	switch {
	case info.Client.IsValid() && info.Client != sp.addr.Unmap():
		return fmt.Sprintf("wrong client: %v, truth %v", info.Client, sp.addr)
	case info.Client.IsValid() && info.ClientPort != 0 && info.ClientPort != sp.peer:
		return fmt.Sprintf("wrong client port: %d, truth %d", info.ClientPort, sp.peer)
	case info.Scheme != forwarded.SchemeUnknown && info.Scheme != refSocket(sp.tls):
		return fmt.Sprintf("wrong scheme: %v, truth %v", info.Scheme, refSocket(sp.tls))
	case info.Port != 0 && info.Port != f.truePort(sp):
		return fmt.Sprintf("wrong port: %d, truth %d", info.Port, f.truePort(sp))
	case info.Host != "" && info.Host != f.trueHost(sp) && info.Client.IsValid():
		return fmt.Sprintf("wrong host: %q, truth %q", info.Host, f.trueHost(sp))
	case info.Prefix != "" && (f.k == 0 || info.Prefix != f.parties[f.k-1].pre):
		return fmt.Sprintf("wrong prefix %q", info.Prefix)
	case info.Client.IsValid() && info.Hops != f.k:
		return fmt.Sprintf("%d hops, truth %d", info.Hops, f.k)
	}
	return ""
}

// truePort is the port the client used; without a hop in between only the
// Host tells, or the scheme.
func (f *simFlow) truePort(sp simParty) uint16 {
	if f.k > 0 {
		return sp.port
	}
	if _, port, ok := refHostPort(sp.host); ok && port != 0 {
		return port
	}
	if sp.tls {
		return 443
	}
	return 80
}

func (f *simFlow) trueHost(sp simParty) string {
	host, _, ok := refHostPort(sp.host)
	if !ok {
		return ""
	}
	if len(f.cfg.hosts) > 0 && !slices.ContainsFunc(f.cfg.hosts, func(h string) bool { return refHostMatches(h, host) }) {
		return ""
	}
	return host
}

// missing lists what nothing destroyed and the answer does not give.
func (s *sim) missing(f *simFlow, info forwarded.Info) string {
	visible, _ := f.visible()
	known := f.known()
	s.countTruth(f, known, visible)
	switch {
	case known && !info.Client.IsValid():
		return "the client is unknown, and nothing destroyed it"
	case !known:
		return s.missingBehindUnknown(f, info, visible)
	}
	return s.missingFacts(f, info)
}

// missingBehindUnknown: the client is gone, but where every hop is accounted
// for, what the outermost one said about its own connection still holds.
func (s *sim) missingBehindUnknown(f *simFlow, info forwarded.Info, visible int) string {
	if visible < len(f.cfg.hops) || !f.survives(visible-1, refProto) {
		return ""
	}
	if info.Status == forwarded.StatusLocal {
		return "a probe, although a hop wrote its headers"
	}
	if info.Scheme == forwarded.SchemeUnknown {
		return "the scheme is unknown, and nothing destroyed it"
	}
	s.count["scheme without client"]++
	return ""
}

func (s *sim) missingFacts(f *simFlow, info forwarded.Info) string {
	sp := f.speaker()
	if f.k == 0 {
		s.count["direct"]++
		if info.Scheme == forwarded.SchemeUnknown || info.Host != f.trueHost(sp) {
			return "a direct request, and not everything known"
		}
		return ""
	}
	if !f.schemeTold() {
		s.count["destroyed: scheme"]++
	} else if s.count["scheme known"]++; info.Scheme == forwarded.SchemeUnknown {
		return "the scheme is unknown, and nothing destroyed it"
	}
	if f.survives(f.k-1, refPort) {
		if s.count["port known"]++; info.Port == 0 {
			return "the port is unknown, and nothing destroyed it"
		}
	}
	if f.survives(f.k-1, refPrefix) {
		if s.count["prefix known"]++; info.Prefix == "" {
			return "the prefix is unknown, and nothing destroyed it"
		}
	}
	return s.missingHost(f, info)
}

// schemeTold reports whether anything that arrived tells the speaker's scheme:
// the outermost hop's word, the socket behind a balancer that passes bytes, or
// a port where ports tell.
func (f *simFlow) schemeTold() bool {
	last, telling := f.k-1, f.speaker().port == 443 || f.speaker().port == 80
	if f.balanced && f.k == 1 {
		return f.cfg.hops[0].rules[refProto].act != refPROXY || telling
	}
	return f.survives(last, refProto) || f.schemeByPort() && telling
}

// schemeByPort reports whether the scheme itself is lost but its port is not.
func (f *simFlow) schemeByPort() bool {
	return f.cfg.schemeFromPort && f.k > 0 && !f.survives(f.k-1, refProto) && f.survives(f.k-1, refPort)
}

func (s *sim) missingHost(f *simFlow, info forwarded.Info) string {
	replaced := slices.ContainsFunc(f.cfg.hops[:f.k], func(h refHop) bool { return h.replacesHost })
	if replaced && !f.survives(f.k-1, refHost) {
		s.count["destroyed: host"]++
		return ""
	}
	want := f.trueHost(f.speaker())
	if want == "" {
		return ""
	}
	s.count["host known"]++
	if info.Host == "" {
		return "the host is unknown, and nothing destroyed it"
	}
	return ""
}

// countTruth keeps the books for report.
func (s *sim) countTruth(f *simFlow, known bool, visible int) {
	if known {
		s.count["client known"]++
	} else {
		s.count["destroyed: client"]++
	}
	if !known && f.survives(visible-1, refFor) {
		s.count["obfuscated"]++
	}
	if f.request.unix {
		s.count["unix"]++
	}
	if known && f.schemeByPort() && f.schemeTold() {
		s.count["scheme from port"]++
	}
	if f.balanced {
		s.count["balancer"]++
	}
	if known && f.k < len(f.parties)-1 {
		s.count["undeclared proxy taken for the client"]++
	}
	if known && slices.ContainsFunc(f.cfg.hops[:f.k], func(h refHop) bool { return simIn(h, f.speaker().addr) }) {
		s.count["client inside a consumed range"]++
	}
}
