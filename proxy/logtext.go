package proxy

import "strings"

// maxLogged is how much of one field goes into a log line. Header fields may be
// a megabyte long, and a log must not be filled by one request.
const maxLogged = 8 << 10

// appendLogged adds s so that it cannot end its field or its line, nor do
// anything to a terminal: only bytes from least to '~' stand as they are,
// except quotes and backslashes. least is ' ' inside quotes, and '!' where
// spaces separate.
func appendLogged(b []byte, s string, least byte) []byte {
	const hex = "0123456789ABCDEF"
	cut := len(s) > maxLogged
	if cut {
		s = s[:maxLogged]
	}
	for i := range len(s) {
		c := s[i]
		if c < least || c > '~' || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
			continue
		}
		b = append(b, c)
	}
	if cut {
		b = append(b, "..."...)
	}
	return b
}

// withoutUser removes the user information of an absolute URL, which may be a
// password (RFC 9110 §4.2.4). It takes what stands before the last "@" of the
// authority, as net/url does.
func withoutUser(ref string) string {
	scheme, rest, ok := strings.Cut(ref, "://")
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return ref
	}
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority = rest[:end]
	}
	return scheme + "://" + rest[strings.LastIndexByte(authority, '@')+1:]
}
