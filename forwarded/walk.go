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
	replaced bool  // the request came from a hop further out than the next, which replaces Host
}

// resolve is the whole decision. It is pure: no clock, no memory, no change of
// the request. tr may be nil.
func (t *topology) resolve(r *http.Request, w *walk, in *reader, tr *trace) {
	if addr, port, ok := tcpPeer(r); ok && !t.wantsPROXY(addr, false) {
		w.info.Peer, w.info.ClientPort = netip.AddrPortFrom(addr, port), port
		t.outwards(addr, false, w, in, tr)
	} else {
		t.fromPeer(peerOf(r), w, in, tr)
	}
	t.describe(r, w, in)
}

// fromPeer starts from any peer.
func (t *topology) fromPeer(p peer, w *walk, in *reader, tr *trace) {
	w.info.Peer = p.addrPort()
	switch {
	case p.bad:
		w.lose(ReasonBadPeer)
	case p.proxied || t.wantsPROXY(p.addr, p.unix):
		if cur := t.throughPROXY(p, w, tr); cur.IsValid() {
			t.outwards(cur, false, w, in, tr)
		}
	default:
		w.info.ClientPort = p.port
		t.outwards(p.addr, p.unix, w, in, tr)
	}
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
func (t *topology) wantsPROXY(addr netip.Addr, unix bool) bool {
	return len(t.nodes) > 0 && t.nodes[0].proxy && t.nodes[0].matches(addr, unix)
}

// throughPROXY takes the first hop's word from the PROXY header. It returns
// the address to go on from, or an invalid one if the walk ended. A header
// from a peer that is no such hop, and such a hop without a header, are
// contradictions: the balancer is never the client.
func (t *topology) throughPROXY(p peer, w *walk, tr *trace) (cur netip.Addr) {
	if !t.wantsPROXY(p.addr, p.unix) {
		w.lose(ReasonMismatch)
		tr.undeclaredPROXY(w)
		return cur
	}
	w.info.Hops = 1
	tr.hop(&t.nodes[0], p.addr, p.unix)
	switch tp := &p.transport; {
	case !p.proxied:
		w.lose(ReasonMismatch)
	case tp.Local:
		w.lose(ReasonLocal)
		w.info.Status = StatusLocal
	case !tp.Source.IsValid() || withoutZone(tp.Source.Addr().Unmap()).IsUnspecified():
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
func (t *topology) outwards(cur netip.Addr, unix bool, w *walk, in *reader, tr *trace) {
	for w.info.Hops < len(t.nodes) && t.nodes[w.info.Hops].matches(cur, unix) {
		n := &t.nodes[w.info.Hops]
		if n.proof != nil && !n.proof.shown(in.header) {
			w.lose(ReasonBadSecret)
			tr.badSecret(n, cur)
			return
		}
		w.info.Hops++
		if tr != nil { // a nil trace ignores calls, but on this path they would cost
			tr.hop(n, cur, unix)
		}
		if addr, port, ok := in.soleAddress(n); ok {
			if tr != nil {
				tr.entry(n, entry{addr: addr, port: port})
			}
			cur, unix, w.info.ClientPort = addr, false, port
			continue
		}
		in.readFor(n, w.info.Hops == 1 || w.info.Hops == 2 && t.nodes[0].proxy)
		if tr != nil {
			tr.entry(n, in.entry)
		}
		if in.entry.reason != 0 {
			w.end(cur, in)
			return
		}
		cur, unix, w.info.ClientPort = in.entry.addr, false, in.entry.port
	}
	if w.info.Hops+1 >= len(t.nodes) || !t.skips(cur, unix, w, tr) {
		w.found(cur)
	}
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
func (w *walk) end(cur netip.Addr, in *reader) {
	if in.entry.reason == ReasonLocal {
		in.spoke, in.speaker, in.speakerPort = true, cur, w.info.ClientPort
		w.lose(ReasonLocal)
		w.info.Status = StatusLocal
		return
	}
	w.info.ClientID = in.entry.id
	w.lose(in.entry.reason)
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
