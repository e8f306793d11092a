//go:build linux

package peers

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// How many targets are made up, and how many Locations must come of them for the test to mean something.
const (
	whatwgTargets   = 200_000
	whatwgLocations = 250_000
)

// hostilePieces are what targets are put together from: what ends, hides or begins a part of a URL in one parser and
// not in the next.
var hostilePieces = []string{
	"/", "/", "//", `\`, `\\`, "%2f", "%2F", "%5c", "%5C", "@", "%40", ":", "%3a", ":80", ":443", "?", "?", "%3f", "#", "%23",
	"evil.example", ".evil.example", "www.example.com", "[::1]", "192.0.2.7", "0x7f.1", "xn--", "u:p@",
	"http:", "https:", "https://", "javascript:", "data:", "file:///c|/",
	".", "..", "/./", "/../", "%2e", "%2E%2e", "/.%2e/", "/%2e./", ";", ",", "&", "=", "+", "$", "!", "'", "(", ")", "*", "~",
	"%", "%2", "%zz", "%%", "%25", "%2525", "%250a", "%u002f", "%00", "%09", "%0a", "%0d%0a", "%20", "%7f", "%80", "%ff",
	"%c0%af", "<", ">", `"`, "`", "{", "|", "}", "^", "%3cscript%3e", "<script>", "é", "\xff", "\xc0\xaf", "\u2028", "\u3002",
	"\uff0f", "\u2215", "\u202e", "\ufeff", "a", "B", "0", "index.html", "next=", "%E2%80%AE",
}

// A whatwgQuestion is a Location and what it should be for a browser.
type whatwgQuestion struct {
	location string
	host     string // with the port, where it is not the usual one
	asked    string // path and query as the client wrote them
}

// TestBrowsersReadLocations: whatever target a client or an attacker has net/http accept, a browser that reads the
// Location of our redirect stays on the configured host, and asks for the same path and query there.
func TestBrowsersReadLocations(t *testing.T) {
	questions := whatwgQuestions(t)
	locations := make([]string, len(questions))
	for i, q := range questions {
		require.False(t, strings.ContainsFunc(q.location, notInURL), "%q", q.location)
		locations[i] = q.location
	}
	read := readWHATWG(t, locations)
	failures := 0
	for i, q := range questions {
		if wrong := q.wrong(read[i]); wrong != "" && failures < 20 {
			failures++
			t.Errorf("%s: asked for %q, Location %q, a browser reads %q", wrong, q.asked, q.location, read[i])
		}
	}
	t.Logf("%d Locations read by node", len(questions))
}

// whatwgQuestions has every target that net/http accepts redirected.
func whatwgQuestions(t *testing.T) (questions []whatwgQuestion) {
	enforcers := newWHATWGEnforcers()
	rng := rand.New(rand.NewPCG(4, 2026)) // the same targets in every run
	want := whatwgTargets
	if testing.Short() {
		want /= 20
	}
	for i := range want {
		r, asked, ok := accepted(hostileTarget(rng))
		if !ok {
			continue
		}
		for _, q := range enforcers.redirects(t, i, r, asked) {
			if q.location != "" {
				questions = append(questions, q)
			}
		}
	}
	require.Greater(t, len(questions), whatwgLocations*want/whatwgTargets)
	return questions
}

// whatwgEnforcers differ in the port that https is on.
type whatwgEnforcers struct{ usual, ported *redirect.Enforcer }

func newWHATWGEnforcers() whatwgEnforcers {
	cfg := redirect.Config{
		Canonical: redirectCanonical, Aliases: []string{redirectAlias}, Logger: slog.New(slog.DiscardHandler),
	}
	usual := redirect.Must(redirect.New(cfg))
	cfg.HTTPSPort = 8443
	return whatwgEnforcers{usual, redirect.Must(redirect.New(cfg))}
}

// redirects are where the i-th request for the alias goes from http, in three ways by turns, and from https.
func (e whatwgEnforcers) redirects(t *testing.T, i int, r *http.Request, asked string) []whatwgQuestion {
	fromHTTP := whatwgQuestion{host: redirectAlias, asked: asked}
	switch {
	case i%4 == 0:
		fromHTTP.location, fromHTTP.host = locate(t, e.ported, r), redirectAlias+":8443"
	case i%8 == 1:
		fromHTTP.location, fromHTTP.asked = prefixed(t, e.usual, r, asked)
	default:
		fromHTTP.location = locate(t, e.usual, r)
	}
	r.TLS = &tls.ConnectionState{}
	return []whatwgQuestion{fromHTTP, {locate(t, e.usual, r), redirectCanonical, asked}}
}

// hostileTarget is a path most of the time, and sometimes a whole URL or neither.
func hostileTarget(rng *rand.Rand) string {
	var b strings.Builder
	switch rng.IntN(16) {
	case 0:
	case 1:
		b.WriteString("http://" + redirectAlias)
	case 2:
		b.WriteString("https://" + redirectAlias + "/")
	default:
		b.WriteByte('/')
	}
	for range 1 + rng.IntN(7) {
		if rng.IntN(8) == 0 {
			b.WriteByte(byte(0x21 + rng.IntN(0xdf))) // any byte that does not end a target
			continue
		}
		b.WriteString(hostilePieces[rng.IntN(len(hostilePieces))])
	}
	return b.String()
}

// accepted is the request that net/http makes of a target, if it takes it and the target asks for our alias.
func accepted(target string) (r *http.Request, asked string, ok bool) {
	text := "GET " + target + " HTTP/1.1\r\nHost: " + redirectAlias + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReaderSize(strings.NewReader(text), 512))
	if err != nil || r.Host != redirectAlias {
		return nil, "", false
	}
	r.RemoteAddr = redirectClient
	asked, ok = askedPath(target)
	return r, asked, ok
}

// locate is where a request for a path is sent. It is always sent somewhere, and otherwise refused.
func locate(t *testing.T, e *redirect.Enforcer, r *http.Request) string {
	d := e.Decide(r)
	if d.Action != redirect.Redirect {
		require.Equal(t, redirect.ReasonBadTarget, d.Reason, "%q", r.RequestURI)
		require.Empty(t, d.Location)
	}
	return d.Location
}

// prefixed is where a request goes from which a proxy that is believed took the beginning of its path.
func prefixed(t *testing.T, e *redirect.Enforcer, r *http.Request, asked string) (location, whole string) {
	prefix, _, _ := strings.Cut(asked, "?")
	if !strings.HasPrefix(prefix, "/") {
		prefix = ""
	}
	info := forwarded.Info{
		Scheme: forwarded.HTTP, Host: redirectAlias, Prefix: prefix, Hops: 1, Complete: true, Status: forwarded.StatusForwarded,
	}
	return locate(t, e, r.WithContext(forwarded.NewContext(context.Background(), info))), prefix + asked
}

// wrong says what a browser would do wrong with a Location; "" if nothing.
func (q whatwgQuestion) wrong(to whatwgURL) string {
	host := to.host
	if to.port != "" {
		host += ":" + to.port
	}
	path, query, hasQuery := strings.Cut(q.asked, "?")
	switch {
	case to == whatwgURL{}:
		return "no URL"
	case to.protocol != "https:" || host != q.host:
		return "another origin"
	case to.username+to.password != "":
		return "a user"
	case to.fragment != "":
		return "a fragment"
	case !hasQuery && to.query != "" || decoded(strings.TrimPrefix(to.query, "?")) != decoded(query):
		return "another query"
	case decoded(to.path) != decoded(withoutDots(path)) && decoded(to.path) != decoded(path): // node 20 leaves some dots
		return "another path for a browser"
	case canonicalBytes(afterHost(strings.TrimPrefix(q.location, "https://"))) != canonicalBytes(q.asked):
		return "another path or query"
	}
	return ""
}

// decoded undoes percent-encoding wherever there is some.
func decoded(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if raw, err := url.PathUnescape(s[i:min(i+3, len(s))]); s[i] == '%' && err == nil {
			b.WriteString(raw)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// withoutDots is what browsers make of a path: they resolve segments of dots, percent-encoded or not (URL Standard,
// "path state"). They would do the same to the first URL, so a Location may keep them.
func withoutDots(path string) string {
	var kept []string
	segments := strings.Split(path, "/")[1:]
	for i, segment := range segments {
		last := i == len(segments)-1
		dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
		switch {
		case dots == "..":
			kept = kept[:max(len(kept)-1, 0)]
		case dots != ".":
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

// The test's own reading of paths is right where the standard's examples are.
func TestWithoutDots(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/", "/a/../b": "/b", "/../..": "/", "/a/.": "/a/", "/a/..": "/", "/a/%2e%2E/b": "/b", "/a/.%2e": "/",
		"//a/./b//": "//a/b//", "/a/...": "/a/...", "/..a/b": "/..a/b",
	} {
		require.Equal(t, want, withoutDots(path), path)
	}
	require.Equal(t, "a/b%z%", decoded("%61%2fb%z%"))
}
