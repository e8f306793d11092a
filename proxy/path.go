package proxy

import "net/url"

// escapedPath is the path of a URL as it was written, with nothing changed but
// that bytes which cannot stand in a path are escaped. URL.EscapedPath escapes
// anew as soon as there is one of those, and decodes "%2F" and "%2E" on the way:
// what was judged further out would not be what is sent.
func escapedPath(u *url.URL) string {
	if u.RawPath == "" {
		return u.EscapedPath()
	}
	if plain, err := url.PathUnescape(u.RawPath); err != nil || plain != u.Path {
		return u.EscapedPath() // somebody has changed the path and left this behind
	}
	for i := range len(u.RawPath) {
		if !pathBytes[u.RawPath[i]] {
			return string(appendEscaped(nil, u.RawPath, &pathBytes))
		}
	}
	return u.RawPath
}

// appendEscaped escapes the bytes that are not in the table.
func appendEscaped(b []byte, s string, plain *[256]bool) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; plain[c] {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// pathBytes may stand in a path (RFC 3986 §3.3), and "[" and "]" beside them,
// which browsers leave alone.
var pathBytes = bytesOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/%[]")

// queryBytes pass in a query: everything visible but "#", which ends it.
var queryBytes = func() (table [256]bool) {
	for c := '!'; c <= '~'; c++ {
		table[c] = c != '#'
	}
	return table
}()

func bytesOf(s string) (table [256]bool) {
	for i := range len(s) {
		table[s[i]] = true
	}
	return table
}
