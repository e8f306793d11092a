package proxy

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
)

// errUnwritable is given for a name or value that would break the framing of a
// message. net/http accepts none from clients, but handlers in between can add
// what they like.
var errUnwritable = errors.New("a header name or value that HTTP/1.1 cannot carry")

// A framing says how the end of a body is found (RFC 9112 §6.3).
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	untilClose // answers only
)

// appendRequest appends the head of a request: its line, Host, the header and
// the framing. upgrade is the protocol to switch to, or empty.
func appendRequest(b []byte, r *http.Request, host string, h http.Header, body framing, length int64, upgrade string) ([]byte, error) {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = appendTarget(b, r)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, crlf...)
	b, err := appendHeader(b, h)
	switch body {
	case byLength:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		b = append(b, crlf...)
	case byChunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		b = appendAnnouncement(b, r.Trailer)
	}
	if len(h["Te"]) > 0 {
		b = append(b, "Connection: TE\r\n"...) // RFC 9110 §10.1.4
	}
	if upgrade != "" {
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, upgrade...)
		b = append(b, crlf...)
	}
	if err == nil && !(isToken(r.Method) && isValue(host) && isValue(upgrade)) {
		err = errUnwritable
	}
	return append(b, crlf...), err
}

const crlf = "\r\n"

// appendTarget appends the path and the query as the client sent them. The
// query is not parsed, so nothing in it can be hidden or lost.
func appendTarget(b []byte, r *http.Request) []byte {
	if r.URL.Path == "*" && r.Method == http.MethodOptions {
		return append(b, '*')
	}
	if r.URL.Opaque != "" {
		return appendQuery(b, r.URL.RequestURI())
	}
	path := escapedPath(r.URL)
	if path == "" || path[0] != '/' {
		b = append(b, '/')
	}
	b = append(b, path...)
	if r.URL.ForceQuery || r.URL.RawQuery != "" {
		b = append(b, '?')
		b = appendQuery(b, r.URL.RawQuery)
	}
	return b
}

// appendQuery escapes only what cannot stand in a request line.
func appendQuery(b []byte, query string) []byte {
	return appendEscaped(b, query, &queryBytes)
}

func appendHeader(b []byte, h http.Header) ([]byte, error) {
	var err error
	for name, values := range h {
		if !isToken(name) {
			err = errUnwritable
		}
		for _, v := range values {
			if !isValue(v) {
				err = errUnwritable
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, crlf...)
		}
	}
	return b, err
}

// appendAnnouncement names the trailers that are to come (RFC 9110 §6.6.2).
func appendAnnouncement(b []byte, trailer http.Header) []byte {
	if len(trailer) == 0 {
		return b
	}
	sep := "Trailer: "
	for name := range cleanTrailer(maps.Clone(trailer)) {
		b = append(b, sep...)
		b = append(b, name...)
		sep = ", "
	}
	if sep == ", " {
		b = append(b, crlf...)
	}
	return b
}

// appendTrailer appends what follows the last chunk; the trailer is clean.
func appendTrailer(b []byte, trailer http.Header) []byte {
	b = append(b, "0\r\n"...)
	for name, values := range trailer {
		for _, v := range values {
			if isValue(v) {
				b = append(b, name...)
				b = append(b, ": "...)
				b = append(b, v...)
				b = append(b, crlf...)
			}
		}
	}
	return append(b, crlf...)
}

// tokenBytes are the bytes of a token (RFC 9110 §5.6.2).
var tokenBytes = func() (table [256]bool) {
	for c := range 256 {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			table[c] = true
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		table[c] = true
	}
	return table
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// isValue reports whether s may be a field value: no control bytes but the tab
// (RFC 9110 §5.5).
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
