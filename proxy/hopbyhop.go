package proxy

import (
	"net/http"
	"slices"
	"strings"
)

// isHopByHop reports whether a header concerns one connection only (RFC 9110
// §7.6.1), or is an alias of such a name: CGI and WSGI read Transfer_Encoding
// and Transfer.Encoding as the same variable. The names are told apart by
// length first, since folding keeps it.
func isHopByHop(name string) bool {
	switch name = trimOdd(name); len(name) {
	case 2:
		return foldsTo(name, "te")
	case 7:
		return foldsTo(name, "upgrade")
	case 10:
		return foldsTo(name, "connection") || foldsTo(name, "keep-alive")
	case 14:
		return foldsTo(name, "http2-settings")
	case 16:
		return foldsTo(name, "proxy-connection")
	case 17:
		return foldsTo(name, "transfer-encoding")
	case 18:
		return foldsTo(name, "proxy-authenticate")
	case 19:
		return foldsTo(name, "proxy-authorization")
	case 25:
		return foldsTo(name, "proxy-authentication-info")
	}
	return false
}

// isFraming reports whether a request's header, or an alias of it, says where
// a message ends or for whom it is: the engine writes these itself.
func isFraming(name string) bool {
	switch name = trimOdd(name); len(name) {
	case 4:
		return foldsTo(name, "host")
	case 6:
		return foldsTo(name, "expect")
	case 7:
		return foldsTo(name, "trailer")
	case 14:
		return foldsTo(name, "content-length")
	}
	return false
}

// trimOdd drops bytes at both ends of a name that aliases may put there.
func trimOdd(name string) string {
	for name != "" && foldByte(name[len(name)-1]) == '-' {
		name = name[:len(name)-1]
	}
	for name != "" && foldByte(name[0]) == '-' {
		name = name[1:]
	}
	return name
}

// foldsTo compares name to a folded name of the same length.
func foldsTo(name, folded string) bool {
	for i := range len(name) {
		if foldByte(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

// foldByte maps capitals to small letters, and all that is no letter or digit
// to "-".
func foldByte(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	}
	return '-'
}

// removeNominated deletes what the lines of a Connection header name. All lines
// are read: an empty first one must not hide the others (CVE-2021-33197).
func removeNominated(h http.Header, lines []string, protected func(name string) bool) {
	for token := range listed(lines) {
		if name := canonical(token); !protected(name) {
			delete(h, name)
		}
	}
}

// protectedInRequest reports whether a client's Connection header cannot remove
// name from a request: these are meant for whoever answers it (RFC 9110 §7.6.1
// says so of Cache-Control), or were added by a hop in front, which the client
// must not undo. What this proxy writes is written afterwards.
func protectedInRequest(name string, keep []string) bool {
	switch name {
	case "Authorization", "Cookie", "Cache-Control", "Via":
		return true
	}
	return strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Sec-Websocket-") || strings.HasPrefix(name, "X-Amzn-") ||
		slices.ContainsFunc(keep, func(kept string) bool { return strings.EqualFold(kept, name) })
}

// protectedInAnswer is the same for answers: without these a browser or a cache
// would take the answer for something else. Everything else an upstream may
// keep to itself.
func protectedInAnswer(name string) bool {
	switch name {
	case "Cache-Control", "Expires", "Vary", "Date", "Location", "Set-Cookie", "Www-Authenticate", "Strict-Transport-Security", "Trailer":
		return true
	}
	return strings.HasPrefix(name, "Content-")
}

// cleanAnswer removes from an answer's header, also an interim one's and that
// of a switch to WebSocket, what concerns the connection to the upstream, in
// place: hop-by-hop fields, what Connection nominates (also beside "close"), and
// Alt-Svc, which would lead clients past this proxy. The framing is left to the
// engine.
func cleanAnswer(h http.Header) {
	if lines := h["Connection"]; len(lines) > 0 {
		removeNominated(h, lines, protectedInAnswer)
	}
	for name := range h {
		if isHopByHop(name) || name == "Alt-Svc" {
			delete(h, name)
		}
	}
}
