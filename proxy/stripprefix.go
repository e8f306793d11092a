package proxy

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/conferr"
)

// StripPrefix takes prefix, like "/api", off the path of requests, for an
// application that does not know that it is mounted there. "/api" and "/api/"
// become "/", "/api/x" becomes "/x". All other requests get 404: "/apix" is not
// below "/api", and neither is "/api/../x", in whatever encoding.
//
// The prefix is cut from the path as it was encoded, and Path and RawPath are
// made anew from the rest, so that they always say the same. A percent-encoded
// spelling of the prefix is not the prefix.
//
// The prefix is added to that in the context's [forwarded.Info]; Proxy writes
// it to X-Forwarded-Prefix, and Info.URL is still the client's URL. StripPrefix
// goes inside forwarded.Policy.Wrap. Without one, it puts an Info there that
// says nothing else (StatusNone).
//
// On the way back the prefix is put in front of the path in Location and
// Content-Location, if that is absolute and the host, if there is one, is the
// client's own, and of the Path of Set-Cookie. What is below the prefix already
// is taken for the work of a handler that knows it, and left: an application
// that has an /api of its own below /api must write /api/api. Cookies named
// __Host-… stay, as they are void with any Path but "/" (RFC 6265bis §4.1.3.2).
// Links in bodies, Link and Refresh are not changed, nor is an answer that a
// handler writes to a connection it took over.
//
// Permitted as prefix: letters, digits and -._~$&+=:@ in elements after a
// slash each, 256 bytes at most. Prohibited, with a panic here and now: an empty
// one or "/", a slash at the end, empty elements, "." and "..", and whatever
// would have to be encoded.
func StripPrefix(prefix string) func(http.Handler) http.Handler {
	if why := badPrefix(prefix); why != "" {
		e := conferr.Error{Field: "StripPrefix", Value: prefix, Reason: why, Fix: `write it like "/api"`}
		panic("proxy: " + e.Error())
	}
	return func(next http.Handler) http.Handler {
		return &stripPrefix{prefix: prefix, next: next}
	}
}

// maxStripped is what package forwarded reads of an X-Forwarded-Prefix.
const maxStripped = 256

func badPrefix(p string) string {
	switch {
	case !strings.HasPrefix(p, "/"):
		return "it does not begin with a slash"
	case p == "/":
		return "there is nothing to take off"
	case len(p) > maxStripped:
		return "it is longer than 256 bytes"
	case path.Clean(p) != p:
		return "it ends in a slash, or has empty, . or .. elements"
	case (&url.URL{Path: p}).EscapedPath() != p || strings.ContainsAny(p, ";,"):
		return "it has characters with more than one spelling"
	}
	return ""
}

type stripPrefix struct {
	prefix string
	next   http.Handler
}

func (s *stripPrefix) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	below, ok := s.cut(r.URL)
	if !ok {
		http.NotFound(w, r)
		return
	}
	info := forwarded.From(r)
	info.Prefix += s.prefix
	inner := r.WithContext(forwarded.NewContext(r.Context(), info))
	inner.URL = below
	defer returnForm(r, inner)

	back := &wayBack{own: s.prefix, info: info, host: r.Host}
	tap := &responseTap{ResponseWriter: w}
	tap.before = func() { back.rewrite(w.Header()) }
	s.next.ServeHTTP(tap.writer(), inner)
	if tap.status == 0 {
		tap.before() // net/http sends the head of a handler that wrote nothing
	}
}

// returnForm gives a form parsed from a copy back to the request that the
// caller has: net/http removes the temporary files of its own request only.
func returnForm(to, from *http.Request) {
	if to.MultipartForm == nil {
		to.MultipartForm = from.MultipartForm
	}
}

// cut returns a copy of u without the prefix, and whether u lies below it.
func (s *stripPrefix) cut(u *url.URL) (*url.URL, bool) {
	rest, ok := strings.CutPrefix(escapedPath(u), s.prefix)
	if !ok || rest != "" && rest[0] != '/' {
		return nil, false
	}
	if rest == "" {
		rest = "/"
	}
	plain, err := url.PathUnescape(rest)
	if err != nil || climbs(plain) {
		return nil, false
	}
	below := *u
	below.Path, below.RawPath = plain, ""
	if escapedPath(&below) != rest {
		below.RawPath = rest
	}
	return &below, true
}

// climbs reports whether a decoded path leaves where it starts, for somebody
// who resolves dots after decoding, takes backslashes for slashes and drops
// parameters ("..;x", as servlet containers do).
func climbs(decoded string) bool {
	depth := 0
	for element := range strings.FieldsFuncSeq(decoded, func(c rune) bool { return c == '/' || c == '\\' }) {
		switch element, _, _ = strings.Cut(element, ";"); element {
		case "..":
			if depth--; depth < 0 {
				return true
			}
		case ".":
		default:
			depth++
		}
	}
	return false
}
