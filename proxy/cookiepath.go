package proxy

import "strings"

// cookie changes the Path of a Set-Cookie line and no other byte of it. A
// cookie without one, or with one that does not begin with a slash, gets the
// directory of the request's path as the client sees it (RFC 6265 §5.2.4), which
// is right already.
func (b *wayBack) cookie(line string) string {
	parts := strings.Split(line, ";")
	if boundToHost(parts[0]) {
		return line
	}
	for i, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		value = strings.Trim(value, " \t")
		if strings.EqualFold(strings.Trim(key, " \t"), "Path") && strings.HasPrefix(value, "/") {
			parts[i+1] = key + "=" + b.cookiePath(value)
		}
	}
	return strings.Join(parts, ";")
}

// boundToHost reports whether browsers refuse the cookie unless its Path is
// "/". They compare the name without regard to case.
func boundToHost(pair string) bool {
	const mark = "__Host-"
	pair = strings.TrimLeft(pair, " \t")
	return len(pair) >= len(mark) && strings.EqualFold(pair[:len(mark)], mark)
}

// cookiePath makes "/api" of "/", not "/api/", which would leave requests for
// "/api" itself without the cookie (RFC 6265 §5.1.4).
func (b *wayBack) cookiePath(path string) string {
	switch {
	case b.below(path):
		return path
	case path == "/":
		return b.own
	}
	return b.own + path
}
