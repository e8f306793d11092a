package redirect

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/knownhops/knownhops/internal/hostport"
)

// Browsers keep a cookie with this prefix from http, and take it only over
// https (RFC 6265bis §4.1.3.2, "__Host-"). It is set with a redirect to https;
// when a request that seems to be http brings it, the client used https both
// times.
const (
	markerName  = "__Host-https-redirect"
	markerField = markerName + "=1; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
)

// signals looks for signs that the client of an http request used https, the
// strongest first.
func (e *Enforcer) signals(h http.Header, host string) (list []Signal) {
	if !isLocal(host) {
		if !e.cfg.NoLoopMarker && hasMarker(h) {
			list = append(list, Signal{Strength: Proof, Header: "Cookie"})
		}
		// Both: scripts outside of browsers send some of the Sec-Fetch headers.
		if site := h["Sec-Fetch-Site"]; len(site) > 0 && len(h["Sec-Fetch-Dest"]) > 0 {
			list = append(list, Signal{Strength: Strong, Header: "Sec-Fetch-Site", Value: shown(site[0])})
		}
	}
	for i := range hints {
		if value, ok := hints[i].in(h); ok {
			list = append(list, Signal{Header: hints[i].name, Value: shown(value)})
		}
	}
	for _, name := range [...]string{"Origin", "Referer"} {
		if v := h[name]; len(v) == 1 && isOwnHTTPS(v[0], host) {
			list = append(list, Signal{Header: name, Value: strconv.Quote("https://" + host)})
		}
	}
	return list
}

func hasMarker(h http.Header) bool {
	for _, line := range h["Cookie"] {
		if !strings.Contains(line, markerName) {
			continue
		}
		for pair := range strings.SplitSeq(line, ";") {
			if name, _, ok := strings.Cut(pair, "="); ok && strings.Trim(name, " \t") == markerName {
				return true
			}
		}
	}
	return false
}

// A hint is a header in which some proxy says that the client used https.
// Nobody vouches for it, or the scheme would be known.
type hint struct {
	key  string // as http.Header has it
	name string // as its proxy has it
	says func(value string) bool
	rule string // declares it in a Hop; "": it has no rule
}

var hints = [...]hint{
	{"X-Forwarded-Proto", "X-Forwarded-Proto", saysHTTPS, usual},
	{"X-Forwarded-Port", "X-Forwarded-Port", func(v string) bool { return hasElement(v, "443") }, ""},
	{"Cloudfront-Forwarded-Proto", "CloudFront-Forwarded-Proto", saysHTTPS, `Proto: Sets("CloudFront-Forwarded-Proto")`},
	{"Cf-Visitor", "CF-Visitor", func(v string) bool { return strings.Contains(v, `"https"`) }, ""},
	{"Forwarded", "Forwarded", saysProto, `For and Proto: Appends("Forwarded")`},
	{"X-Forwarded-Scheme", "X-Forwarded-Scheme", saysHTTPS, `Proto: Sets("X-Forwarded-Scheme")`},
	{"X-Url-Scheme", "X-Url-Scheme", saysHTTPS, `Proto: Sets("X-Url-Scheme")`},
	{"X-Scheme", "X-Scheme", saysHTTPS, `Proto: Sets("X-Scheme")`},
	{"X-Forwarded-Ssl", "X-Forwarded-Ssl", saysOn, ""},
	{"Front-End-Https", "Front-End-Https", saysOn, ""},
	{"X-Arr-Ssl", "X-Arr-Ssl", func(v string) bool { return v != "" }, ""},
}

// usual is the rule that presets have.
const usual = "usual"

// in finds a line that says it.
func (h *hint) in(header http.Header) (value string, ok bool) {
	for _, value := range header[h.key] {
		if h.says(value) {
			return value, true
		}
	}
	return "", false
}

func saysHTTPS(value string) bool { return hasElement(value, "https") }
func saysOn(value string) bool    { return hasElement(value, "on") }

// hasElement reports whether one of a list's elements is want.
func hasElement(list, want string) bool {
	if len(list) > maxHint {
		return false
	}
	for one := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(one, " \t"), want) {
			return true
		}
	}
	return false
}

// maxHint is how long a header may be that is looked into.
const maxHint = 4 << 10

// saysProto finds proto=https in a Forwarded header (RFC 7239), roughly: it is
// only a hint.
func saysProto(value string) bool {
	if len(value) > maxHint {
		return false
	}
	value = strings.ToLower(value)
	return strings.Contains(value, "proto=https") || strings.Contains(value, `proto="https"`)
}

// isOwnHTTPS reports whether a URL or an origin is https of the same host.
// Browsers leave Referer out on the way from https to http.
func isOwnHTTPS(url, host string) bool {
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok {
		return false
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	named, _, ok := hostport.ParseHost(rest)
	return ok && named == host
}
