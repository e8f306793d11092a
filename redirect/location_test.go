package redirect_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// asRead is a request as net/http reads it from a connection. An error means
// that no handler ever sees it.
func asRead(method, target string) (*http.Request, error) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: " + canonical + "\r\n\r\n")))
	if err == nil {
		r.Host, r.RemoteAddr = canonical, client.String() // whatever an absolute target has put there
	}
	return r, err
}

func locationEnforcer(cfg redirect.Config) *redirect.Enforcer {
	cfg.Canonical, cfg.Logger = canonical, discard
	return redirect.Must(redirect.New(cfg))
}

// Byte for byte what was asked for, with nothing decoded, cleaned or resolved.
func TestLocation(t *testing.T) {
	e := locationEnforcer(redirect.Config{})
	for target, want := range map[string]string{
		"/":                            "/",
		"/?":                           "/?",
		"/a?":                          "/a?",
		"/a?x=1":                       "/a?x=1",
		"/a??":                         "/a??",
		"/a?x=1?y=/2":                  "/a?x=1?y=/2",
		"//evil.example/x":             "//evil.example/x",
		"///evil.example":              "///evil.example",
		`/\evil.example`:               "/%5Cevil.example",
		"/%5cevil.example":             "/%5cevil.example",
		"/%09/evil.example/":           "/%09/evil.example/",
		"/%2fevil.example":             "/%2fevil.example",
		"/@evil.example":               "/@evil.example",
		"/:80/x":                       "/:80/x",
		"/a%0d%0aSet-Cookie:x=1":       "/a%0d%0aSet-Cookie:x=1",
		"/a%2Fb%20c%3Fd%23e?x=1":       "/a%2Fb%20c%3Fd%23e?x=1",
		"/%25%32%66":                   "/%25%32%66",
		"/a/../b/./c//d":               "/a/../b/./c//d",
		"/..%2F%5cevil.example":        "/..%2F%5cevil.example",
		"/%2e%2e/":                     "/%2e%2e/",
		"/a;b=c,d":                     "/a;b=c,d",
		"/~user/-._~!$&'()*+,;=:@":     "/~user/-._~!$&'()*+,;=:@",
		"/*":                           "/*",
		"/a#f?x":                       "/a%23f?x",
		"/ü":                           "/%C3%BC",
		"/\x80":                        "/%80",
		"/a%2Fb%41\"c%5c\xff":          "/a%2Fb%41%22c%5c%FF",
		"/a[b]":                        "/a[b]",
		"/%":                           "",
		"/?q=ü":                        "/?q=%C3%BC",
		`/?q="><script>`:               "/?q=%22%3E%3Cscript%3E",
		"/?a#b":                        "/?a%23b",
		`/?\^|{}` + "`":                "/?%5C%5E%7C%7B%7D%60",
		"/?a[]=1":                      "/?a%5B%5D=1",
		"/?%":                          "/?%25",
		"/?%4":                         "/?%254",
		"/?%zz%41%":                    "/?%25zz%41%25",
		"/?%0d%0a":                     "/?%0d%0a",
		"/?a=b&c=d+e;f":                "/?a=b&c=d+e;f",
		"/?\x80\xff":                   "/?%80%FF",
		"http://evil.example/x?y":      "/x?y",
		"https://evil.example/x":       "/x",
		"http://u:p@www.example.com/x": "/x",
		"http://www.example.com":       "/",
		"http://www.example.com?x":     "/?x",
		"HTTP://EVIL.example//x":       "//x",
		"file:///etc/passwd":           "/etc/passwd",
		"javascript://%0aalert(1)/x":   "",
		"http:.evil.example/x":         "",
		"http:@evil.example/x":         "",
		"x:@evil.example/x":            "",
		"javascript:alert(1)":          "",
		"*":                            "",
		"evil.example/x":               "",
		".evil.example/x":              "",
		"@evil.example":                "",
		`\\evil.example`:               "",
		"?x":                           "",
		"www.example.com:443":          "",
	} {
		r, err := asRead("GET", target)
		if err != nil {
			assert.Empty(t, want, "net/http refuses %q: %v", target, err)
			continue
		}
		d := e.Decide(r)
		if want == "" {
			assert.Equal(t, redirect.Decision{Status: 400, Reason: redirect.ReasonBadTarget}, d, "%q", target)
			continue
		}
		assert.Equal(t, "https://"+canonical+want, d.Location, "%q", target)
		assert.Equal(t, redirect.ReasonRedirected, d.Reason, "%q", target)
	}
}

// "OPTIONS *" is about the server: its URI has an empty path (RFC 9112 §3.2.4).
func TestLocationOfTheServerItself(t *testing.T) {
	e := locationEnforcer(redirect.Config{})
	r, err := asRead("OPTIONS", "*")
	require.NoError(t, err)
	assert.Equal(t, "https://www.example.com", e.Decide(r).Location)
	r, err = asRead("OPTIONS", "/*")
	require.NoError(t, err)
	assert.Equal(t, "https://www.example.com/*", e.Decide(r).Location)
}

// A prefix that a hop took off, and vouches for, is part of what the client
// asked for.
func TestLocationHasThePrefix(t *testing.T) {
	e := locationEnforcer(redirect.Config{HTTPSPort: 8443})
	for prefix, want := range map[string]string{
		"":          "/x?y",
		"/app":      "/app/x?y",
		"/a%2Fb":    "/a%2Fb/x?y",
		"/ä ?#":     "/%C3%A4%20%3F%23/x?y",
		"/a\r\nb":   "/a%0D%0Ab/x?y",
		"@evil":     "/x?y",
		".evil.org": "/x?y",
		":1":        "/x?y",
	} {
		r, err := asRead("GET", "/x?y")
		require.NoError(t, err)
		r = r.WithContext(forwarded.NewContext(r.Context(), forwarded.Info{Scheme: forwarded.HTTP, Host: canonical, Prefix: prefix, Status: forwarded.StatusForwarded}))
		assert.Equal(t, "https://www.example.com:8443"+want, e.Decide(r).Location, "%q", prefix)
	}
}

// The 8 KiB are those of the Location, after escaping.
func TestLocationHasABudget(t *testing.T) {
	const most = 8 << 10
	e := locationEnforcer(redirect.Config{})
	room := most - len("https://"+canonical)
	for _, c := range []struct {
		name, target string
		fits         bool
	}{
		{"path", "/" + strings.Repeat("a", room-1), true},
		{"path, one more", "/" + strings.Repeat("a", room), false},
		{"query", "/?" + strings.Repeat("a", room-2), true},
		{"query, one more", "/?" + strings.Repeat("a", room-1), false},
		{"escaped query", "/?" + strings.Repeat(`"`, (room-2)/3), true},
		{"escaped query, one more", "/?" + strings.Repeat(`"`, (room-2)/3+1), false},
		{"escapes in the path", "/" + strings.Repeat("%2F", (room-1)/3), true},
		{"escapes in the path, one more", "/" + strings.Repeat("%2F", (room-1)/3+1), false},
		{"escaped path", "/" + strings.Repeat("\xff", most/2), false},
		{"a megabyte", "/" + strings.Repeat("a", 1<<20), false},
		{"a megabyte of query", "/?" + strings.Repeat("\"", 1<<20), false},
	} {
		r, err := asRead("GET", c.target)
		require.NoError(t, err)
		d := e.Decide(r)
		if c.fits {
			assert.Equal(t, redirect.ReasonRedirected, d.Reason, c.name)
			assert.LessOrEqual(t, len(d.Location), most, c.name)
			continue
		}
		assert.Equal(t, redirect.Decision{Status: 414, Reason: redirect.ReasonTooLong}, d, c.name)
	}
	w := &tableWriter{header: http.Header{}}
	r, _ := asRead("GET", "/?"+strings.Repeat("a", most))
	e.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	assert.Equal(t, 414, w.status)
	assert.Empty(t, w.header["Location"])
	assert.Empty(t, w.header["Set-Cookie"], "no redirect, no marker")
	assert.Less(t, len(w.body), 100)
}

// The scheme of an absolute target is the client's invention.
func TestLocationNeverReadsTheTargetsScheme(t *testing.T) {
	e := locationEnforcer(redirect.Config{HSTS: redirect.OneHour})
	r, err := asRead("GET", "https://www.example.com/x")
	require.NoError(t, err)
	w := &tableWriter{header: http.Header{}}
	e.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	assert.Equal(t, 301, w.status)
	assert.Empty(t, w.header["Strict-Transport-Security"])
}
