package forwarded

import (
	"strings"

	"github.com/knownhops/knownhops/internal/hostport"
)

// An element is one comma-separated part of a Forwarded header, RFC 7239 §4.
// What one of its parameters says is "" when it is absent.
type element struct {
	node, proto, host         string
	hasFor, hasProto, hasHost bool
}

// maxParams bounds the parameters of one element; RFC 7239 defines four.
const maxParams = 8

// elementStart finds where the last element of s[:end] begins, from the right.
// A quoted string never spans lines, so nothing to the left (an unclosed
// quote, say) changes the answer.
func elementStart(s string, end int) (start int, why Reason) {
	for start = end; start > 0 && s[start-1] != ','; {
		if start--; s[start] == '"' {
			if start = openingQuote(s, start); start < 0 {
				return 0, unclosed(s)
			}
		}
		if len(s)-start > maxScan {
			return 0, ReasonTooLong
		}
	}
	return start, 0
}

// unclosed tells a string without an opening quote from one that exceeds the
// budget.
func unclosed(s string) Reason {
	if len(s) > maxScan {
		return ReasonTooLong
	}
	return ReasonMalformed
}

// openingQuote returns where the quoted string that s[closing] ends begins, or
// -1. A quote behind an odd number of backslashes is part of the string.
func openingQuote(s string, closing int) int {
	for i := closing - 1; i >= 0 && closing-i <= maxScan; i-- {
		if s[i] != '"' {
			continue
		}
		slashes := 0
		for i-slashes > 0 && s[i-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
		i -= slashes
	}
	return -1
}

// parseElement reads forwarded-pairs separated by semicolons. Empty pairs are
// legal, white space around semicolons is tolerated (senders write it), around
// "=" it is not. A parameter may stand there once; extensions are ignored.
func parseElement(s string) (e element, ok bool) {
	var seen [maxParams]string
	for n := 0; s != ""; {
		if s[0] == ';' || isSpace(s[0]) {
			s = s[1:]
			continue
		}
		name, rest, found := strings.Cut(s, "=")
		if !found || !isToken(name) || n == maxParams || contains(seen[:n], name) {
			return element{}, false
		}
		value, rest, ok := cutValue(rest)
		if !ok {
			return element{}, false
		}
		if s = strings.TrimLeft(rest, " \t"); s != "" && s[0] != ';' {
			return element{}, false
		}
		seen[n] = name
		n++
		e.set(name, value)
	}
	return e, true
}

// contains compares as RFC 7239 §4 does: names are case-insensitive.
func contains(names []string, name string) bool {
	for _, n := range names {
		if equalFold(n, name) {
			return true
		}
	}
	return false
}

func (e *element) set(name, value string) {
	switch {
	case equalFold(name, "for"):
		e.node, e.hasFor = value, true
	case equalFold(name, "proto"):
		e.proto, e.hasProto = value, true
	case equalFold(name, "host"):
		e.host, e.hasHost = value, true
	}
}

// cutValue reads a token or a quoted string (RFC 9110 §5.6.4) at the start of s.
func cutValue(s string) (value, rest string, ok bool) {
	if s != "" && s[0] == '"' {
		return cutQuoted(s[1:])
	}
	i := 0
	for i < len(s) && tokenByte[s[i]] {
		i++
	}
	return s[:i], s[i:], i > 0
}

// cutQuoted reads up to the closing quote. Only a value with backslashes costs
// an allocation.
func cutQuoted(s string) (value, rest string, ok bool) {
	escaped := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			if value = s[:i]; escaped {
				value = unescape(value)
			}
			return value, s[i+1:], true
		case c == '\\':
			escaped = true
			if i++; i == len(s) || !quotable(s[i]) {
				return "", "", false
			}
		case !quotable(c):
			return "", "", false
		}
	}
	return "", "", false
}

// quotable reports whether c may stand in a quoted string, after a backslash
// or (but for the quote and the backslash itself) without one.
func quotable(c byte) bool { return c == '\t' || c >= ' ' && c != 0x7f }

func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// tokenByte is tchar, RFC 9110 §5.6.2.
var tokenByte = func() (table [256]bool) {
	for c := range table {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		table[c] = letter || digit || c < 0x80 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return table
}()

// equalFold is for the ASCII words of protocols; strings.EqualFold also folds
// a long s or a Kelvin sign.
func equalFold(s, t string) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range len(s) {
		c, d := s[i], t[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if 'A' <= d && d <= 'Z' {
			d |= 0x20
		}
		if c != d {
			return false
		}
	}
	return true
}

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// parseNode reads the value of "for": RFC 7239 §6. Unlike in X-Forwarded-For,
// an IPv6 address must stand in brackets.
func parseNode(s string, e *entry) {
	*e = entry{reason: ReasonMalformed}
	if id, port, ok := cutIdentifier(s); ok {
		if _, ok := nodePort(port); ok {
			e.id, e.reason = id, ReasonObfuscated
		}
		return
	}
	base, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.IndexByte(s, ']') {
		base, port = s[:i], s[i:]
	}
	number, ok := nodePort(port)
	if !ok || base == "" || (s[0] == '[') != (base[len(base)-1] == ']') || s[0] != '[' && strings.IndexByte(base, ':') >= 0 {
		return // a second port would be read by parseEntry
	}
	if parseEntry(base, true, e); e.reason == 0 {
		e.port = number
	}
}

// nodePort reads ":" and a port, or a pseudonym of one, or nothing.
func nodePort(s string) (port uint16, ok bool) {
	switch {
	case s == "":
		return 0, true
	case s[0] != ':':
		return 0, false
	case len(s) > 2 && s[1] == '_':
		return 0, isIdentifier(s[1:])
	}
	return hostport.ParsePort(s[1:])
}

// cutIdentifier splits "unknown" or "_pseudonym" from a port behind it.
func cutIdentifier(s string) (id, port string, ok bool) {
	id = s
	if i := strings.IndexByte(s, ':'); i >= 0 {
		id, port = s[:i], s[i:]
	}
	if equalFold(id, unknownNode) {
		return unknownNode, port, true
	}
	return id, port, isIdentifier(id)
}

const unknownNode = "unknown"

// isIdentifier is obfnode: "_" and one or more of ALPHA / DIGIT / "." / "_" / "-".
func isIdentifier(s string) bool {
	if len(s) < 2 || len(s) > maxItem || s[0] != '_' {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if !('a' <= c && c <= 'z' || '0' <= s[i] && s[i] <= '9' || s[i] == '.' || s[i] == '_' || s[i] == '-') {
			return false
		}
	}
	return true
}
