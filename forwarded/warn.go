package forwarded

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/knownhops/knownhops/internal/turns"
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
func (t *topology) warnings(r *http.Request, w *walk, in *reader, seen *sighting) warnSet {
	set := seen.warnings()
	if w.info.Hops > 0 {
		set |= t.warningsBehind(r, w, in)
	} else if seen.family && w.info.Status == StatusDirect {
		set |= w6
	}
	if w.info.Status == StatusUnknown || w.info.Status == StatusLocal {
		set |= w.warnings(in)
	}
	if w.info.HostReason != 0 && r.Host != "" {
		set |= w11
	}
	if set&w6 != 0 && w.info.Status == StatusDirect && looksLikeBalancer(r.Header) {
		set = set&^w6 | w14
	}
	return set
}

// warnings are those that header names alone give.
func (s *sighting) warnings() (set warnSet) {
	if s.host {
		set |= w3
	}
	if s.rfc7239 {
		set |= w4
	}
	if s.nominates {
		set |= w7
	}
	if s.alias {
		set |= w8
	}
	return set
}

// warningsBehind are those about a request that came through a hop.
func (t *topology) warningsBehind(r *http.Request, w *walk, in *reader) (set warnSet) {
	if t.disagrees(r, w) {
		set |= w2
	}
	if w.info.Client.IsValid() && t.insideConsumed(w) {
		set |= w5
	}
	if in.long || w.info.SchemeReason == ReasonMismatch && w.info.Reason != ReasonMismatch {
		set |= w9
	}
	if r.TLS != nil && !t.nodes[w.info.Hops-1].proxy {
		set |= w13
	}
	return set
}

// warnings are those about a client that is not known.
func (w *walk) warnings(in *reader) warnSet {
	switch w.info.Reason {
	case ReasonLocal:
		return w1
	case ReasonMismatch:
		if !in.long {
			return w1
		}
	case ReasonBadSecret:
		return w6
	case ReasonMalformed, ReasonObfuscated, ReasonTooLong:
		return w10
	case ReasonSkippedHop:
		return w12
	}
	return 0
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

// A turnKey is what has a turn of its own in the log.
type turnKey struct {
	code    int
	network netip.Prefix
}

// warn logs each warning whose turn it is. What is only worth knowing has
// turns of its own, so that health checks do not use up those of a mistake.
func (t *topology) warn(r *http.Request, w *walk, in *reader, set warnSet) {
	for code := 1; code <= lastWarning; code++ {
		if set&(1<<code) == 0 {
			continue
		}
		level, turn := slog.LevelWarn, code
		if code == 13 || code == 1 && w.info.Status == StatusLocal {
			level, turn = slog.LevelDebug, -code
		}
		if !t.logger().Enabled(r.Context(), level) {
			continue
		}
		if suppressed, ok := turns.Take(t.limits, turnKey{turn, turns.Network(w.info.Peer.Addr())}); ok {
			t.log(r, w, level, t.warning(code, r, w, in), suppressed)
		}
	}
}

func (t *topology) log(r *http.Request, w *walk, level slog.Level, warning Warning, suppressed int) {
	t.logger().Log(context.WithoutCancel(r.Context()), level, "forwarded: "+warning.Message,
		"code", warning.Code, "fix", warning.Fix, "peer", peerName(w.info), "host", quoteCapped(r.Host), "suppressed", suppressed)
}

func peerName(info Info) string {
	switch {
	case info.Peer.IsValid():
		return info.Peer.String()
	case info.Reason == ReasonBadPeer:
		return "unreadable"
	}
	return "unix"
}

// warnNested says that two Policies are in one chain.
func (t *topology) warnNested(peer netip.Addr) {
	if suppressed, ok := turns.Take(t.limits, turnKey{network: turns.Network(peer)}); ok {
		t.logger().Warn("forwarded: a Policy's Wrap inside another Policy's does nothing",
			"fix", "keep the outermost only, and put all hops into it", "suppressed", suppressed)
	}
}

// warning writes one warning's sentences.
func (t *topology) warning(code int, r *http.Request, w *walk, in *reader) Warning {
	message, fix := t.sentences(code, r, w, in)
	return Warning{Code: fmt.Sprintf("W%d", code), Message: message, Fix: fix}
}

// hopNamed is the name of the last consumed hop, or of the first.
func (t *topology) hopNamed(w *walk) string {
	if len(t.nodes) == 0 {
		return "the peer"
	}
	return t.nodes[max(0, w.info.Hops-1)].name
}
