package redirect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// hostileTargets are request targets that made somebody's redirect leave the
// host, end a header line, or lose what was asked for.
var hostileTargets = []string{
	"/", "/?", "/a?x=1", "//evil.example/x", "///evil.example", `/\evil.example`, "/%5cevil.example", `/\/evil.example`, "/%09/evil.example/", "/%2f/evil.example",
	"/a%0d%0aSet-Cookie:x=1", "/a%2Fb%20c%3Fd%23e?x=1", "/%25%32%66", "/a#f?x", `/?q="><script>`, "/?a#b", "/?%", "/%", "/ü?ü", "/\x80?\xff", "/%2f\xff%5c?%2f", "/%41%zz", "/a[b]?c[d]",
	"http://evil.example/x", "https://evil.example/x", "http://u:p@evil.example/x", "http:.evil.example/x", "http:/evil.example", "http:///evil.example", "x:@evil.example/x",
	"javascript:alert(1)", "*", "evil.example/x", "@evil.example/", "?x", "/@evil.example", "/..//evil.example", "/.%2e/", "http://[::1%25x]/", "http://www.example.com?x", "HTTPS:/x",
}

// unescape decodes %XX where it is one, and leaves other percent signs alone.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := strings.IndexByte(hexDigits, s[i+1]|0x20), strings.IndexByte(hexDigits, s[i+2]|0x20); hi >= 0 && lo >= 0 && isDigitOrLetter(s[i+1]) && isDigitOrLetter(s[i+2]) {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

const hexDigits = "0123456789abcdef"

func isDigitOrLetter(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// readStrictly takes a Location apart with no more than RFC 3986 allows:
// https, a host of letters, a path and a query of legal bytes, no fragment.
// Brackets in a path are no pchar, but net/url and browsers leave them alone.
func readStrictly(location string) (host, path, query string, ok bool) {
	rest, ok := strings.CutPrefix(location, "https://")
	if !ok {
		return "", "", "", false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		return rest, "", "", true
	}
	host, path = rest[:end], rest[end:]
	path, query, _ = strings.Cut(path, "?")
	return host, path, query, legalBytes(path, "/:@[]") && legalBytes(query, "/:@?")
}

func legalBytes(s, more string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) || !isDigitOrLetter(s[i+1]) || !isDigitOrLetter(s[i+2]) || s[i+1]|0x20 > 'f' || s[i+2]|0x20 > 'f' {
				return false
			}
		case !isDigitOrLetter(c) && !strings.ContainsRune("-._~!$&'()*+,;="+more, rune(c)):
			return false
		}
	}
	return true
}

// keepEscapes is s with each byte escaped that may not stand there, and its own
// escapes as they are.
func keepEscapes(s, more string) string {
	var kept strings.Builder
	for i := 0; i < len(s); i++ {
		switch end := min(i+3, len(s)); {
		case s[i] == '%' && legalBytes(s[i:end], ""):
			kept.WriteString(s[i:end])
			i += 2
		case s[i] != '%' && legalBytes(s[i:i+1], more):
			kept.WriteByte(s[i])
		default:
			fmt.Fprintf(&kept, "%%%02X", s[i])
		}
	}
	return kept.String()
}

// FuzzLocation: whatever net/http lets through, the Location leads to the
// configured host, to what was asked for, and is a URL to everybody.
func FuzzLocation(f *testing.F) {
	for _, target := range hostileTargets {
		f.Add(target, false)
	}
	f.Add("*", true)
	e := locationEnforcer(redirect.Config{})
	f.Fuzz(func(t *testing.T, target string, options bool) {
		method := "GET"
		if options {
			method = "OPTIONS"
		}
		r, err := asRead(method, target)
		if err != nil {
			return
		}
		d := e.Decide(r)
		if d.Location == "" {
			if d.Action == redirect.Pass || d.Reason != redirect.ReasonBadTarget && d.Reason != redirect.ReasonTooLong {
				t.Fatalf("%q: no Location, and %+v", target, d)
			}
			return
		}
		checkLocation(t, r, d.Location, canonical)
	})
}

func checkLocation(t *testing.T, r *http.Request, location, want string) {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "https" || u.Host != want || u.User != nil || u.Fragment != "" || u.RawFragment != "" || u.Opaque != "" {
		t.Fatalf("%q is %+v (%v)", location, u, err)
	}
	host, path, query, ok := readStrictly(location)
	if !ok || host != want || len(location) > 8<<10 {
		t.Fatalf("%q: host %q, path %q, query %q, %d bytes", location, host, path, query, len(location))
	}
	asked := r.URL.Path
	if asked == "" {
		asked = "/"
	}
	if asked == "*" && r.Method == "OPTIONS" {
		asked = ""
	}
	if unescape(path) != asked || unescape(query) != unescape(r.URL.RawQuery) {
		t.Fatalf("%q?%q became %q", asked, r.URL.RawQuery, location)
	}
	if strings.HasPrefix(r.RequestURI, "/") {
		path, query, found := strings.Cut(r.RequestURI, "?")
		exact := "https://" + want + keepEscapes(path, "/:@[]")
		if found {
			exact += "?" + keepEscapes(query, "/:@?")
		}
		if location != exact {
			t.Fatalf("%q became %q, want %q", r.RequestURI, location, exact)
		}
	}
}

// signalHeaders are all that the Enforcer takes for a sign of https.
var signalHeaders = []http.Header{
	{"Cookie": {"__Host-https-redirect=1"}},
	{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Dest": {"document"}},
	{"X-Forwarded-Proto": {"https"}},
	{"X-Forwarded-Proto": {"http", "https"}},
	{"X-Forwarded-Port": {"443"}},
	{"X-Forwarded-Ssl": {"on"}},
	{"Front-End-Https": {"on"}},
	{"Cf-Visitor": {`{"scheme":"https"}`}},
	{"Cloudfront-Forwarded-Proto": {"https"}},
	{"Forwarded": {"proto=https"}},
	{"X-Forwarded-Scheme": {"https"}},
	{"X-Scheme": {"https"}},
	{"X-Url-Scheme": {"https"}},
	{"X-Arr-Ssl": {"1"}},
	{"Origin": {"https://" + canonical}},
	{"Referer": {"https://" + canonical + "/"}},
	{"Upgrade-Insecure-Requests": {"1"}},
}

// FuzzDecide: no request makes the Enforcer panic, leave its hosts, or give
// itself away; and no sign of https makes it let through what it would not.
func FuzzDecide(f *testing.F) {
	for i, target := range hostileTargets {
		f.Add(byte(i), "GET", target, "", "x=1", canonical, byte(i), byte(i), byte(i%3), "Cookie: a=b")
	}
	f.Add(byte(0), "POST", "/a/b", "/a%2Fb", `"`, apex, byte(1), byte(0), byte(1), "Authorization: x\nUpgrade: websocket")
	f.Add(byte(9), "OPTIONS", "*", "", "", "[::1]", byte(2), byte(0), byte(0), "")
	configs := fuzzConfigs()
	f.Fuzz(func(t *testing.T, which byte, method, path, rawPath, query, host string, scheme, reason, hops byte, header string) {
		r := &http.Request{Method: method, Host: host, Header: http.Header{}, URL: &url.URL{Path: path, RawPath: rawPath, RawQuery: query}}
		for line := range strings.SplitSeq(header, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				r.Header.Add(name, value)
			}
		}
		info := forwarded.Info{Scheme: forwarded.Scheme(scheme % 3), SchemeReason: forwarded.Reason(reason), Host: host, Hops: int(hops), Complete: hops&1 == 1,
			Status: forwarded.StatusForwarded, Client: netip.AddrFrom4([4]byte{192, 0, 2, 1})}
		r = r.WithContext(forwarded.NewContext(context.Background(), info))
		e := redirect.Must(redirect.New(configs[int(which)%len(configs)])) // a new one, that remembers no proof
		d := e.Decide(r)
		checkDecision(t, r, d)
		for _, more := range signalHeaders {
			if got := e.Decide(withHeader(r, more)); got.Action == redirect.Pass && d.Action != redirect.Pass {
				t.Fatalf("%v turned %+v into %+v", more, d, got)
			}
		}
		w := &tableWriter{header: http.Header{}}
		e.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if loc := w.header["Location"]; len(loc) > 0 != (d.Action == redirect.Redirect) || w.status != d.Status {
			t.Fatalf("decided %+v, answered %d %v", d, w.status, w.header)
		}
	})
}

func fuzzConfigs() (list []redirect.Config) {
	for _, s := range settings() {
		if !s.cfg.DangerouslyAnyHost && s.cfg.HTTPSPort == 0 {
			s.cfg.Policy = albPolicy()
			list = append(list, s.cfg)
		}
	}
	return list
}

func checkDecision(t *testing.T, r *http.Request, d redirect.Decision) {
	t.Helper()
	if d.Reason == 0 || d.Reason.String() == "invalid" || (d.Action == redirect.Redirect) != (d.Location != "") || (d.Action == redirect.Pass) != (d.Status == 0) {
		t.Fatalf("%+v", d)
	}
	if d.Location == "" {
		return
	}
	host, path, query, ok := readStrictly(d.Location)
	if !ok || !slices.Contains([]string{canonical, apex, other}, host) || len(d.Location) > 8<<10 {
		t.Fatalf("%q asks for %q, %q, %q", d.Location, host, path, query)
	}
	if u, err := url.Parse(d.Location); err != nil || u.Host != host {
		t.Fatalf("%q is %v (%v)", d.Location, u, err)
	}
	if d.Status != 301 && d.Status != 308 || (d.Status == 301) != (r.Method == "GET" || r.Method == "HEAD" || r.Method == "") {
		t.Fatalf("%s: %+v", r.Method, d)
	}
}

func withHeader(r *http.Request, more http.Header) *http.Request {
	n := r.Clone(r.Context())
	for name, lines := range more {
		n.Header[name] = append(n.Header[name], lines...)
	}
	return n
}

// The same for every setting and way in of the table: with a policy around the
// Enforcer, or in its Config, signs never let a request through.
func TestSignalsNeverLetThrough(t *testing.T) {
	let := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, s := range settings() {
		s.cfg.Policy = albPolicy()
		h := redirect.Must(redirect.New(s.cfg)).Wrap(let)
		for _, k := range kinds() {
			for _, host := range []string{canonical, apex, "a.old.example", "evil.example", ""} {
				for _, arrive := range []func(*http.Request) *http.Request{
					fromNode("X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: http"),
					func(r *http.Request) *http.Request { return r },
				} {
					build := func() *http.Request { return buildRequest(k, hostCase{raw: host}, loadCase{target: "/orders"}) }
					bare := &tableWriter{header: http.Header{}}
					h.ServeHTTP(bare, arrive(build()))
					if bare.status == http.StatusNoContent {
						continue
					}
					for _, more := range signalHeaders {
						if len(more["X-Forwarded-Proto"]) > 0 && arrive(build()).RemoteAddr == node.String() {
							continue // from the node itself it is more than a sign
						}
						w := &tableWriter{header: http.Header{}}
						if h.ServeHTTP(w, arrive(withHeader(build(), more))); w.status == http.StatusNoContent {
							t.Errorf("%s: %s %s with %v passes, without it is %d", s.name, k.method, host, more, bare.status)
						}
					}
				}
			}
		}
	}
}
