package forwarded

import (
	"net/http"
	"strings"

	"github.com/knownhops/knownhops/internal/hostport"
)

// describe fills in what is known of the connection that the walk ended at:
// scheme, port, prefix and host.
func (t *topology) describe(r *http.Request, w *walk, in *reader) {
	k := w.info.Hops
	w.info.Complete = k > 0 && k == len(t.nodes)
	port := t.host(r, w, in)
	switch {
	case w.info.Status == StatusDirect:
		w.bySocket(r, port)
	case in.spoke && t.cfg.DangerouslyLocalPeerIsClient:
		t.speakerIsClient(r, w, in, port)
	case w.speaks(len(t.nodes), in) && !t.strayed(w):
		t.connection(r, &t.nodes[k-1], w, in)
	default:
		w.info.Scheme, w.info.Port = SchemeUnknown, 0
		w.info.SchemeReason = w.schemeReason(len(t.nodes), in)
	}
}

// speaks reports whether the last consumed hop's words about the connection
// into it can be used: the walk ended at a client, or all hops were consumed
// and only the client's address is missing.
func (w *walk) speaks(hops int, in *reader) bool {
	if w.info.Status == StatusForwarded {
		return true
	}
	return w.info.Hops == hops && w.onlyClientMissing(in)
}

// strayed reports whether a hop that relays has not recognised the one in
// front of it: then it has taken that one for the client, and what it says is
// said of the connection in between.
func (t *topology) strayed(w *walk) bool {
	return w.info.Reason == ReasonMismatch && t.nodes[w.info.Hops-1].relayed
}

func (w *walk) onlyClientMissing(in *reader) bool {
	switch w.info.Reason {
	case ReasonMismatch:
		return in.noFor
	case ReasonObfuscated, ReasonNotVisible:
		return true
	}
	return false
}

// schemeReason says why nothing was read: a track lost with hops still
// undecided leaves the scheme missing, everything else has the client's reason.
func (w *walk) schemeReason(hops int, in *reader) Reason {
	if w.onlyClientMissing(in) && w.info.Hops < hops {
		return ReasonSchemeMissing
	}
	return w.info.Reason
}

// speakerIsClient is DangerouslyLocalPeerIsClient: the hop that spoke for
// itself made the connection.
func (t *topology) speakerIsClient(r *http.Request, w *walk, in *reader, port uint16) {
	w.info.Client, w.info.ClientPort = withoutZone(in.speaker), in.speakerPort
	if w.info.Hops == 2 && t.nodes[0].proxy {
		t.connection(r, &t.nodes[0], w, in)
		return
	}
	w.bySocket(r, port)
}

// bySocket takes the scheme from the socket and the port from the Host
// header, if it has one: nobody stands in between.
func (w *walk) bySocket(r *http.Request, port uint16) {
	w.info.Scheme = socketScheme(r)
	if w.info.Port = port; port == 0 {
		w.info.Port = w.info.Scheme.defaultPort()
	}
}

func socketScheme(r *http.Request) Scheme {
	if r.TLS != nil {
		return HTTPS
	}
	return HTTP
}

// connection reads what hop n wrote about the connection into it. r.TLS does
// not count: it is the hop's own connection, which may be encrypted whatever
// the client used. Only behind a hop that passes bytes is it the client's.
func (t *topology) connection(r *http.Request, n *node, w *walk, in *reader) {
	if n.proxy {
		switch {
		case !n.proxyScheme:
			w.info.Scheme = socketScheme(r)
		case w.info.Scheme == SchemeUnknown:
			w.info.SchemeReason = ReasonSchemeLost
		}
		return
	}
	w.info.Port = w.portBy(n, in)
	if rd := &n.read[kindPrefix]; rd.readable() {
		w.info.Prefix = w.prefixBy(rd, in)
	}
	w.info.Scheme, w.info.SchemeReason = w.schemeBy(n, in)
	if rd := &n.read[kindCert]; rd.readable() && w.info.Scheme == HTTPS && len(in.lines(rd)) == 1 {
		w.read |= 1 << kindCert
	}
	if w.info.SchemeReason == ReasonSchemeLost && t.cfg.SchemeFromPort {
		if s := schemeOfPort(w.info.Port); s != SchemeUnknown {
			w.info.Scheme, w.info.SchemeReason = s, 0
		}
	}
}

func (w *walk) schemeBy(n *node, in *reader) (Scheme, Reason) {
	rd := &n.read[kindProto]
	if !rd.readable() {
		return SchemeUnknown, ReasonSchemeLost
	}
	lines := in.lines(rd)
	s := parseScheme(rd.whole(lines))
	if s == SchemeUnknown {
		text, reason := in.value(rd, kindProto, lines)
		if s = parseScheme(text); reason == ReasonMalformed || reason == 0 && s == SchemeUnknown {
			reason = ReasonBadProto
		}
		if reason != 0 {
			return SchemeUnknown, reason
		}
	}
	w.read |= 1 << kindProto
	return s, 0
}

// parseScheme reads http and https in any case; ws and wss, which Traefik
// writes for upgrades, are the same connections.
func parseScheme(s string) Scheme {
	switch s {
	case "https":
		return HTTPS
	case "http":
		return HTTP
	}
	switch {
	case equalFold(s, "https"), equalFold(s, "wss"):
		return HTTPS
	case equalFold(s, "http"), equalFold(s, "ws"):
		return HTTP
	}
	return SchemeUnknown
}

func (w *walk) portBy(n *node, in *reader) uint16 {
	rd := &n.read[kindPort]
	if !rd.readable() {
		return 0
	}
	lines := in.lines(rd)
	port, ok := hostport.ParsePort(rd.whole(lines))
	if !ok {
		text, _ := in.value(rd, kindPort, lines)
		if port, ok = hostport.ParsePort(text); !ok {
			return 0
		}
	}
	w.read |= 1 << kindPort
	return port
}

func (w *walk) prefixBy(rd *reading, in *reader) string {
	text, reason := in.value(rd, kindPrefix, in.lines(rd))
	if reason != 0 || !validPrefix(text) {
		return ""
	}
	w.read |= 1 << kindPrefix
	return strings.TrimSuffix(text, "/")
}

const maxPrefix = 256

// validPrefix refuses everything that a prefix could do beyond naming a path:
// leave the host ("//"), climb ("..") or need a decoding that two programs
// might do differently.
func validPrefix(s string) bool {
	if !startsWithSlash(s) || len(s) > maxPrefix || strings.Contains(s, "//") {
		return false
	}
	for segment := range strings.SplitSeq(s[1:], "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	for i := range len(s) {
		if !prefixByte(s[i]) {
			return false
		}
	}
	return true
}

func prefixByte(c byte) bool {
	letter := 'a' <= c|0x20 && c|0x20 <= 'z'
	return letter || '0' <= c && c <= '9' || strings.IndexByte("/-._~!$&'()*+,=:@", c) >= 0
}
