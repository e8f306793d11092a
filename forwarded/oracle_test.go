package forwarded_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// This file is a second implementation of Resolve, written from the rules
// alone, to be read and not to be fast: it cuts whole headers into lists, looks
// positions up at request time and compiles nothing. Where it and the package
// disagree, one of them has misread the rules.

// A refKind is one of the facts that a hop can hand on.
type refKind int

const (
	refFor refKind = iota
	refProto
	refHost
	refPort
	refPrefix
	refKinds
)

// A refAct is what a hop does with the headers of one kind.
type refAct int

const (
	refPasses refAct = iota
	refSets
	refAppends
	refAppendsSelf
	refDrops
	refPROXY
)

// A refRule is a forwarded.Rule that can be looked into. Only refDrops has more
// or less than one header; with none it means every header of the kind.
type refRule struct {
	act     refAct
	headers []string
}

func refWrites(act refAct, header string) refRule { return refRule{act, []string{header}} }

func (r refRule) rule() forwarded.Rule {
	switch r.act {
	case refSets:
		return forwarded.Sets(r.headers[0])
	case refAppends:
		return forwarded.Appends(r.headers[0])
	case refAppendsSelf:
		return forwarded.AppendsWithSelf(r.headers[0])
	case refDrops:
		return forwarded.Drops(r.headers...)
	case refPROXY:
		return forwarded.FromPROXY()
	}
	return forwarded.Passes()
}

// writes reports whether the rule leaves a value of the hop's own in a header.
func (r refRule) writes() bool {
	return r.act == refSets || r.act == refAppends || r.act == refAppendsSelf
}

// A refHop describes a hop twice over: for the reference and, through hop, for
// the package.
type refHop struct {
	from         []string
	self         []string
	replacesHost bool
	secretHeader string
	secret       string
	rules        [refKinds]refRule
}

func (h refHop) hop(name string) forwarded.Hop {
	hop := forwarded.Hop{
		Name: name, From: h.from, Self: h.self, ReplacesHost: h.replacesHost,
		For: h.rules[refFor].rule(), Proto: h.rules[refProto].rule(), Host: h.rules[refHost].rule(),
		Port: h.rules[refPort].rule(), Prefix: h.rules[refPrefix].rule(),
	}
	if h.secret != "" {
		hop.Secret = forwarded.Secret{Header: h.secretHeader, Values: []string{h.secret}}
	}
	return hop
}

// String shows a topology in a failure message.
func (h refHop) String() string { return fmt.Sprintf("%v", h.hop("")) }

// A refConfig is the part of a Config that the answer depends on.
type refConfig struct {
	hops              []refHop
	hosts             []string
	schemeFromPort    bool
	localPeerIsClient bool
}

func (c refConfig) config() forwarded.Config {
	cfg := forwarded.Config{
		Hosts: c.hosts, SchemeFromPort: c.schemeFromPort,
		DangerouslyLocalPeerIsClient: c.localPeerIsClient,
		Logger:                       slog.New(slog.DiscardHandler),
	}
	for i, h := range c.hops {
		cfg.Hops = append(cfg.Hops, h.hop("hop"+strconv.Itoa(i+1)))
	}
	return cfg
}

func (c refConfig) policy(t testing.TB) *forwarded.Policy {
	t.Helper()
	p, err := forwarded.New(c.config())
	if err != nil {
		t.Fatalf("New refused %+v:\n%v", c, err)
	}
	return p
}

// A refRequest is a request as far as Resolve may look at it.
type refRequest struct {
	remote    string // RemoteAddr
	unix      bool   // the listener is a unix socket
	transport *forwarded.Transport
	tls       bool
	host      string
	header    http.Header
}

// refTransportAddr is the local address that a PROXY listener puts under a
// connection.
type refTransportAddr struct {
	net.Addr
	transport forwarded.Transport
}

func (a refTransportAddr) Transport() forwarded.Transport { return a.transport }

func (q refRequest) request() *http.Request {
	var local net.Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	if q.unix {
		local = &net.UnixAddr{Name: "/run/app.sock", Net: "unix"}
	}
	if q.transport != nil {
		local = refTransportAddr{local, *q.transport}
	}
	r := &http.Request{
		Method: "GET", URL: &url.URL{Path: "/"}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host: q.host, Header: q.header, RemoteAddr: q.remote,
	}
	if q.tls {
		r.TLS = &tls.ConnectionState{}
	}
	return r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, local))
}

// A refReading settles what the rules leave open. An answer is right if some
// reading gives it.
type refReading struct {
	scanned  int  // bytes after which the scan gives up
	long     bool // an element longer than any address is too long, not malformed
	bypassed bool // a request that came past a hop counts as changed by that hop too, not only by its sender
}

var refReadings = []refReading{
	{4000, false, false}, {4000, true, false}, {4200, false, false}, {4200, true, false},
	{4000, false, true}, {4000, true, true}, {4200, false, true}, {4200, true, true},
}

// refLongElement is the length above which a reading may refuse one element
// without looking into it.
const refLongElement = 128

// A refAnswer is the Info that the rules demand. Where they leave the choice of
// a word open, reasons hold every word allowed.
type refAnswer struct {
	client     netip.Addr
	clientPort uint16
	clientID   string
	scheme     forwarded.Scheme
	host       string
	port       uint16
	prefix     string
	hops       int
	complete   bool
	status     forwarded.Status
	reasons    []forwarded.Reason
	schemes    []forwarded.Reason // SchemeReason
	hostWhy    []forwarded.Reason // HostReason
}

// differs says where an Info is not the answer; "" when it is.
func (a refAnswer) differs(got forwarded.Info) string {
	var d []string
	check := func(ok bool, name string, got, want any) {
		if !ok {
			d = append(d, fmt.Sprintf("%s is %v, want %v", name, got, want))
		}
	}
	check(got.Client == a.client, "Client", got.Client, a.client)
	check(got.ClientPort == a.clientPort, "ClientPort", got.ClientPort, a.clientPort)
	check(got.ClientID == a.clientID, "ClientID", got.ClientID, a.clientID)
	check(got.Scheme == a.scheme, "Scheme", got.Scheme, a.scheme)
	check(got.Host == a.host, "Host", got.Host, a.host)
	check(got.Port == a.port, "Port", got.Port, a.port)
	check(got.Prefix == a.prefix, "Prefix", got.Prefix, a.prefix)
	check(got.Hops == a.hops, "Hops", got.Hops, a.hops)
	check(got.Complete == a.complete, "Complete", got.Complete, a.complete)
	check(got.Status == a.status, "Status", got.Status, a.status)
	check(slices.Contains(a.reasons, got.Reason), "Reason", got.Reason, a.reasons)
	check(slices.Contains(a.schemes, got.SchemeReason), "SchemeReason", got.SchemeReason, a.schemes)
	check(slices.Contains(a.hostWhy, got.HostReason), "HostReason", got.HostReason, a.hostWhy)
	return strings.Join(d, "; ")
}

// disagrees compares one Info with every reading of the rules.
func (c refConfig) disagrees(q refRequest, got forwarded.Info) string {
	first := ""
	for _, reading := range refReadings {
		d := c.resolve(q, reading).differs(got)
		if d == "" {
			return ""
		}
		if first == "" {
			first = d
		}
	}
	return first
}

// A refWalk is the state of one resolution.
type refWalk struct {
	refConfig
	refReading
	q      refRequest
	k      int        // hops consumed
	cur    netip.Addr // who the innermost unconsumed connection came from
	port   uint16
	unix   bool
	id     string
	reason forwarded.Reason // zero while the walk goes on
	either []forwarded.Reason
	noFor  bool // a Mismatch because the For header of the last hop is not there
	sender int  // SkippedHop: which hop sent the request, counted from one
}

// resolve gives the one answer of one reading.
func (c refConfig) resolve(q refRequest, reading refReading) refAnswer {
	w := &refWalk{refConfig: c, refReading: reading, q: q}
	w.start()
	for w.reason == 0 && w.k < len(w.hops) && w.matches(w.hops[w.k]) {
		if !w.proves(w.hops[w.k]) {
			w.reason = forwarded.ReasonBadSecret
			break
		}
		w.k++
		w.readFor()
	}
	if w.reason == 0 {
		w.end()
	}
	return w.answer()
}

// start finds the first address: the other end of the socket, or what the
// PROXY header of a declared balancer says about it.
func (w *refWalk) start() {
	switch {
	case w.q.transport != nil:
		w.at(w.q.transport.Peer)
	case w.q.unix:
		w.unix = true
	default:
		addr, port, ok := refEndpoint(w.q.remote)
		if !ok || port == 0 {
			w.reason = forwarded.ReasonBadPeer
			return
		}
		w.at(netip.AddrPortFrom(addr, port))
	}
	switch {
	case w.proxied() && w.matches(w.hops[0]):
		w.k = 1
		w.readPROXY()
	case w.q.transport != nil:
		w.reason = forwarded.ReasonMismatch
	}
}

func (w *refWalk) at(peer netip.AddrPort) {
	w.cur, w.port = peer.Addr().Unmap().WithZone(""), peer.Port()
}

func (w *refWalk) readPROXY() {
	switch t := w.q.transport; {
	case t == nil:
		w.reason = forwarded.ReasonMismatch
	case t.Local:
		w.reason = forwarded.ReasonLocal
	default:
		w.at(t.Source)
	}
}

// matches reports whether the walk stands at an address that the hop connects
// from.
func (w *refWalk) matches(h refHop) bool {
	return slices.ContainsFunc(h.from, func(from string) bool {
		if from == "unix" || w.unix {
			return from == "unix" && w.unix
		}
		if from == forwarded.AnyPeer {
			return true
		}
		if addr, err := netip.ParseAddr(from); err == nil {
			return addr == w.cur
		}
		return netip.MustParsePrefix(from).Contains(w.cur)
	})
}

// proxied reports whether the first hop speaks through the PROXY header.
func (w *refWalk) proxied() bool {
	return len(w.hops) > 0 && w.hops[0].rules[refFor].act == refPROXY
}

func (w *refWalk) proves(h refHop) bool {
	return h.secret == "" || slices.Equal(w.q.header.Values(h.secretHeader), []string{h.secret})
}

// readFor reads the entry that hop k wrote and steps to the address in it.
func (w *refWalk) readFor() {
	hop := w.hops[w.k-1]
	first := w.k == 1 || w.k == 2 && w.proxied()
	if first && w.silent(hop) {
		w.reason = forwarded.ReasonLocal
		return
	}
	text, found := w.find(refFor)
	w.unix = false
	switch found {
	case refFound:
		w.readNode(text, hop.rules[refFor].headers[0])
	case refLost:
		w.reason = forwarded.ReasonNotVisible
	case refTooLong:
		w.reason = forwarded.ReasonTooLong
	case refBad:
		w.reason = forwarded.ReasonMalformed
	case refLong:
		// The element may be malformed as well; which is said first is open.
		w.reason, w.either = forwarded.ReasonMismatch, []forwarded.Reason{forwarded.ReasonMalformed}
	case refEndless:
		w.reason, w.either = forwarded.ReasonTooLong, []forwarded.Reason{forwarded.ReasonMismatch, forwarded.ReasonMalformed}
	default:
		w.reason, w.noFor = forwarded.ReasonMismatch, true
	}
}

// silent reports whether nothing that the hop writes is there, which is what a
// balancer's own probes look like.
func (w *refWalk) silent(h refHop) bool {
	writes := false
	for _, r := range h.rules {
		if r.writes() {
			writes = true
			if len(w.q.header.Values(r.headers[0])) > 0 {
				return false
			}
		}
	}
	return writes
}

func (w *refWalk) readNode(text, header string) {
	addr, port, id, ok := refNode(text, header == "Forwarded")
	switch {
	case !ok:
		w.reason = forwarded.ReasonMalformed
	case id != "":
		w.reason, w.id = forwarded.ReasonObfuscated, id
	default:
		w.cur, w.port = addr, port
	}
}

// end decides what an address that is not the next hop's means.
func (w *refWalk) end() {
	for i := w.k; i < len(w.hops); i++ {
		if w.matches(w.hops[i]) {
			w.reason, w.sender = forwarded.ReasonSkippedHop, i+1
			return
		}
	}
	w.reason = forwarded.ReasonForwarded
	if w.k == 0 {
		w.reason = forwarded.ReasonDirect
	}
}

func (w *refWalk) answer() refAnswer {
	a := refAnswer{
		hops: w.k, complete: w.k > 0 && w.k == len(w.hops), clientID: w.id,
		status: refStatus(w.reason), reasons: append(w.either, w.reason),
	}
	if w.reason == forwarded.ReasonDirect || w.reason == forwarded.ReasonForwarded {
		a.client, a.clientPort = w.cur, w.port
	}
	var hostPort uint16
	a.host, hostPort, a.hostWhy = w.host()
	local := w.reason == forwarded.ReasonLocal
	switch {
	case w.reason == forwarded.ReasonDirect:
		w.socketTruth(&a, hostPort)
	case local && w.localPeerIsClient && !w.proxied():
		a.client, a.clientPort = w.cur, w.port
		w.socketTruth(&a, hostPort)
	case local && w.localPeerIsClient && w.proxied() && !w.q.transport.Local:
		// The balancer is never the client: it stands for the socket.
		a.client, a.clientPort = w.cur, w.port
		w.balanced(&a)
	case w.readable():
		w.connection(&a)
	case w.k > 0 && w.k < len(w.hops) && slices.Contains(refUndecided, w.reason):
		a.schemes = []forwarded.Reason{forwarded.ReasonSchemeMissing}
		if w.reason == forwarded.ReasonMismatch && !w.noFor {
			a.schemes = append(append(a.schemes, w.reason), w.either...)
		}
	default:
		a.schemes = append(w.either, w.reason)
	}
	return a
}

// refUndecided are the ends of a walk after which a hop may still be out there.
var refUndecided = []forwarded.Reason{
	forwarded.ReasonMismatch, forwarded.ReasonObfuscated, forwarded.ReasonNotVisible,
}

func refStatus(r forwarded.Reason) forwarded.Status {
	switch r {
	case forwarded.ReasonDirect:
		return forwarded.StatusDirect
	case forwarded.ReasonLocal:
		return forwarded.StatusLocal
	case forwarded.ReasonForwarded:
		return forwarded.StatusForwarded
	}
	return forwarded.StatusUnknown
}

// socketTruth is what holds where no hop stands between.
func (w *refWalk) socketTruth(a *refAnswer, hostPort uint16) {
	a.scheme, a.schemes = refSocket(w.q.tls), []forwarded.Reason{0}
	a.port = hostPort
	if a.port == 0 {
		a.port = map[forwarded.Scheme]uint16{forwarded.HTTP: 80, forwarded.HTTPS: 443}[a.scheme]
	}
}

func refSocket(tls bool) forwarded.Scheme {
	if tls {
		return forwarded.HTTPS
	}
	return forwarded.HTTP
}

// readable reports whether what hop k says about the connection into it may be
// believed: the walk found the client, or every hop is accounted for.
func (w *refWalk) readable() bool {
	switch w.reason {
	case forwarded.ReasonForwarded:
		return true
	case forwarded.ReasonObfuscated, forwarded.ReasonNotVisible:
		return w.k == len(w.hops)
	case forwarded.ReasonMismatch:
		return w.k == len(w.hops) && w.k > 0 && w.noFor
	}
	return false
}

// connection reads scheme, port and prefix of the connection into hop k.
func (w *refWalk) connection(a *refAnswer) {
	if w.hops[w.k-1].rules[refFor].act == refPROXY {
		w.balanced(a)
		return
	}
	if text, found := w.find(refPort); found == refFound {
		a.port, _ = refPortNumber(text)
	}
	if text, found := w.find(refPrefix); found == refFound && refPrefixOK(text) {
		a.prefix = text
	}
	a.scheme, a.schemes = w.scheme()
	w.schemeByPort(a)
}

// balanced is the connection into a balancer that speaks through the PROXY
// header: an NLB, with or without TLS of its own.
func (w *refWalk) balanced(a *refAnswer) {
	a.port = w.q.transport.Destination.Port()
	if w.hops[0].rules[refProto].act != refPROXY {
		a.scheme, a.schemes = refSocket(w.q.tls), []forwarded.Reason{0}
		return
	}
	a.schemes = []forwarded.Reason{forwarded.ReasonSchemeLost}
	w.schemeFromNumber(a)
}

func (w *refWalk) schemeByPort(a *refAnswer) {
	if w.schemeFromPort && slices.Equal(a.schemes, []forwarded.Reason{forwarded.ReasonSchemeLost}) {
		w.schemeFromNumber(a)
	}
}

func (w *refWalk) schemeFromNumber(a *refAnswer) {
	switch a.port {
	case 443:
		a.scheme, a.schemes = forwarded.HTTPS, []forwarded.Reason{0}
	case 80:
		a.scheme, a.schemes = forwarded.HTTP, []forwarded.Reason{0}
	}
}

func (w *refWalk) scheme() (forwarded.Scheme, []forwarded.Reason) {
	text, found := w.find(refProto)
	switch found {
	case refFound:
		if s := refScheme(text); s != forwarded.SchemeUnknown {
			return s, []forwarded.Reason{0}
		}
		return 0, []forwarded.Reason{forwarded.ReasonBadProto}
	case refLost:
		return 0, []forwarded.Reason{forwarded.ReasonSchemeLost}
	case refAbsent:
		return 0, []forwarded.Reason{forwarded.ReasonSchemeMissing}
	case refShort:
		return 0, []forwarded.Reason{forwarded.ReasonSchemeMissing, forwarded.ReasonMismatch}
	case refBad:
		return 0, []forwarded.Reason{forwarded.ReasonBadProto, forwarded.ReasonSchemeMissing}
	case refTooLong, refEndless:
		return 0, []forwarded.Reason{forwarded.ReasonBadProto, forwarded.ReasonTooLong, forwarded.ReasonMismatch}
	}
	return 0, []forwarded.Reason{forwarded.ReasonMismatch, forwarded.ReasonBadProto}
}

// host gives the host the client used, the port written beside it, and why
// not.
func (w *refWalk) host() (string, uint16, []forwarded.Reason) {
	var why []forwarded.Reason
	if w.k > 0 && w.hops[w.k-1].rules[refHost].writes() {
		switch text, found := w.find(refHost); found {
		case refFound:
			host, port, reason := w.allowed(text)
			if reason == 0 {
				return host, port, []forwarded.Reason{0}
			}
			why = []forwarded.Reason{reason}
		case refLost, refAbsent:
		default:
			why = []forwarded.Reason{forwarded.ReasonBadHost}
		}
	}
	if w.replaced() {
		return "", 0, append(why, forwarded.ReasonHostReplaced)
	}
	host, port, reason := w.allowed(w.q.host)
	return host, port, append(why, reason)
}

// replaced reports whether one of the hops that the request came through sent
// a Host of its own.
func (w *refWalk) replaced() bool {
	for i, h := range w.hops {
		if h.replacesHost && (i < w.k || i+1 == w.sender || i < w.sender && w.bypassed) {
			return true
		}
	}
	return false
}

// allowed parses a host and looks it up in the allow-list.
func (w *refWalk) allowed(text string) (string, uint16, forwarded.Reason) {
	host, port, ok := refHostPort(text)
	if !ok {
		return "", 0, forwarded.ReasonBadHost
	}
	if len(w.hosts) > 0 && !slices.ContainsFunc(w.hosts, func(h string) bool { return refHostMatches(h, host) }) {
		return "", port, forwarded.ReasonHostNotAllowed
	}
	return host, port, 0
}

// A refFinding is what came of looking for one hop's entry.
type refFinding int

const (
	refFound  refFinding = iota
	refLost              // the topology loses it
	refAbsent            // no such header
	refShort             // the list is too short
	refLong              // a list that the hop sets is longer than what it and the inner hops wrote
	refTooLong
	refEndless // where the list that the hop sets ends is beyond the budget
	refBad     // not the grammar of the header, or not what the hop said it adds
)

// find gives the value that hop k wrote for one kind.
func (w *refWalk) find(kind refKind) (string, refFinding) {
	rule := w.hops[w.k-1].rules[kind]
	if !rule.writes() {
		return "", refLost
	}
	header, at := rule.headers[0], 0
	for _, inner := range w.hops[:w.k-1] {
		added, erased := inner.effect(header, kind)
		if erased {
			return "", refLost
		}
		at += added
	}
	items, end := refItems(w.q.header.Values(header), header == "Forwarded")
	if rule.act != refAppendsSelf {
		return w.pick(kind, header, items, end, at, rule.act == refSets)
	}
	client, found := w.pick(kind, header, items, end, at+1, false)
	if found == refFound && !w.isSelf(items[at].text) {
		return "", refLong
	}
	return client, found
}

// isSelf reports whether an entry is one of the addresses that hop k adds
// after the client's.
func (w *refWalk) isSelf(text string) bool {
	addr, _, ok := refAddress(text)
	return ok && slices.ContainsFunc(w.hops[w.k-1].self, func(s string) bool {
		if p, err := netip.ParsePrefix(s); err == nil {
			return p.Contains(addr)
		}
		return s == addr.String()
	})
}

// effect says what a hop does to a header that a hop further out wrote.
func (h refHop) effect(header string, kind refKind) (added int, erased bool) {
	for k, r := range h.rules {
		if r.act == refDrops && len(r.headers) == 0 && (refKind(k) == kind || header == "Forwarded" && refKind(k) <= refHost) {
			erased = true
		}
		if !slices.Contains(r.headers, header) {
			continue
		}
		switch r.act {
		case refAppends:
			added = max(added, 1)
		case refAppendsSelf:
			added = 2
		default:
			erased = true
		}
	}
	return added, erased
}

// pick takes one element of a list, counted from the right.
func (w *refWalk) pick(kind refKind, header string, items []refItem, end refItem, at int, exact bool) (string, refFinding) {
	switch {
	case len(w.q.header.Values(header)) == 0:
		return "", refAbsent
	case len(items) <= at && w.over(end):
		return "", refTooLong
	case len(items) <= at:
		return "", refShort
	case w.over(items[at]):
		return "", refTooLong
	case exact && len(items) > at+1 && w.over(items[at+1]), exact && len(items) == at+1 && w.over(end):
		return "", refEndless
	case exact && len(items) > at+1:
		return "", refLong
	}
	text := items[at].text
	if header == "Forwarded" {
		return refParameter(text, kind)
	}
	if w.long && kind != refHost && kind != refPrefix {
		for _, item := range items[:at+1] {
			if len(item.text) > refLongElement {
				return "", refTooLong
			}
		}
	}
	return text, refFound
}

func (w *refWalk) over(i refItem) bool { return i.scanned > w.scanned || i.empties > 8 }

// A refItem is one element of a list and what had been seen, from the right,
// when its left end was reached.
type refItem struct {
	text    string
	scanned int
	empties int
}

// refItems cuts all lines of a header into elements, the last one first, and
// leaves empty ones out; end is what a search that finds nothing has seen.
func refItems(lines []string, quoted bool) (items []refItem, end refItem) {
	for i := len(lines) - 1; i >= 0; i-- {
		parts := strings.Split(lines[i], ",")
		if quoted {
			parts = refElements(lines[i])
		}
		for j := len(parts) - 1; j >= 0; j-- {
			end.scanned += len(parts[j]) + 1
			text := refTrim(parts[j])
			if text == "" {
				end.empties++
				continue
			}
			items = append(items, refItem{text, end.scanned, end.empties})
		}
	}
	return items, end
}

// refLower folds ASCII letters and nothing else: the Kelvin sign is no k.
func refLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func refTrim(s string) string { return strings.Trim(s, " \t") }

// refElements cuts one line of a Forwarded header at the commas outside of
// quoted strings, as seen from its right end: a quote opens a string, and the
// next one to the left that no backslash escapes closes it.
func refElements(line string) []string {
	var parts []string
	end, inside := len(line), false
	for i := len(line) - 1; i >= 0; i-- {
		before := strings.TrimRight(line[:i], `\`)
		escaped := (i-len(before))%2 == 1
		switch {
		case line[i] == '"' && !(inside && escaped):
			inside = !inside
		case line[i] == ',' && !inside:
			parts = append(parts, line[i+1:end])
			end = i
		}
	}
	parts = append(parts, line[:end])
	slices.Reverse(parts)
	return parts
}

// refParameter reads one parameter of one Forwarded element.
func refParameter(element string, kind refKind) (string, refFinding) {
	pairs, ok := refPairs(element)
	if !ok {
		return "", refBad
	}
	value, ok := pairs[map[refKind]string{refFor: "for", refProto: "proto", refHost: "host"}[kind]]
	if !ok {
		return "", refBad
	}
	return value, refFound
}

// refPairs parses one Forwarded element from left to right.
func refPairs(s string) (map[string]string, bool) {
	pairs := map[string]string{}
	for s = refTrim(s); s != ""; {
		if s[0] == ';' {
			s = refTrim(s[1:])
			continue
		}
		name, rest, ok := strings.Cut(s, "=")
		name = refLower(name)
		if _, twice := pairs[name]; !ok || twice || !refToken(name) {
			return nil, false
		}
		value, rest, ok := refValue(rest)
		if rest = refTrim(rest); !ok || rest != "" && rest[0] != ';' {
			return nil, false
		}
		pairs[name], s = value, rest
	}
	return pairs, true
}

// refValue takes a token or a quoted string off the front of s.
func refValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, "; \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], refToken(s[:end])
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return value, s[i+1:], true
		case c == '\\' && i+1 < len(s) && refText(s[i+1]):
			i++
			value += s[i : i+1]
		case c == '\\' || !refText(c):
			return "", "", false
		default:
			value += s[i : i+1]
		}
	}
	return "", "", false
}

// refText reports whether a byte may stand in a quoted string.
func refText(c byte) bool { return c == '\t' || c >= ' ' && c != 0x7f }

func refToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789"+
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// refNode parses an entry of a For header: an address, or a name in its place.
func refNode(text string, rfc7239 bool) (addr netip.Addr, port uint16, id string, ok bool) {
	name, suffix, hasPort := strings.Cut(text, ":")
	if refLower(name) == "unknown" {
		name = "unknown"
	}
	if refHidden(name) || name == "unknown" {
		return addr, 0, name, !hasPort || rfc7239 && refNodePort(suffix)
	}
	if at := strings.LastIndex(text, ":_"); rfc7239 && at >= 0 && refHidden(text[at+1:]) {
		addr, port, ok = refAddress(text[:at])
		ok = ok && port == 0
	} else {
		addr, port, ok = refAddress(text)
	}
	// RFC 7239 wants brackets around every v6 address.
	bare := rfc7239 && strings.Contains(name+suffix, ":") && !strings.HasPrefix(text, "[")
	return addr, port, "", ok && !bare
}

func refNodePort(s string) bool {
	_, ok := refPortNumber(s)
	return ok || refHidden(s)
}

// refHidden recognises an obfuscated identifier.
func refHidden(s string) bool {
	return len(s) > 1 && len(s) <= 128 && s[0] == '_' && strings.Trim(s[1:], "._-0123456789"+
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// refAddress parses an address in a header, where the unspecified one is none.
func refAddress(s string) (netip.Addr, uint16, bool) {
	addr, port, ok := refEndpoint(s)
	return addr, port, ok && !addr.IsUnspecified()
}

// refEndpoint parses v4, v4:port, v6, [v6] and [v6]:port. A zone, which will be
// dropped, is a plain name: netip takes commas and quotes for one as well.
func refEndpoint(s string) (netip.Addr, uint16, bool) {
	host, port := s, "none"
	switch {
	case strings.HasPrefix(s, "["):
		var rest string
		var ok bool
		host, rest, ok = strings.Cut(s[1:], "]")
		if !ok || !strings.Contains(host, ":") || rest != "" && rest[0] != ':' {
			return netip.Addr{}, 0, false
		}
		if rest != "" {
			port = rest[1:]
		}
	case strings.Count(s, ":") == 1:
		host, port, _ = strings.Cut(s, ":")
	}
	addr, err := netip.ParseAddr(host)
	plain := strings.Trim(refLower(addr.Zone()), "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
	addr = addr.Unmap().WithZone("")
	if err != nil || !plain {
		return netip.Addr{}, 0, false
	}
	if port == "none" {
		return addr, 0, true
	}
	number, ok := refPortNumber(port)
	if !ok {
		return netip.Addr{}, 0, false
	}
	return addr, number, true
}

func refPortNumber(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || len(s) > 5 || s[0] == '+' {
		return 0, false
	}
	return uint16(n), true
}

func refScheme(s string) forwarded.Scheme {
	switch refLower(s) {
	case "http", "ws":
		return forwarded.HTTP
	case "https", "wss":
		return forwarded.HTTPS
	}
	return forwarded.SchemeUnknown
}

func refPrefixOK(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.Contains(s, "//") && !strings.Contains(s, "..") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' })
}

// refHostPort parses a Host: a name or an address literal, and a port.
func refHostPort(s string) (host string, port uint16, ok bool) {
	if strings.HasPrefix(s, "[") {
		inside, rest, closed := strings.Cut(s[1:], "]")
		addr, err := netip.ParseAddr(inside)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", 0, false
		}
		port, ok = refHostSuffix(rest)
		return addr.String(), port, ok
	}
	host, rest := s, ""
	if colon := strings.Index(s, ":"); colon >= 0 {
		host, rest = s[:colon], s[colon:]
	}
	host = refLower(strings.TrimSuffix(host, "."))
	port, ok = refHostSuffix(rest)
	return host, port, ok && refName(host)
}

// refHostSuffix reads the port after a host; an empty one is the default.
func refHostSuffix(s string) (uint16, bool) {
	if s == "" || s == ":" {
		return 0, true
	}
	port, ok := refPortNumber(s[1:])
	return port, ok && s[0] == ':'
}

// refName accepts a host name. One that ends in a number is an address to
// every client, and then has to be a proper one.
func refName(s string) bool {
	last, digits := s[strings.LastIndex(s, ".")+1:], "0123456789"
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		last, digits = "0"+hex, digits+"abcdef"
	}
	if _, err := netip.ParseAddr(s); err != nil && last != "" && strings.Trim(last, digits) == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) < 1 || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(s) <= 253
}

func refHostMatches(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return pattern == host
}

// A ruleCase is one row of the decision table with the answer worked out by
// hand, so that the reference itself is held to something.
type ruleCase struct {
	name   string
	cfg    refConfig
	peer   string
	tls    bool
	header http.Header
	client string // "": unknown
	scheme string
	host   string
	reason string
}

func ruleCases() []ruleCase {
	alb := refHop{from: []string{"10.0.16.0/20"}}
	alb.rules = [refKinds]refRule{
		refFor: refWrites(refAppends, "X-Forwarded-For"), refProto: refWrites(refSets, "X-Forwarded-Proto"), refPort: refWrites(refSets, "X-Forwarded-Port"),
	}
	passing, setting, bare := alb, alb, alb
	passing.from, setting.from, bare.from = []string{"127.0.0.1"}, []string{"127.0.0.1"}, []string{"127.0.0.1"}
	passing.rules[refProto], passing.rules[refPort], setting.rules[refPort] = refRule{}, refRule{}, refRule{}
	bare.rules, bare.replacesHost = [refKinds]refRule{}, true
	rfc7239 := refHop{from: []string{"10.0.16.0/20"}}
	rfc7239.rules[refFor], rfc7239.rules[refProto] = refWrites(refAppends, "Forwarded"), refWrites(refAppends, "Forwarded")
	rfc7239.rules[refHost] = refWrites(refAppends, "Forwarded")

	none, one := refConfig{}, refConfig{hops: []refHop{alb}}
	story := refConfig{hops: []refHop{passing, alb}}
	lossy := refConfig{hops: []refHop{setting, alb}}
	byPort := refConfig{hops: []refHop{setting, alb}, schemeFromPort: true}
	blind := refConfig{hops: []refHop{bare, alb}}
	elements := refConfig{hops: []refHop{rfc7239}}
	lines := func(xff, proto string) http.Header {
		h := http.Header{"X-Forwarded-Port": {"443"}}
		fuzzHeader(h, "X-Forwarded-For", xff)
		fuzzHeader(h, "X-Forwarded-Proto", proto)
		return h
	}
	fwd := func(text string) http.Header { return http.Header{"Forwarded": {text}} }
	const albPeer, nginx, open = "10.0.16.1:40000", "127.0.0.1:40000", "198.51.100.9:40000"
	return []ruleCase{
		{"nothing declared", none, open, true, lines("6.6.6.6", "http"), "198.51.100.9", "https", "h.example", "direct"},
		{"an undeclared peer", one, open, false, lines("6.6.6.6", "https"), "198.51.100.9", "http", "h.example", "direct"},
		{"a probe", one, albPeer, true, http.Header{}, "", "unknown", "h.example", "local"},
		{"one hop", one, albPeer, false, lines("6.6.6.6, 203.0.113.7", "https"), "203.0.113.7", "https", "h.example", "forwarded"},
		{"re-encrypted", one, albPeer, true, lines("203.0.113.7", "http"), "203.0.113.7", "http", "h.example", "forwarded"},
		{"a client inside the hop's range", one, albPeer, false, lines("6.6.6.6, 10.0.16.9", "https"), "10.0.16.9", "https", "h.example", "forwarded"},
		{"remove mode", one, albPeer, false, lines("", "https"), "", "https", "h.example", "mismatch"},
		{"garbage", one, albPeer, false, lines("1.2.3.4, garbage", "https"), "", "unknown", "h.example", "malformed"},
		{"obfuscated", one, albPeer, false, lines("1.2.3.4, unknown", "https"), "", "https", "h.example", "obfuscated"},
		{"two schemes", one, albPeer, false, lines("203.0.113.7", "https, http"), "203.0.113.7", "unknown", "h.example", "forwarded"},
		{"no scheme", one, albPeer, false, http.Header{"X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.7", "unknown", "h.example", "forwarded"},
		{"another scheme", one, albPeer, false, lines("203.0.113.7", "javascript"), "203.0.113.7", "unknown", "h.example", "forwarded"},
		{"two hops", story, nginx, false, lines("6.6.6.6, 203.0.113.7, 10.0.16.1", "https"), "203.0.113.7", "https", "h.example", "forwarded"},
		{"past the balancer, forged proto", story, nginx, false, lines("198.51.100.9", "https"), "198.51.100.9", "unknown", "h.example", "forwarded"},
		{"past both", story, open, false, lines("6.6.6.6", "https"), "198.51.100.9", "http", "h.example", "direct"},
		{"past nginx", story, albPeer, false, lines("203.0.113.7", "https"), "", "unknown", "h.example", "skipped_hop"},
		{"$scheme behind ALB", lossy, nginx, false, lines("203.0.113.7, 10.0.16.1", "http"), "203.0.113.7", "unknown", "h.example", "forwarded"},
		{"$scheme behind ALB, by port", byPort, nginx, false, lines("203.0.113.7, 10.0.16.1", "http"), "203.0.113.7", "https", "h.example", "forwarded"},
		{"an inner hop that says nothing", blind, nginx, false, lines("203.0.113.7", "https"), "", "unknown", "", "not_visible"},
		{"a chain cut short", story, nginx, false, lines("10.0.16.1", "https"), "", "https", "h.example", "mismatch"},
		{"an element", elements, albPeer, false, fwd(`for=6.6.6.6, for="[2001:db8::7]:99";proto=https;host="a.example:8443"`), "2001:db8::7", "https", "a.example", "forwarded"},
		{"an unclosed quote on the left", elements, albPeer, false, fwd(`for="6.6.6.6, for=203.0.113.7;proto=http`), "203.0.113.7", "http", "h.example", "forwarded"},
		{"an element without for", elements, albPeer, false, fwd(`for=6.6.6.6, proto=https`), "", "unknown", "h.example", "malformed"},
		{"a comma inside quotes", elements, albPeer, false, fwd(`for="6.6.6.6, for=203.0.113.7"`), "", "unknown", "h.example", "malformed"},
		{"no port in RemoteAddr", one, "10.0.16.1", false, lines("203.0.113.7", "https"), "", "unknown", "h.example", "bad_peer"},
	}
}

func TestDecisionTableAndReference(t *testing.T) {
	for _, c := range ruleCases() {
		t.Run(c.name, func(t *testing.T) {
			q := refRequest{remote: c.peer, tls: c.tls, host: "h.example", header: c.header}
			info := c.cfg.policy(t).Resolve(q.request())
			if d := c.cfg.disagrees(q, info); d != "" {
				t.Errorf("the reference says: %s", d)
			}
			client := ""
			if info.Client.IsValid() {
				client = info.Client.String()
			}
			got := [4]string{client, info.Scheme.String(), info.Host, info.Reason.String()}
			if want := [4]string{c.client, c.scheme, c.host, c.reason}; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
