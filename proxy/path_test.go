package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// spellings are targets as clients write them and as they must go out: what was
// judged is what is sent. Only bytes that cannot stand there are escaped, and
// nothing is decoded or resolved.
var spellings = []struct{ in, out string }{
	{`/`, `/`},
	{`/a%2Fb`, `/a%2Fb`},
	{`/a%2fb`, `/a%2fb`},
	{`/a%2fb|`, `/a%2fb%7C`},
	{`/a%41"`, `/a%41%22`},
	{`/x%3Fy"`, `/x%3Fy%22`},
	{`/x%3By^`, `/x%3By%5E`},
	{"/x%23y`", `/x%23y%60`},
	{`/x%5Cy{z}`, `/x%5Cy%7Bz%7D`},
	{`/x%5cy\z`, `/x%5cy%5Cz`},
	{`/<%00>`, `/%3C%00%3E`},
	{`/files/..%2Fadmin`, `/files/..%2Fadmin`},
	{`/files/..%2Fadmin;"`, `/files/..%2Fadmin;%22`},
	{`/files/%2e%2e/admin^`, `/files/%2e%2e/admin%5E`},
	{`/files/../admin`, `/files/../admin`},
	{`/./a//b/`, `/./a//b/`},
	{`//host/x`, `//host/x`},
	{`/[x]`, `/[x]`},
	{`/a%20b+c`, `/a%20b+c`},
	{`/%7Euser/~user`, `/%7Euser/~user`},
	{`/a;b=c,d:e@f!$&'()*`, `/a;b=c,d:e@f!$&'()*`},
	{"/caf\xc3\xa9", `/caf%C3%A9`},
	{"/caf\xe9%2F", `/caf%E9%2F`},
	{`/q?`, `/q?`},
	{`/q?a=%zz&b="|^{}&a;c=[d]'`, `/q?a=%zz&b="|^{}&a;c=[d]'`},
	{`/q?/../%2e%2E/x?y`, `/q?/../%2e%2E/x?y`},
	{"/q?caf\xc3\xa9", `/q?caf%C3%A9`},
}

// echoing answers with the target.
func echoing(c *backendConn) {
	for r := c.next(); r != nil; r = c.next() {
		c.reply(r.RequestURI)
	}
}

// asWritten is the answer to a target that is sent as it stands.
func (g *gate) asWritten(t *testing.T, target string) (int, string) {
	t.Helper()
	v := g.visit(t, "GET "+target+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	resp, text, err := v.answer("GET")
	require.NoError(t, err, target)
	return resp.StatusCode, text
}

func TestTargetGoesOutAsItCame(t *testing.T) {
	b := newBackend(t, echoing)
	foreign := &http.Transport{DisableKeepAlives: true}
	for name, rt := range map[string]http.RoundTripper{"own client": nil, "another transport": foreign} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, Config{Upstreams: []string{b.url()}, Transport: rt})
			for _, row := range spellings {
				_, got := g.asWritten(t, row.in)
				assert.Equal(t, row.out, got, row.in)
			}
		})
	}
}

func TestTargetBelowAPrefix(t *testing.T) {
	b := newBackend(t, echoing)
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	g.behind(StripPrefix("/api"))
	for _, row := range spellings {
		status, got := g.asWritten(t, "/api"+row.in)
		if status != 404 { // what would climb out of the prefix for somebody
			assert.Equal(t, row.out, got, row.in)
		}
	}
	for _, target := range []string{`/api%2F..%2Fadmin"`, `/api/..%2Fadmin;"`, `/%61pi/x"`, `/api%2fx|`} {
		status, _ := g.asWritten(t, target)
		assert.Equal(t, 404, status, target)
	}
}

// An encoded slash is no separator, whatever stands beside it.
func TestStaticLeavesEncodedSlashes(t *testing.T) {
	root := fstest.MapFS{`a/b`: {Data: []byte("file")}, `a/b"`: {Data: []byte("file")}, `a/b^`: {Data: []byte("file")}, `a/b c`: {Data: []byte("file")}}
	b := newBackend(t, echoing)
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	g.behind(Static(root))
	for target, want := range map[string]string{
		`/a/b`: "file", `/a/b"`: "file", `/a/b%22`: "file", `/a/b^`: "file", `/a/%62`: "file", `/a/b%20c`: "file",
		`/a%2Fb`: `/a%2Fb`, `/a%2fb"`: `/a%2fb%22`, `/a%2Fb^`: `/a%2Fb%5E`, `/a%2Fb%20c`: `/a%2Fb%20c`,
	} {
		_, got := g.asWritten(t, target)
		assert.Equal(t, want, got, target)
	}
}

// A handler that changes Path alone means it: what RawPath says is left over.
func TestPathOfAHandler(t *testing.T) {
	for _, row := range []struct{ path, raw, want string }{
		{"/a/b", "", "/a/b"},
		{"/a b", "", "/a%20b"},
		{"/new", "/old%2Fpath", "/new"},
		{"/new|", "/old%2Fpath", "/new%7C"},
		{"/a/b", "/a%2", "/a/b"},
		{"/a/b|", "/a%2Fb|", "/a%2Fb%7C"},
	} {
		assert.Equal(t, row.want, escapedPath(&url.URL{Path: row.path, RawPath: row.raw}), fmt.Sprint(row))
	}
}

// What goes out means what came in, and is a path.
func FuzzEscapedPath(f *testing.F) {
	for _, row := range spellings {
		f.Add(row.in)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Path == "" || u.Path[0] != '/' {
			return
		}
		out := escapedPath(u)
		plain, err := url.PathUnescape(out)
		require.NoError(t, err)
		assert.Equal(t, u.Path, plain)
		for i := range len(out) {
			assert.True(t, pathBytes[out[i]], "%q of %q", out[i], out)
		}
		again := &url.URL{Path: u.Path, RawPath: out}
		assert.Equal(t, out, escapedPath(again), "once more it stays")
	})
}
