package proxy

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// written is the head of a request as it goes to an upstream.
func written(t testing.TB, r *http.Request, h http.Header, body framing, length int64, upgrade string) string {
	t.Helper()
	b, err := appendRequest(nil, r, "www.example.com", h, body, length, upgrade)
	require.NoError(t, err)
	return string(b)
}

func TestRequestHead(t *testing.T) {
	r := &http.Request{Method: "GET", URL: &url.URL{Path: "/a b", RawPath: "/a%20b", RawQuery: "c=d"}}
	assert.Equal(t, "GET /a%20b?c=d HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n", written(t, r, http.Header{"Accept": {"*/*"}}, noBody, 0, ""))
	assert.Equal(t, "GET /a%20b?c=d HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 0\r\n\r\n", written(t, r, nil, byLength, 0, ""))
	assert.Equal(t, "GET /a%20b?c=d HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n", written(t, r, nil, byChunks, 0, ""))
	assert.Equal(t, "GET /a%20b?c=d HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", written(t, r, nil, noBody, 0, "websocket"))
	assert.Equal(t, "GET /a%20b?c=d HTTP/1.1\r\nHost: www.example.com\r\nA: 1\r\nA: 2\r\nA: \r\n\r\n", written(t, r, http.Header{"A": {"1", "2", ""}, "B": {}}, noBody, 0, ""))
}

// The target goes on as it came: what is escaped stays escaped, and nothing
// else is touched.
func TestTarget(t *testing.T) {
	for _, target := range []string{
		"/", "/a/../b//c/./d", "/%2e%2e/%2Fx", "/a%2fb", "//evil.example/x", "/?", "/?a;b&c=%zz&&=", "/a?b?c", "/%E4%BD%A0", "/:@!$&'()*+,;=-._~[]", "/a%0d%0ab", "/?a=%0d%0aX:%20y", "/x%00", "/a?http://b/c", "/%",
	} {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			assert.Equal(t, "/%", target)
			continue
		}
		assert.Equal(t, target, string(appendTarget(nil, &http.Request{Method: "GET", URL: u})))
	}
	for target, want := range map[*url.URL]string{
		{Path: "/a b\r\nX: y"}:                  "/a%20b%0D%0AX:%20y",
		{Path: "/", RawQuery: "a b\r\nc#d\xe4"}: "/?a%20b%0D%0Ac%23d%E4",
		{Path: "/a", RawPath: "/b"}:             "/a",
		{Path: "/a b", RawPath: "/a b"}:         "/a%20b",
		{Path: ""}:                              "/",
		{Path: "a"}:                             "/a",
		{Path: "*"}:                             "/*",
	} {
		assert.Equal(t, want, string(appendTarget(nil, &http.Request{Method: "GET", URL: target})))
	}
	assert.Equal(t, "*", string(appendTarget(nil, &http.Request{Method: "OPTIONS", URL: &url.URL{Path: "*"}})))
}

func TestUnwritable(t *testing.T) {
	good := &http.Request{Method: "GET", URL: &url.URL{Path: "/"}}
	for _, row := range []struct {
		r      *http.Request
		host   string
		header http.Header
	}{
		{&http.Request{Method: "GET /x HTTP/1.1\r\nA:", URL: good.URL}, "h", nil},
		{&http.Request{Method: "", URL: good.URL}, "h", nil},
		{good, "h\r\nX: y", nil},
		{good, "h\x00", nil},
		{good, "h", http.Header{"A\r\nB": {"c"}}},
		{good, "h", http.Header{"A:": {"c"}}},
		{good, "h", http.Header{"A B": {"c"}}},
		{good, "h", http.Header{"": {"c"}}},
		{good, "h", http.Header{"": nil}},
		{good, "h", http.Header{"A": {"b", "c\r\nD: e"}}},
		{good, "h", http.Header{"A": {"b\nc"}}},
		{good, "h", http.Header{"A": {"b\rc"}}},
		{good, "h", http.Header{"A": {"b\x00"}}},
	} {
		_, err := appendRequest(nil, row.r, row.host, row.header, noBody, 0, "")
		assert.Equal(t, errUnwritable, err, "%q %q %q", row.r.Method, row.host, row.header)
	}
}

func TestAnnouncement(t *testing.T) {
	r := &http.Request{Method: "POST", URL: &url.URL{Path: "/"}, Trailer: http.Header{"X-Sum": nil, "X-Forwarded-For": nil, "Content-Length": nil, "Authorization": nil}}
	assert.Contains(t, written(t, r, nil, byChunks, 0, ""), "\r\nTrailer: X-Sum\r\n\r\n")
	assert.Len(t, r.Trailer, 4, "the request is not changed")
	r.Trailer = http.Header{"X-Forwarded-For": nil}
	assert.NotContains(t, written(t, r, nil, byChunks, 0, ""), "Trailer")
	r.Trailer = http.Header{"X-A": nil, "X-B": nil}
	assert.Regexp(t, `\r\nTrailer: X-(A, X-B|B, X-A)\r\n\r\n$`, written(t, r, nil, byChunks, 0, ""))
}

// A trailer is written by then, so that what cannot stand there is left out.
func TestTrailerLines(t *testing.T) {
	assert.Equal(t, "0\r\n\r\n", string(appendTrailer(nil, nil)))
	assert.Equal(t, "0\r\nX-Sum: 1\r\n\r\n", string(appendTrailer(nil, http.Header{"X-Sum": {"1", "2\r\nX: y"}})))
}

func TestTokens(t *testing.T) {
	for s, want := range map[string]bool{"": false, "GET": true, "a-b_c.d!#$%&'*+^`|~9": true, "a b": false, "a:": false, "a/b": false, "\xe4": false, "a\r": false, "[a]": false, "a,b": false, `"a"`: false} {
		assert.Equal(t, want, isToken(s), "%q", s)
	}
}

// What is written is one request, and it says what was meant.
func FuzzRequestWrite(f *testing.F) {
	f.Add("GET", "/a?b=c", "www.example.com", "Accept", "*/*", uint16(0))
	f.Add("POST", "/%0d%0a", "h:80", "X", "y\r\nContent-Length: 9", uint16(5))
	f.Add("GET /x HTTP/1.1\r\nHost: y\r\n\r\nGET", "/", "h", "A", "b", uint16(0))
	f.Add("PUT", "/\r\nX: y", "h\r\n", "Transfer-Encoding", "chunked", uint16(70))
	f.Add("OPTIONS", "*", "h", "Content_Length", "3", uint16(3))
	f.Add("GET", "http://u:p@h/ü?\x00#x", "h", "connection", "x-y, content-length", uint16(1))
	f.Add("GET", "/", "h", "Content-Length", "0", uint16(0))
	f.Add("POST", "/", "h", "Content-Length", "1", uint16(1))
	f.Add("POST", "/", "h", "Content-Length", "5", uint16(2))
	f.Add("GET", "/", "h", "Host", "h", uint16(0))
	f.Add("GET", "/", "h", "Expect", "100-continue", uint16(0))
	f.Add("X", "//h/..;/", "[::1]", "Upgrade", "h2c", uint16(9))
	f.Add("GET", "/a?b\x7f\"<>", "h", "Trailer", "Host", uint16(0))
	f.Fuzz(func(t *testing.T, method, target, host, name, value string, length uint16) {
		r, ok := requested(method, target, name, value)
		if !ok {
			return
		}
		h := make(http.Header)
		outgoing(h, r, nobody.Resolve(r), &Headers{})
		body, content, framed := bodyOf(length)
		b, err := appendRequest(nil, r, host, h, body, int64(len(content)), "")
		if err != nil {
			return
		}
		checkWritten(t, string(b)+framed, r, host, h, content)
	})
}

// requested is a request as a handler in front of the proxy might make it.
func requested(method, target, name, value string) (*http.Request, bool) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		u = &url.URL{Path: target}
	}
	r := &http.Request{Method: method, URL: u, RequestURI: target, Header: http.Header{name: {value}}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "h", RemoteAddr: "192.0.2.1:1"}
	return r, judge(r, &Limits{}, &Headers{}) == ReasonNone
}

// bodyOf is a body in each of the framings: its content, and that as it is sent.
func bodyOf(length uint16) (body framing, content, framed string) {
	content = strings.Repeat("x", int(length%100))
	switch length % 3 {
	case 0:
		return noBody, "", ""
	case 1:
		return byLength, content, content
	}
	return byChunks, "xxxxx", "5\r\nxxxxx\r\n0\r\n\r\n"
}

func checkWritten(t *testing.T, text string, r *http.Request, host string, h http.Header, content string) {
	t.Helper()
	src := bufio.NewReader(strings.NewReader(text))
	got, err := http.ReadRequest(src)
	if err != nil {
		if strings.Contains(err.Error(), "malformed Host header") || strings.Contains(err.Error(), "invalid URL escape") {
			return // hosts are judged before; a path without a valid form is a bad request to everybody
		}
		t.Fatalf("%q: %v", text, err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil || string(body) != content {
		t.Fatalf("%q: body %q %v", text, body, err)
	}
	if rest, _ := io.ReadAll(src); len(rest) > 0 {
		t.Fatalf("%q: a second request: %q", text, rest)
	}
	for name, most := range map[string]int{"host": 1, "content-length": 1, "transfer-encoding": 1, "trailer": 1, "expect": 0, "connection": 0} {
		if n := strings.Count(strings.ToLower(text), "\r\n"+name+":"); n > most {
			t.Fatalf("%q: %d times %s", text, n, name)
		}
	}
	if got.Method != r.Method || got.RequestURI != string(appendTarget(nil, r)) || got.URL.Path != cleanPath(r) {
		t.Fatalf("%q: %s %q, of %q", text, got.Method, got.RequestURI, r.URL.Path)
	}
	if got.Host != strings.Trim(host, " \t") {
		t.Fatalf("%q: host %q, not %q", text, got.Host, host)
	}
	for name, values := range h {
		if http.CanonicalHeaderKey(name) == name && len(got.Header[name]) != len(values) {
			t.Fatalf("%q: %s is %q, not %q", text, name, got.Header[name], values)
		}
	}
}

// cleanPath is the path that an upstream sees.
func cleanPath(r *http.Request) string {
	if p := r.URL.Path; p != "" && p[0] == '/' || p == "*" {
		return p
	}
	return "/" + r.URL.Path
}
