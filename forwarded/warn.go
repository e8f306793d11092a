package forwarded

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
)

// A Warning is something about a request that an operator should change. Its
// code is stable; Fix says in one sentence what to do.
type Warning struct {
	Code    string `json:"code"` // "W1" to "W14"
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

// warnSet has a bit for each code.
type warnSet uint16

const (
	w1  warnSet = 1 << (iota + 1) // a trusted peer wrote no For header
	w2                            // proto and port disagree
	w3                            // X-Forwarded-Host or -Prefix that no hop vouches for
	w4                            // Forwarded, which no hop declares
	w5                            // the client lies in a consumed hop's range
	w6                            // an undeclared peer sent forwarding headers
	w7                            // Connection nominates forwarding headers
	w8                            // an alias of a forwarding header
	w9                            // a list is longer than declared
	w10                           // an entry is malformed or obfuscated
	w11                           // the host is refused
	w12                           // the peer belongs to a hop further out
	w13                           // TLS on the leg from a hop
	w14                           // an undeclared peer looks like a balancer
)

const lastWarning = 14

// warnings judges a resolved request. It allocates nothing.
func (t *topology) warnings(r *http.Request, w *walk, seen *sighting) (set warnSet) {
	add := func(is bool, code warnSet) {
		if is {
			set |= code
		}
	}
	info := &w.info
	behind := info.Hops > 0
	add(info.Status == StatusLocal || info.Reason == ReasonMismatch && !w.long, w1)
	add(behind && t.disagrees(r, w), w2)
	add(seen.host, w3)
	add(seen.rfc7239, w4)
	add(behind && info.Client.IsValid() && t.insideConsumed(w), w5)
	add(!behind && seen.family && info.Status == StatusDirect || info.Reason == ReasonBadSecret, w6)
	add(seen.nominates, w7)
	add(seen.alias, w8)
	add(w.long || info.SchemeReason == ReasonMismatch && info.Reason != ReasonMismatch, w9)
	add(info.Reason == ReasonMalformed || info.Reason == ReasonObfuscated || info.Reason == ReasonTooLong, w10)
	add(info.HostReason != 0 && r.Host != "", w11)
	add(info.Reason == ReasonSkippedHop, w12)
	add(behind && r.TLS != nil && !t.nodes[info.Hops-1].proxy, w13)
	if set&w6 != 0 && looksLikeBalancer(r.Header) {
		set = set&^w6 | w14
	}
	return set
}

// disagrees reports whether the port that a hop vouches for belongs to the
// other scheme than the one in the header: a hop further in rewrote one.
func (t *topology) disagrees(r *http.Request, w *walk) bool {
	byPort := schemeOfPort(w.info.Port)
	if byPort == SchemeUnknown || byPort == w.info.Scheme && w.info.SchemeReason == 0 && !t.cfg.SchemeFromPort {
		return false
	}
	lines := r.Header[t.protoHeader(w)]
	if len(lines) == 0 {
		return false
	}
	last := lines[len(lines)-1]
	byHeader := parseScheme(strings.Trim(last[strings.LastIndexByte(last, ',')+1:], " \t"))
	return byHeader != SchemeUnknown && byHeader != byPort
}

// protoHeader is where the last consumed hop, or the nearest that does, writes
// the scheme.
func (t *topology) protoHeader(w *walk) string {
	for i := w.info.Hops - 1; i >= 0; i-- {
		if h := t.nodes[i].read[kindProto].header; h != "" {
			return h
		}
	}
	return ""
}

// insideConsumed reports whether the client's address lies in the range of a
// hop that was consumed: an internal caller, or a second proxy of that kind.
func (t *topology) insideConsumed(w *walk) bool {
	for i := range w.info.Hops {
		if !t.nodes[i].from.Any() && t.nodes[i].from.Has(w.info.Client) {
			return true
		}
	}
	return false
}

func looksLikeBalancer(h http.Header) bool {
	proto := h[xfProto]
	return len(h["X-Amzn-Trace-Id"]) > 0 && len(proto) == 1 && parseScheme(proto[0]) == HTTPS
}

// warn logs each warning whose turn it is.
func (p *Policy) warn(t *topology, r *http.Request, w *walk, seen *sighting, set warnSet) {
	limits := p.limiter()
	for code := 1; code <= lastWarning; code++ {
		if set&(1<<code) == 0 {
			continue
		}
		if suppressed, ok := limits.turn(code, w.info.Peer.Addr()); ok {
			p.log(t, r, w, t.warning(code, r, w), suppressed)
		}
	}
}

func (p *Policy) log(t *topology, r *http.Request, w *walk, warning Warning, suppressed int) {
	level := slog.LevelWarn
	switch {
	case warning.Code == "W1" && w.info.Status == StatusLocal, warning.Code == "W13":
		level = slog.LevelDebug // a health check; a re-encrypted leg: worth knowing, nothing to mend
	}
	t.logger().Log(context.WithoutCancel(r.Context()), level, "forwarded: "+warning.Message,
		"code", warning.Code, "fix", warning.Fix, "peer", w.info.Peer.String(), "host", quoteCapped(r.Host), "suppressed", suppressed)
}

// limiter is made when it is first needed: the zero Policy has none.
func (p *Policy) limiter() *limiter {
	if p.limits.Load() == nil {
		p.limits.CompareAndSwap(nil, &limiter{})
	}
	return p.limits.Load()
}

// warnNested says that two Policies are in one chain.
func (p *Policy) warnNested(outer *carrier) {
	limits := p.limiter()
	if suppressed, ok := limits.turn(0, outer.walk.info.Peer.Addr()); ok {
		p.load().logger().Warn("forwarded: a Policy's Wrap inside another Policy's does nothing",
			"fix", "keep the outermost only, and put all hops into it", "suppressed", suppressed)
	}
}

// network is what a warning is counted by: an address's /24 or /48.
func network(addr netip.Addr) netip.Prefix {
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// warning writes one warning's sentences.
func (t *topology) warning(code int, r *http.Request, w *walk) Warning {
	message, fix := t.sentences(code, r, w)
	return Warning{Code: fmt.Sprintf("W%d", code), Message: message, Fix: fix}
}

// hopNames quotes the last consumed hop, or the first.
func (t *topology) hopNamed(w *walk) string {
	if len(t.nodes) == 0 {
		return "the peer"
	}
	return t.nodes[max(0, w.info.Hops-1)].name
}
