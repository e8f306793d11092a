package proxy

import (
	"net/http"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/hostport"
)

// A wayBack puts a prefix that was taken off a request in front of the paths in
// the header of the answer. Doing it twice is doing it once.
type wayBack struct {
	own  string         // what was taken off here
	info forwarded.Info // its Prefix is everything that was taken off
	host string         // the request's Host
}

// rewrite gives the fields new values; the handler's own slices stay.
func (b *wayBack) rewrite(h http.Header) {
	rewriteField(h, "Location", b.reference)
	rewriteField(h, "Content-Location", b.reference)
	rewriteField(h, "Set-Cookie", b.cookie)
}

func rewriteField(h http.Header, name string, change func(string) string) {
	values := h[name]
	if len(values) == 0 {
		return
	}
	changed := make([]string, len(values))
	for i, v := range values {
		changed[i] = change(v)
	}
	h[name] = changed
}

// reference changes a URI reference (RFC 3986 §4.1) if it has a path from the
// root on the client's own host. It never decodes or rebuilds anything.
func (b *wayBack) reference(ref string) string {
	ref = strings.Trim(ref, " \t")
	start := 0
	if i := strings.IndexAny(ref, ":/?#"); i > 0 && ref[i] == ':' {
		start = i + 1
		if scheme := ref[:i]; !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return ref
		}
	}
	rest, hasHost := strings.CutPrefix(ref[start:], "//")
	if !hasHost {
		if start > 0 || !strings.HasPrefix(ref, "/") {
			return ref
		}
		return b.reroot(ref)
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if !b.sameHost(rest[:end]) {
		return ref
	}
	return ref[:len(ref)-len(rest)+end] + b.reroot(rest[end:])
}

// reroot changes what follows the authority: a path that may be empty, a query
// and a fragment.
func (b *wayBack) reroot(s string) string {
	end := strings.IndexAny(s, "?#")
	if end < 0 {
		end = len(s)
	}
	switch path := s[:end]; {
	case b.below(path):
		return s
	case path == "":
		return b.own + "/" + s
	}
	return b.own + s
}

// below reports whether a path names the prefix already.
func (b *wayBack) below(path string) bool {
	return isBelow(path, b.own) || isBelow(path, b.info.Prefix)
}

func isBelow(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// sameHost compares with the Host of the request and with the host that the
// client is known to have asked for. The default ports of http and https count
// as none: a handler behind TLS that ends elsewhere may write either scheme.
func (b *wayBack) sameHost(authority string) bool {
	host, port, ok := hostport.ParseHost(authority)
	if !ok {
		return false
	}
	if host == b.info.Host && notable(port) == notable(b.info.Port) {
		return true
	}
	asked, askedPort, ok := hostport.ParseHost(b.host)
	return ok && host == asked && notable(port) == notable(askedPort)
}

func notable(port uint16) uint16 {
	if port == 80 || port == 443 {
		return 0
	}
	return port
}
