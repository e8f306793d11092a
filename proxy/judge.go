package proxy

import (
	"net/http"
	"strings"

	"github.com/knownhops/knownhops/internal/hostport"
)

// judge decides whether a request may be passed on, before anything is sent:
// ReasonNone, or why not. It allocates nothing for a request that may, unless
// its Host has capitals or is an IPv6 address.
func judge(r *http.Request, l *Limits, h *Headers) Reason {
	switch {
	case !isToken(r.Method): // HTTP/2 lets any pass
		return ReasonBadRequest
	case r.Method == http.MethodConnect:
		return ReasonConnectRefused
	case r.Method == http.MethodTrace:
		return ReasonMethodRefused
	case exceeds(len(r.RequestURI), l.URI):
		return ReasonTargetTooLong
	case l.RequestHeader > 0 && headerBytes(r) > l.RequestHeader:
		return ReasonHeaderTooLarge
	case !targetIsPlain(r), !hostIsPlain(r), !bodyIsPlain(r):
		return ReasonBadRequest
	case l.RequestBody > 0 && r.ContentLength > l.RequestBody:
		return ReasonBodyTooLarge
	case loops(r.Header["Via"], h.Via):
		return ReasonLoop
	}
	return ReasonNone
}

// exceeds compares to a limit of which zero and less mean none.
func exceeds(n, limit int) bool { return limit > 0 && n > limit }

// headerBytes is what the header lines take on an HTTP/1.1 connection.
func headerBytes(r *http.Request) int {
	n := len("Host: \r\n") + len(r.Host)
	for name, lines := range r.Header {
		for _, line := range lines {
			n += len(name) + len(": \r\n") + len(line)
		}
	}
	return n
}

// targetIsPlain accepts a path (origin-form), "*" for OPTIONS, and a whole
// http or https URL, of which the path is used (RFC 9112 §3.2). Refused are
// opaque targets, user information, and "#", which servers cut off, escape or
// keep.
func targetIsPlain(r *http.Request) bool {
	u := r.URL
	switch {
	case u == nil, r.ProtoMajor > 1 && u.Host != "", u.Opaque != "", u.User != nil, strings.IndexByte(r.RequestURI, '#') >= 0:
		return false
	case u.Path == "*":
		return r.Method == http.MethodOptions
	case u.Path != "" && u.Path[0] != '/':
		return false
	case u.Scheme == "" && u.Host == "":
		return true
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// hostIsPlain accepts what every program reads as the same host, and none at
// all in HTTP/1.0. A Host header beside HTTP/2's :authority must say the same
// (RFC 9113 §8.3.1).
func hostIsPlain(r *http.Request) bool {
	for _, line := range r.Header["Host"] {
		if !strings.EqualFold(line, r.Host) {
			return false
		}
	}
	if r.Host == "" {
		return !r.ProtoAtLeast(1, 1)
	}
	_, _, ok := hostport.ParseHost(r.Host)
	return ok
}

// bodyIsPlain refuses bodies whose end two servers could see in different
// places: one behind a request to switch protocols (CVE-2026-58055), and one in
// HTTP/1.0 without a length, where net/http drops Transfer-Encoding unread.
func bodyIsPlain(r *http.Request) bool {
	if r.ContentLength != 0 {
		return !hasToken(r.Header["Upgrade"], "websocket") // others are not passed on, and Java asks for h2c with any body
	}
	return r.ProtoAtLeast(1, 1) || !expectsBody(r.Method) || len(r.Header["Content-Length"]) > 0
}

func expectsBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}
