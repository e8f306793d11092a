package redirect

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
)

// maxLocation bounds the Location that is sent. Browsers and balancers bear
// more, but nothing is gained by sending on what one client made up.
const maxLocation = 8 << 10

// location is origin, a constant from the configuration, and the path and query
// that the client asked for, byte for byte: nothing is decoded, cleaned or
// resolved, since two programs never agree on the result (CVE-2018-14574,
// CVE-2022-28923). A prefix that a hop took off is put back. ok is false if it
// grows too long.
func location(origin string, info *forwarded.Info, r *http.Request) (loc string, ok bool) {
	if len(r.URL.Path)+len(r.URL.RawQuery) > maxLocation { // escaping makes neither shorter
		return "", false
	}
	path, query := sentPath(r.URL), escaped(r.URL.RawQuery, &queryBytes)
	switch path {
	case "*": // "OPTIONS *" is about the server as a whole: its URI has an empty path (RFC 9112 §3.2.4)
		path = ""
	case "":
		path = "/"
	}
	mark := ""
	if query != "" || r.URL.ForceQuery {
		mark = "?"
	}
	prefix := ""
	if strings.HasPrefix(info.Prefix, "/") {
		prefix = escaped(info.Prefix, &pathBytes)
	}
	if path != "" && path[0] != '/' {
		return "", false // it would go on with the host's name; goodTarget lets none through
	}
	if len(origin)+len(prefix)+len(path)+len(mark)+len(query) > maxLocation {
		return "", false
	}
	return origin + prefix + path + mark + query, true
}

// sentPath is the path as the client wrote it; goodTarget has seen that it begins
// with a slash, or nothing would divide it from the host. (*url.URL).EscapedPath would
// decode its escapes and choose its own as soon as one byte of it needs one.
func sentPath(u *url.URL) string {
	if u.RawPath != "" {
		if path, err := url.PathUnescape(u.RawPath); err == nil && path == u.Path {
			return escaped(u.RawPath, &pathBytes)
		}
	}
	return u.EscapedPath() // Path alone, or changed by a handler further out
}

// queryBytes and pathBytes are what may stand in a query and in a path (RFC
// 3986 §3.3, §3.4); brackets in a path are what browsers and net/url leave as
// they are. A percent sign must begin an escape.
var (
	queryBytes = newByteSet("/?:@")
	pathBytes  = newByteSet("/:@[]")
)

type byteSet [256]bool

func newByteSet(more string) (s byteSet) {
	for c := range s {
		s[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	for _, c := range "-._~!$&'()*+,;=" + more {
		s[c] = true
	}
	return s
}

// escaped percent-encodes every byte that is not in set. Escapes stay as they
// are. Without such bytes it allocates nothing.
func escaped(s string, set *byteSet) string {
	i := 0
	for i < len(s) && fits(s, i, set) {
		i++
	}
	if i == len(s) {
		return s
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s) + 32)
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		if fits(s, i, set) {
			b.WriteByte(s[i])
			continue
		}
		b.Write([]byte{'%', digits[s[i]>>4], digits[s[i]&15]})
	}
	return b.String()
}

func fits(s string, i int, set *byteSet) bool {
	if s[i] == '%' {
		return i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2])
	}
	return set[s[i]]
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }
