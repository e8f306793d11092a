package proxy_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Published weaknesses of proxies and of what they are built on, one test each,
// over the wire, named after the advisory, or after the rule where there is none.

// passedOn sends a request that must be forwarded, and returns what arrived.
func passedOn(t *testing.T, cfg proxy.Config, raw string, options ...frontOption) *rawRequest {
	t.Helper()
	backend := newRawBackend(t, serveOK)
	cfg.Upstreams = []string{backend.url}
	f := startProxy(t, cfg, options...)
	c := f.dial(t)
	c.send(raw)
	a, err := c.read()
	require.NoError(t, err)
	require.Equal(t, 200, a.StatusCode)
	got := backend.got()
	require.Len(t, got, 1)
	return got[0]
}

// turnedDown sends a request that must not be forwarded, and returns the outcome.
func turnedDown(t *testing.T, raw string, options ...frontOption) string {
	t.Helper()
	backend := newRawBackend(t, serveOK)
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, options...)
	heard := exchange(t, f, raw)
	assert.Empty(t, backend.got())
	return heard.outcome(0)
}

// answeredWith lets the upstream answer a GET with these bytes and close.
func answeredWith(t *testing.T, answer string) *rawAnswer {
	t.Helper()
	ac := answerCase{answer: answer, ends: closes}
	backend := newRawBackend(t, ac.serve)
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	c := f.dial(t)
	c.send(get("/p"))
	a, err := c.read()
	require.NoError(t, err)
	return a
}

// changing puts middleware in front that alters every request but probes.
func changing(change func(*http.Request)) frontOption {
	return behind(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != probeTarget {
				change(r)
			}
			next.ServeHTTP(w, r)
		})
	})
}

// everyOwnHeader is every header that this proxy can write about the client.
const everyOwnHeader = "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, X-Forwarded-Prefix, Forwarded, X-Real-Ip, Via, Host"

// nominating asks for their removal in different ways.
var nominating = map[string][]string{
	"one line":         {"Connection: " + everyOwnHeader},
	"beside close":     {"Connection: close, " + everyOwnHeader},
	"empty line first": {"Connection:", "Connection: " + everyOwnHeader},
	"lower case":       {"connection: " + strings.ToLower(everyOwnHeader)},
	"line by line":     strings.Split("Connection: "+strings.ReplaceAll(everyOwnHeader, ", ", "\nConnection: "), "\n"),
}

// TestWireCVE202133197ConnectionEmptyFirstLine: net/http/httputil looked at the
// first Connection line only, and the next hop removed what the others named.
func TestWireCVE202133197ConnectionEmptyFirstLine(t *testing.T) {
	r := passedOn(t, proxy.Config{}, get("/p", "Connection:", "Connection: X-Hop", "X-Hop: 1"))
	checkHop(t, r, "good.test")
	assert.Empty(t, endToEnd(r), "neither the list nor what it names")
}

// TestWireGoIssue50580NominatedOwnHeaders: a client named what the proxy had
// just set.
func TestWireGoIssue50580NominatedOwnHeaders(t *testing.T) {
	for name, lines := range nominating {
		t.Run(name, func(t *testing.T) {
			all := proxy.Headers{For: proxy.Set, Proto: proxy.Set, Host: proxy.Set, Port: proxy.Set, Forwarded: proxy.Set, RealIP: proxy.Set}
			r := passedOn(t, proxy.Config{Headers: all}, get("/p", lines...))
			checkHop(t, r, "good.test")
			assert.Equal(t, []string{"127.0.0.1"}, r.values("X-Real-Ip"))
			assert.Len(t, r.values("Forwarded"), 1)
			assert.Len(t, r.values("Via"), 1)
			assert.Empty(t, r.values("Connection"))
		})
	}
}

// TestWireCVE202231813NominatedByClient: Apache removed X-Forwarded-* if the
// client named them; the same for what a handler in front has added.
func TestWireCVE202231813NominatedByClient(t *testing.T) {
	login := changing(func(r *http.Request) { r.SetBasicAuth("proxy", "secret") })
	r := passedOn(t, proxy.Config{}, get("/p", "Connection: close, Authorization, X-Forwarded-For"), login)
	checkHop(t, r, "good.test")
	assert.Equal(t, []string{"Authorization: Basic cHJveHk6c2VjcmV0"}, endToEnd(r))
}

// TestWireCVE202132813NominatedAndForged: Traefik let clients drop
// X-Forwarded headers; CVE-2024-45410 was the same once more. A forged value
// must not come in the place of the dropped one, either.
func TestWireCVE202132813NominatedAndForged(t *testing.T) {
	for name, lines := range nominating {
		t.Run(name, func(t *testing.T) {
			forged := []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 1", "X-Real-Ip: 6.6.6.6"}
			r := passedOn(t, proxy.Config{}, get("/p", append(forged, lines...)...))
			checkHop(t, r, "good.test")
			assert.Empty(t, endToEnd(r))
		})
	}
}

// TestWireCVE202445410NominatedHost: the names include Host and the framing.
func TestWireCVE202445410NominatedHost(t *testing.T) {
	r := passedOn(t, proxy.Config{}, post("hello", length5, "Connection: Host, Content-Length, Content-Type, X-Forwarded-Host", "Content-Type: text/plain"))
	checkHop(t, r, "good.test")
	assert.Equal(t, "hello", r.body)
	assert.Equal(t, []string{"Content-Type: text/plain"}, endToEnd(r))
}

// TestWireCVE202548865NominatedByManyLines: fabio let clients remove X-Forwarded
// and X-Real-IP.
func TestWireCVE202548865NominatedByManyLines(t *testing.T) {
	lines := append(repeat("Connection: X-Forwarded-For, X-Real-Ip", 20), "X-Real-Ip: 6.6.6.6")
	r := passedOn(t, proxy.Config{Headers: proxy.Headers{RealIP: proxy.Set}}, get("/p", lines...))
	checkHop(t, r, "good.test")
	assert.Equal(t, []string{"X-Real-Ip: 127.0.0.1"}, endToEnd(r))
}

// TestWireCVE202232148NilHeader: a nil X-Forwarded-For meant "write none", and
// the client's address was written all the same. Here nil means nothing at all;
// Remove is the word.
func TestWireCVE202232148NilHeader(t *testing.T) {
	empty := changing(func(r *http.Request) { r.Header["X-Forwarded-For"] = nil })
	checkHop(t, passedOn(t, proxy.Config{}, get("/p"), empty), "good.test")
	r := passedOn(t, proxy.Config{Headers: proxy.Headers{For: proxy.Remove}}, get("/p", "X-Forwarded-For: 6.6.6.6"), empty)
	assert.Empty(t, r.values("X-Forwarded-For"))
}

// TestWireCVE202452003ForgedPrefix: Traefik believed anybody's
// X-Forwarded-Prefix.
func TestWireCVE202452003ForgedPrefix(t *testing.T) {
	r := passedOn(t, proxy.Config{}, get("/p", "X-Forwarded-Prefix: /evil"))
	assert.Empty(t, endToEnd(r))
}

// TestWireCVE202635051WholeFamily: a list of names is never complete; the
// family is every X-Forwarded-*, known or not.
func TestWireCVE202635051WholeFamily(t *testing.T) {
	r := passedOn(t, proxy.Config{}, get("/p", "X-Forwarded-Prefix: /evil", "X-Forwarded-Tls-Client-Cert: evil", "X-Forwarded-Whatever-Comes: evil", "X-Forwarded: evil", "X-Forwarded-: evil"))
	checkHop(t, r, "good.test")
	assert.Empty(t, endToEnd(r))
}

// TestWireGHSA5m6wUnderscoreAlias: X_Forwarded_Proto passed where
// X-Forwarded-Proto did not, and CGI cannot tell them apart.
func TestWireGHSA5m6wUnderscoreAlias(t *testing.T) {
	r := passedOn(t, proxy.Config{}, get("/p", "X_Forwarded_Proto: https", "X-Forwarded_For: 6.6.6.6", "x_forwarded-host: evil.test", "X_Real-IP: 6.6.6.6"))
	checkHop(t, r, "good.test")
	assert.Empty(t, endToEnd(r))
}

// TestWireCVE202564484IdentityAlias: the same for names that carry an identity.
func TestWireCVE202564484IdentityAlias(t *testing.T) {
	keep := proxy.Headers{Keep: []string{"X-Forwarded-User", "X-Forwarded-Email"}}
	r := passedOn(t, proxy.Config{Headers: keep}, get("/p", "X_Forwarded_User: admin", "X-Forwarded_Email: a@b.test", "X.Forwarded.User: admin"))
	assert.Empty(t, endToEnd(r))
}

// TestWireGHSAf59hUnderscoreAlias and TestWireGHSA49wcDotAlias: other bytes are
// folded by other servers.
func TestWireGHSAf59hUnderscoreAlias(t *testing.T) {
	r := passedOn(t, proxy.Config{}, get("/p", "X_Forwarded_For: 6.6.6.6", "x_forwarded_port: 6666", "X_Original_URL: /admin"))
	checkHop(t, r, "good.test")
	assert.Empty(t, endToEnd(r))
}

func TestWireGHSA49wcDotAlias(t *testing.T) {
	r := passedOn(t, proxy.Config{}, get("/p", "X.Forwarded.For: 6.6.6.6", "X.Forwarded-Proto: https", "X!Forwarded~Host: evil.test", "X.Real.IP: 6.6.6.6"))
	checkHop(t, r, "good.test")
	assert.Empty(t, endToEnd(r))
}

// TestWireCVE202630851IdentityOfNobody: a header that carries an identity is
// deleted first, and not only when there is a new value. Keep is for those of a
// trusted hop.
func TestWireCVE202630851IdentityOfNobody(t *testing.T) {
	keep := proxy.Headers{Keep: []string{"X-Forwarded-User"}}
	r := passedOn(t, proxy.Config{Headers: keep}, get("/p", "X-Forwarded-User: admin", "X-Forwarded-Groups: root"))
	assert.Empty(t, endToEnd(r))
}

// TestWireHopByHopOfEveryAnswer: no way through the code leads past the cleaning,
// not that of a 101 either.
func TestWireHopByHopOfEveryAnswer(t *testing.T) {
	lines := []string{"Connection: Upgrade, close, X-Secret", "X-Secret: s", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "Alt-Svc: h3=\":443\""}
	for status, head := range map[int]string{
		101: switched + header(append(lines, websocket, wsAccept)...),
		103: "HTTP/1.1 103 Early Hints\r\n" + header(lines...) + ok200 + header("Content-Length: 0"),
		204: "HTTP/1.1 204 No Content\r\n" + header(lines...),
		304: "HTTP/1.1 304 Not Modified\r\n" + header(lines...),
		500: "HTTP/1.1 500 Oops\r\n" + header(append(lines, "Content-Length: 0")...),
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			ac := answerCase{answer: head, ends: closes}
			backend := newRawBackend(t, ac.serve)
			f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
			c := f.dial(t)
			c.send(wsRequest())
			a, err := c.read()
			require.NoError(t, err)
			require.Equal(t, status, a.StatusCode)
			for _, name := range []string{"X-Secret", "Keep-Alive", "Proxy-Authenticate", "Alt-Svc"} {
				assert.Empty(t, a.Header[name], name)
			}
			assert.NotContains(t, a.Header.Get("Connection"), "X-Secret")
		})
	}
}

// TestWireGHSA6jwxStripPrefix: after a prefix was taken off, the decoded and the
// escaped path were no longer the same path.
func TestWireGHSA6jwxStripPrefix(t *testing.T) {
	for target, want := range map[string]string{
		"/api/a%2fb":          "/a%2fb",
		"/api//evil.test/x":   "//evil.test/x",
		"/api/a%20b?x=%2fapi": "/a%20b?x=%2fapi",
		"/api":                "/",
	} {
		t.Run(target, func(t *testing.T) {
			r := passedOn(t, proxy.Config{}, get(target), behind(proxy.StripPrefix("/api")))
			assert.Equal(t, want, r.target())
			assert.Equal(t, []string{"/api"}, r.values("X-Forwarded-Prefix"))
		})
	}
	for _, target := range []string{"/apix", "/", "/%61pi/x", "/api/../admin", "/api/%2e%2e/admin", "/api/..%2fadmin", "/x/../api/y"} {
		t.Run(target, func(t *testing.T) {
			backend := newRawBackend(t, serveOK)
			f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, behind(proxy.StripPrefix("/api")))
			c := f.dial(t)
			c.send(get(target))
			a, err := c.read()
			require.NoError(t, err)
			assert.Equal(t, 404, a.StatusCode, "not below the prefix, whoever reads it")
			assert.Empty(t, backend.got())
		})
	}
}

// TestWireCVE20222880HiddenParameters: what the proxy could not parse was
// forwarded unseen. It decides nothing by the query, so it does not parse it.
func TestWireCVE20222880HiddenParameters(t *testing.T) {
	for _, query := range []string{"a=1;admin=1", "a=%zz&b=2", "a=%&b", "=&&=&", "a=1&a=2", "%61=1", "a+b=c%20d", "?"} {
		r := passedOn(t, proxy.Config{}, get("/p?"+query))
		assert.Equal(t, "/p?"+query, r.target())
	}
}

// TestWireCVE202639825ManyParameters: above ten thousand of them one went
// unseen.
func TestWireCVE202639825ManyParameters(t *testing.T) {
	target := "/p?" + strings.Repeat("a&", 10001) + "admin=1"
	r := passedOn(t, proxy.Config{Limits: proxy.Limits{URI: 1 << 20}}, get(target))
	assert.True(t, target == r.target(), "another query")
}

// TestWireCVE20221705OddTransferEncoding: the client of net/http took words for
// chunked that are not. TestRequestCorpus has the requests.
func TestWireCVE20221705OddTransferEncoding(t *testing.T) {
	for _, coding := range []string{"xchunked", "chunked, identity", "identity", "identity, chunked", "gzip, chunked", "\x0bchunked", "chunked;q=1", "\"chunked\"", ",chunked", "chunked, chunked", ""} {
		t.Run(coding, func(t *testing.T) {
			a := answeredWith(t, ok200+header("Transfer-Encoding: "+coding)+"0\r\n\r\n")
			assert.Equal(t, 502, a.StatusCode)
		})
	}
	t.Run("twice", func(t *testing.T) {
		assert.Equal(t, 502, answeredWith(t, ok200+header(chunked, chunked)+"0\r\n\r\n").StatusCode)
	})
}

// TestWireCVE202522871BareLF: a lone LF ended the line of a chunk's size for
// some, and was part of an extension for others.
func TestWireCVE202522871BareLF(t *testing.T) {
	for _, body := range []string{"5\nhello\r\n0\r\n\r\n", "5;a\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\nX: 1\n\r\n", "5\r\rhello\r\n0\r\n\r\n", "5 \nhello\r\n0\r\n\r\n"} {
		t.Run(fmt.Sprintf("%q", body), func(t *testing.T) {
			a := answeredWith(t, ok200+header(chunked)+body)
			assert.True(t, a.StatusCode == 502 || a.cut != nil, "an answer that others read differently looks complete")
		})
	}
	assert.Equal(t, "400", turnedDown(t, post("5\nhello\r\n0\r\n\r\n", chunked)))
}

// TestWireCVE201916276SpaceBeforeColon: "Name : v" was made into "Name: v".
func TestWireCVE201916276SpaceBeforeColon(t *testing.T) {
	assert.Equal(t, "400", turnedDown(t, get("/p", "X-Forwarded-For : 6.6.6.6")))
	assert.Equal(t, 502, answeredWith(t, ok200+header("Set-Cookie : a=b", "Content-Length: 0")).StatusCode)
}

// TestWireCVE202424791ExpectThenReuse: an upstream answered without wanting the
// body, and its connection, out of step, served the next request.
func TestWireCVE202424791ExpectThenReuse(t *testing.T) {
	backend := newRawBackend(t, func(c *rawConn) {
		for {
			r, err := c.head()
			if err != nil {
				return
			}
			if len(r.values("Expect")) > 0 {
				c.write("HTTP/1.1 403 Forbidden\r\n" + header("Content-Length: 0"))
				continue
			}
			if c.rest(r) != nil {
				return
			}
			c.ok(r)
		}
	})
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	for range 3 {
		c := f.dial(t)
		c.send(post("", length5, "Expect: 100-continue"))
		a, err := c.read()
		require.NoError(t, err)
		assert.Equal(t, 403, a.StatusCode)
		r, _ := f.request(t, "GET", "/next", nil)
		assert.Equal(t, "ok", text(t, f.do(t, r)))
	}
	for _, r := range backend.got() {
		assert.NotEqual(t, 1, r.conn, "the connection of a request that was never completed")
	}
}

// TestWireCVE202325725EmptyName: a header line without a name ended the list
// for the proxy, and not for the server behind it.
func TestWireCVE202325725EmptyName(t *testing.T) {
	assert.Equal(t, "400", turnedDown(t, post("hello", ": v", length5)))
	assert.Equal(t, 502, answeredWith(t, ok200+header(": v", "Content-Length: 0")).StatusCode)
}

// TestWireCVE202340225EmptyContentLength: an empty length was passed on, and
// read as none or as zero.
func TestWireCVE202340225EmptyContentLength(t *testing.T) {
	for _, value := range []string{"", " ", "+5", "-5", "0x5", "5 5", "5,", "5, 5", "05;", "99999999999999999999"} {
		t.Run(value, func(t *testing.T) {
			assert.Equal(t, "400", turnedDown(t, post("hello", "Content-Length: "+value)))
			assert.Equal(t, 502, answeredWith(t, ok200+header("Content-Length: "+value)+"hello").StatusCode)
		})
	}
}

// TestWireNamesCheckedByTheWriter: what is legal in one version of HTTP need not
// be in another, and handlers in front can add what no client could send.
func TestWireNamesCheckedByTheWriter(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"value": func(r *http.Request) { r.Header["X-A"] = []string{"1\r\nX-Evil: 2"} },
		"name":  func(r *http.Request) { r.Header["X-A: 1\r\nX-Evil"] = []string{"2"} },
		"nul":   func(r *http.Request) { r.Header["X-A"] = []string{"1\x002"} },
		"empty": func(r *http.Request) { r.Header[""] = []string{"1"} },
		"space": func(r *http.Request) { r.Header["X A"] = []string{"1"} },
		"host":  func(r *http.Request) { r.Host = "good.test\r\nX-Evil: 2" },
	} {
		t.Run(name, func(t *testing.T) {
			assert.Regexp(t, "^[45]", turnedDown(t, get("/p"), changing(change)))
		})
	}
}

// TestWireCVE202423326Accepted200: a 200 was taken as consent to an upgrade, and what
// the client sent next went into a tunnel that the upstream knew nothing of.
func TestWireCVE202423326Accepted200(t *testing.T) {
	backend := newRawBackend(t, serveOK)
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	c := f.dial(t)
	c.send(wsRequest())
	a, err := c.read()
	require.NoError(t, err)
	assert.Equal(t, 200, a.StatusCode)
	assert.Empty(t, a.Header["Upgrade"])
	c.send(get("/smug", "X-Forwarded-For: 6.6.6.6"))
	if _, err = c.read(); err != nil {
		return
	}
	for _, r := range backend.got() {
		checkHop(t, r, "good.test")
	}
}

// TestWireCVE202658055UpgradeWithBody: a body behind a request to upgrade was
// the next request to one side, and content to the other.
func TestWireCVE202658055UpgradeWithBody(t *testing.T) {
	smug := get("/smug")
	for name, lines := range map[string][]string{"length": {fmt.Sprint("Content-Length: ", len(smug))}, "chunked": {chunked}} {
		body := smug
		if name == "chunked" {
			body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smug), smug)
		}
		t.Run(name, func(t *testing.T) {
			lines = append(lines, "Connection: Upgrade", websocket, "Sec-WebSocket-Version: 13", wsKey)
			assert.Equal(t, "400", turnedDown(t, get("/ws", lines...)+body))
			assert.Equal(t, "400", turnedDown(t, post(body, lines...)))
		})
	}
}

// TestWireRFC9931OptimisticData: a client that sends on before it knows whether
// an upgrade or a CONNECT is granted. Refused, its bytes must not become a
// request.
func TestWireRFC9931OptimisticData(t *testing.T) {
	t.Run("connect", func(t *testing.T) {
		assert.Equal(t, "501", turnedDown(t, "CONNECT evil.test:80 HTTP/1.1\r\n"+header("Host: evil.test:80")+get("/smug")))
	})
	t.Run("upgrade", func(t *testing.T) {
		backend := newRawBackend(t, serveOK)
		f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
		heard := exchange(t, f, wsRequest()+get("/smug"))
		assert.Equal(t, "Fc", heard.outcome(len(backend.got())), "answered without switching, and closed")
		assert.Zero(t, backend.count("/smug"))
	})
}

// TestWireCVE202642926RequestInjection: parts of a request that no HTTP/1.1
// client could have sent were written into the request line.
func TestWireCVE202642926RequestInjection(t *testing.T) {
	const injected = " HTTP/1.1\r\nX-Evil: 2\r\n\r\nGET /smug"
	for name, change := range map[string]func(*http.Request){
		"method":    func(r *http.Request) { r.Method = "GET /smug" + injected },
		"no method": func(r *http.Request) { r.Method = "G(T" },
		"path":      func(r *http.Request) { r.URL.Path = "/a" + injected },
		"raw path":  func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a"+injected, "/a"+injected },
		"query":     func(r *http.Request) { r.URL.RawQuery = "a" + injected },
		"fragment":  func(r *http.Request) { r.URL.Fragment = "a" + injected },
		"opaque":    func(r *http.Request) { r.URL.Opaque = "//evil.test/a" + injected },
	} {
		t.Run(name, func(t *testing.T) {
			backend := newRawBackend(t, serveOK)
			f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, changing(change))
			exchange(t, f, get("/p"))
			for _, r := range backend.got() {
				checkHop(t, r, "good.test")
				assert.NotEqual(t, "/smug", r.target())
				assert.Empty(t, r.values("X-Evil"))
			}
		})
	}
}

// TestWireTrailersAfterDecisions: trailers come when everything has been
// decided, and must not change it.
func TestWireTrailersAfterDecisions(t *testing.T) {
	late := []string{"X-Forwarded-For", "X_Forwarded_For", "X.Forwarded.Proto", "Forwarded", "X-Real-IP", "Host", "Content-Length", "Transfer-Encoding",
		"Authorization", "Cookie", "Connection", "Te", "Upgrade", "Trailer", "Proxy-Authorization"}
	body := "5\r\nhello\r\n0\r\n" + strings.Join(late, ": 6.6.6.6\r\n") + ": 6.6.6.6\r\n\r\n"
	r := passedOn(t, proxy.Config{}, post(body, chunked))
	assert.Empty(t, r.trailer)
	allowed := strings.Join(late[:5], ", ") // net/http refuses to have the rest announced
	r = passedOn(t, proxy.Config{}, post(body, chunked, "Trailer: "+allowed))
	assert.Empty(t, r.trailer)
	assert.Empty(t, r.values("Trailer"))
}

// TestWireGHSA3h23ResolvedClient: a decision was made by the address of the
// proxy in front instead of the client's.
func TestWireGHSA3h23ResolvedClient(t *testing.T) {
	hops := forwarded.Must(forwarded.Behind(forwarded.Trusted("127.0.0.1")))
	for name, f := range map[string]func() (proxy.Config, []frontOption){
		"by the proxy":     func() (proxy.Config, []frontOption) { return proxy.Config{Policy: hops}, nil },
		"by an outer wrap": func() (proxy.Config, []frontOption) { return proxy.Config{}, []frontOption{behind(hops.Wrap)} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg, options := f()
			cfg.Headers.RealIP, cfg.Headers.Forwarded = proxy.Set, proxy.Set
			r := passedOn(t, cfg, get("/p", "X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https"), options...)
			assert.Equal(t, []string{"203.0.113.9, 127.0.0.1"}, r.values("X-Forwarded-For"))
			assert.Equal(t, []string{"203.0.113.9"}, r.values("X-Real-Ip"))
			assert.Equal(t, []string{"https"}, r.values("X-Forwarded-Proto"))
		})
	}
}

// TestWirePrivatePeersAreNobody: a private address is no reason to believe
// anything; only who is declared is believed.
func TestWirePrivatePeersAreNobody(t *testing.T) {
	for _, peer := range []string{"10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.0.1", "100.64.0.1", "fd00::1", "fe80::1", "::1"} {
		t.Run(peer, func(t *testing.T) {
			from := changing(func(r *http.Request) { r.RemoteAddr = net.JoinHostPort(peer, "1234") })
			r := passedOn(t, proxy.Config{}, get("/p", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"), from)
			assert.Equal(t, []string{peer}, r.values("X-Forwarded-For"))
			assert.Equal(t, []string{"http"}, r.values("X-Forwarded-Proto"))
		})
	}
}
