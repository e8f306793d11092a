package forwarded

import (
	"net/http"
	"net/netip"
)

// A walk is one request's way through the topology: from the socket's other
// end outwards, one hop after the other, to the client or to where the track
// is lost.
type walk struct {
	info     Info
	read     uint8 // a bit for each kind that was found where its hop wrote it
	more     bool  // something stands left of what was consumed
	long     bool  // a header that a hop replaces has more entries than it should
	replaced bool  // the request came from a hop further out than the next, which replaces Host
	noFor    bool  // the reason is a For entry that is not there at all

	spoke       bool // a hop spoke for itself: speaker
	speakerPort uint16
	speaker     netip.Addr

	entries forCursor
	entry   entry   // the last one read
	elem    element // the last one read of Forwarded, whose parameters say more than the entry
}

// forCursor remembers how far the current For header was read: hops that use
// the same header continue where the one before stopped.
type forCursor struct {
	header string
	list   list
	count  int // elements read
}

// resolve is the whole decision. It is pure: no clock, no memory, no change of
// the request. tr may be nil.
func (t *topology) resolve(r *http.Request, w *walk, tr *trace) {
	p := peerOf(r)
	w.info.Peer = p.addrPort()
	switch {
	case p.bad:
		w.lose(ReasonBadPeer)
	case p.transport != nil || t.wantsPROXY(&p):
		if cur := t.throughPROXY(&p, w, tr); cur.IsValid() {
			t.outwards(r, cur, false, w, tr)
		}
	default:
		w.info.ClientPort = p.port
		t.outwards(r, p.addr, p.unix, w, tr)
	}
	t.describe(r, w)
}

// lose ends the walk without a client.
func (w *walk) lose(why Reason) {
	w.info.Status, w.info.Reason, w.info.ClientPort = StatusUnknown, why, 0
}

// found ends the walk at the client.
func (w *walk) found(addr netip.Addr) {
	w.info.Client = withoutZone(addr)
	w.info.Status, w.info.Reason = StatusForwarded, ReasonForwarded
	if w.info.Hops == 0 {
		w.info.Status, w.info.Reason = StatusDirect, ReasonDirect
	}
}

// wantsPROXY reports whether the peer is a hop that speaks PROXY.
func (t *topology) wantsPROXY(p *peer) bool {
	return len(t.nodes) > 0 && t.nodes[0].proxy && t.nodes[0].matches(p.addr, p.unix)
}

// throughPROXY takes the first hop's word from the PROXY header. It returns
// the address to go on from, or an invalid one if the walk ended. A header
// from a peer that is no such hop, and a such hop without a header, are
// contradictions: the balancer is never the client.
func (t *topology) throughPROXY(p *peer, w *walk, tr *trace) (cur netip.Addr) {
	if !t.wantsPROXY(p) {
		w.lose(ReasonMismatch)
		tr.undeclaredPROXY(w)
		return cur
	}
	w.info.Hops = 1
	tr.hop(&t.nodes[0], p.addr, p.unix)
	switch tp := p.transport; {
	case tp == nil:
		w.lose(ReasonMismatch)
	case tp.Local:
		w.lose(ReasonLocal)
		w.info.Status = StatusLocal
	case !tp.Source.Addr().IsValid() || tp.Source.Addr().IsUnspecified():
		w.lose(ReasonObfuscated)
		w.proxied(tp, t.nodes[0].proxyScheme)
	default:
		cur = withoutZone(tp.Source.Addr().Unmap())
		w.info.ClientPort = tp.Source.Port()
		w.proxied(tp, t.nodes[0].proxyScheme)
	}
	return cur
}

// proxied notes what the PROXY header's destination tells of the connection.
func (w *walk) proxied(tp *Transport, scheme bool) {
	w.info.Port = tp.Destination.Port()
	if scheme {
		w.info.Scheme = schemeOfPort(w.info.Port)
	}
}

// outwards walks from the address cur to the client. Each hop is used at most
// once, and whatever stands further left than its entry is never looked at.
func (t *topology) outwards(r *http.Request, cur netip.Addr, unix bool, w *walk, tr *trace) {
	for w.info.Hops < len(t.nodes) && t.nodes[w.info.Hops].matches(cur, unix) {
		n := &t.nodes[w.info.Hops]
		if n.proof != nil && !n.proof.shown(r.Header) {
			w.lose(ReasonBadSecret)
			tr.badSecret(n, cur)
			return
		}
		w.info.Hops++
		tr.hop(n, cur, unix)
		if addr, port, ok := n.soleAddress(r.Header); ok {
			tr.entry(n, entry{addr: addr, port: port})
			cur, unix, w.info.ClientPort = addr, false, port
			continue
		}
		w.readFor(n, r.Header, w.info.Hops == 1 || w.info.Hops == 2 && t.nodes[0].proxy)
		tr.entry(n, w.entry)
		if w.entry.reason != 0 {
			w.end(cur)
			return
		}
		cur, unix, w.info.ClientPort = w.entry.addr, false, w.entry.port
	}
	if !t.skips(cur, unix, w, tr) {
		w.found(cur)
	}
}

// soleAddress is what most requests need of all that follows: a header whose
// only line is one address.
func (n *node) soleAddress(h http.Header) (addr netip.Addr, port uint16, ok bool) {
	rd := &n.read[kindFor]
	if !rd.readable() {
		return netip.Addr{}, 0, false
	}
	return parseAddress(rd.whole(h[rd.header]))
}

// skips reports whether cur belongs to a hop further out than the next. Then
// a hop was removed or passed by, or the client sits inside a trusted range;
// these cannot be told apart.
func (t *topology) skips(cur netip.Addr, unix bool, w *walk, tr *trace) bool {
	for i := w.info.Hops + 1; i < len(t.nodes); i++ {
		if t.nodes[i].matches(cur, unix) {
			w.lose(ReasonSkippedHop)
			w.replaced = w.replaced || t.cfg.Hops[i].ReplacesHost
			tr.skipped(&t.nodes[i], cur)
		}
	}
	return w.info.Reason == ReasonSkippedHop
}

// end ends the walk at an entry that is no address.
func (w *walk) end(cur netip.Addr) {
	if w.entry.reason == ReasonLocal {
		w.spoke, w.speaker, w.speakerPort = true, cur, w.info.ClientPort
		w.lose(ReasonLocal)
		w.info.Status = StatusLocal
		return
	}
	w.info.ClientID = w.entry.id
	w.lose(w.entry.reason)
}

// readFor reads what hop n wrote about who connected to it. first says that no
// HTTP hop is further in: only then can a hop that wrote nothing at all be
// speaking for itself.
func (w *walk) readFor(n *node, h http.Header, first bool) {
	rd := &n.read[kindFor]
	lines := h[rd.header]
	switch {
	case first && len(lines) == 0 && len(n.writes) > 0 && !n.wrote(h):
		w.entry = entry{reason: ReasonLocal}
	case !rd.readable():
		w.entry = entry{reason: ReasonNotVisible}
	case len(lines) == 0:
		w.entry, w.noFor = entry{reason: ReasonMismatch}, true
	default:
		w.readEntry(n, rd, lines)
	}
}

// wrote reports whether any header is there in which the hop leaves a value.
func (n *node) wrote(h http.Header) bool {
	for _, name := range n.writes {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// readEntry goes on in the header to the hop's position.
func (w *walk) readEntry(n *node, rd *reading, lines []string) {
	c := &w.entries
	if c.header != rd.header {
		w.more = w.leftovers()
		c.header, c.count = rd.header, 0
		c.list.start(lines)
	}
	for c.count <= rd.pos {
		before := c.count
		selfOK := !rd.self || c.count == rd.pos && w.entry.reason == 0 && n.self.Has(w.entry.addr)
		c.next(&w.entry, &w.elem)
		switch {
		case c.count == before:
			w.noFor = w.entry.reason == ReasonMismatch
			return
		case c.count > rd.pos && !selfOK:
			w.entry = entry{reason: ReasonMismatch}
			return
		}
	}
	if rd.exact && w.tooMany(c.list, rd.header == rfc7239) {
		w.entry = entry{reason: ReasonMismatch}
	}
}

// leftovers reports whether any list holds more than what was consumed.
func (w *walk) leftovers() bool {
	return w.more || w.entries.header != "" && w.entries.list.more()
}

// next reads and parses the element to the left. One that is not there, or too
// long, is not counted.
func (c *forCursor) next(e *entry, elem *element) {
	var item string
	*e = entry{}
	if c.header == rfc7239 {
		item, e.reason = c.list.prevElement()
	} else {
		item, e.reason = c.list.prev()
	}
	if e.reason != 0 {
		return
	}
	c.count++
	if c.header != rfc7239 {
		parseEntry(item, e)
		return
	}
	var ok bool
	if *elem, ok = parseElement(item); !ok || !elem.hasFor {
		e.reason = ReasonMalformed
		return
	}
	parseNode(elem.node, e)
}

// tooMany reports whether anything but empty elements stands left of what was
// read, and remembers it.
func (w *walk) tooMany(rest list, quoted bool) bool {
	if !rest.more() {
		return false
	}
	var reason Reason
	if quoted {
		_, reason = rest.prevElement()
	} else {
		_, reason = rest.prev()
	}
	w.long = w.long || reason != ReasonMismatch
	return reason != ReasonMismatch
}

func schemeOfPort(port uint16) Scheme {
	switch port {
	case 443:
		return HTTPS
	case 80:
		return HTTP
	}
	return SchemeUnknown
}
