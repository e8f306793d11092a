package forwarded

import (
	"net/http"

	"github.com/knownhops/knownhops/internal/hostport"
)

// host decides which host the client asked for: what the last consumed hop
// wrote, if it writes one that survives; otherwise the request's own, unless a
// hop replaced that. Whether the client is known does not matter. The port is
// the one in the request's own Host, 0 if that was not used.
func (t *topology) host(r *http.Request, w *walk, in *reader) (port uint16) {
	if w.info.Hops > 0 {
		if rd := &t.nodes[w.info.Hops-1].read[kindHost]; rd.readable() && t.hostBy(rd, w, in) {
			return 0
		}
	}
	if w.replaced || w.info.Hops > 0 && t.nodes[w.info.Hops-1].replacesHost {
		w.refuseHost(ReasonHostReplaced)
		return 0
	}
	host, port, reason := t.parseHost(r.Host)
	w.info.Host = host
	w.refuseHost(reason)
	return port
}

// refuseHost keeps the first reason.
func (w *walk) refuseHost(why Reason) {
	if w.info.HostReason == 0 {
		w.info.HostReason = why
	}
}

// hostBy reads the hop's own header. A value that is refused leaves its reason
// and lets the request's Host stand in; one that is absent does so silently.
func (t *topology) hostBy(rd *reading, w *walk, in *reader) bool {
	text, reason := in.value(rd, kindHost, in.lines(rd))
	switch {
	case reason == ReasonSchemeMissing:
		return false
	case reason != 0:
		w.refuseHost(ReasonBadHost)
		return false
	}
	host, _, reason := t.parseHost(text)
	if reason != 0 {
		w.refuseHost(reason)
		return false
	}
	w.info.Host = host
	w.read |= 1 << kindHost
	return true
}

// parseHost applies the grammar and the allow-list.
func (t *topology) parseHost(text string) (host string, port uint16, why Reason) {
	usual := t.usualHost.Load()
	if usual != nil && *usual == text {
		return text, 0, 0
	}
	host, port, ok := hostport.ParseHost(text)
	if !ok {
		return "", 0, ReasonBadHost
	}
	if !t.hosts.Empty() && !t.hosts.Has(host) {
		return "", port, ReasonHostNotAllowed
	}
	if usual == nil && host == text {
		t.noteUsual(host)
	}
	return host, port, 0
}

// noteUsual remembers the first host that needed no change: most services have
// one. It changes no answer, only how fast the next one comes.
func (t *topology) noteUsual(host string) {
	t.usualHost.CompareAndSwap(nil, &host)
}
