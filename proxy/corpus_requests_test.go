package proxy_test

import (
	"strings"
	"testing"
)

// smuggled is a chunked body that is complete at once, and a request behind it.
const smuggled = "0\r\n\r\nGET /smug HTTP/1.1\r\nHost: x\r\n\r\n"

// chunkedHello is "hello" in one chunk.
const chunkedHello = "5\r\nhello\r\n0\r\n\r\n"

const (
	postLine  = "POST /p HTTP/1.1"
	chunked   = "Transfer-Encoding: chunked"
	length5   = "Content-Length: 5"
	websocket = "Upgrade: websocket"
)

// TestRequestCorpus sends requests as an attacker would write them, byte by
// byte, through a server of net/http. "Hidden by net/http" is said where that
// server has already repaired or chosen what a proxy should have refused, so
// that no handler can see it; the row then states what happens today.
func TestRequestCorpus(t *testing.T) {
	for _, table := range [][]requestCase{forgedHeaders, framings, headerLines, chunks, targets, versions, hopByHop} {
		for _, rc := range table {
			t.Run(rc.name, func(t *testing.T) {
				t.Parallel()
				rc.run(t)
			})
		}
	}
}

var forgedHeaders = []requestCase{
	{name: "spoof", want: "F", header: []string{"X-Amzn-Trace-Id: Root=1-evil"},
		why: "nobody vouches for any of them; a trace id is no statement about the client",
		raw: get("/p?x=1", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test",
			"X-Forwarded-Port: 6666", "X-Forwarded-Prefix: /evil", "X-Forwarded-Server: evil", "X-Forwarded-Ssl: on",
			"X-Forwarded-Scheme: https", "X-Forwarded-Uri: /evil", "X-Real-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6",
			"CF-Connecting-IP: 6.6.6.6", "X-Client-IP: 6.6.6.6", "X_Forwarded_For: 6.6.6.6", "X_Real_IP: 6.6.6.6",
			"X.Forwarded.For: 6.6.6.6", "Forwarded: for=6.6.6.6;proto=https", "Front-End-Https: on",
			"X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-Amzn-Trace-Id: Root=1-evil", "Proxy: http://evil")},
	{name: "nominate", want: "Fc", header: []string{"Authorization: Bearer a", "Cookie: a=b"},
		why: "a nomination removes what is the hop's, never identity or forwarding, and the list is not passed on",
		raw: get("/p?x=1", "X-Forwarded-For: 6.6.6.6", "Authorization: Bearer a", "Cookie: a=b", "X-Keep: k",
			"Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Real-IP, Authorization, Cookie, X-Keep, Host")},
	{name: "xff-2lines", want: "F", why: "both lines are the client's words",
		raw: get("/p?x=1", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2")},
}

var framings = []requestCase{
	{name: "cl+te", want: "F,F", line: postLine, raw: post(smuggled, "Content-Length: 4", chunked),
		why: "hidden by net/http, which deletes the length and keeps the connection: 400 is due; what counts here is that the two requests never share a body"},
	{name: "te-x", want: "501", raw: post(smuggled, "Content-Length: 4", "Transfer-Encoding: xchunked"), why: "chunked is the only coding (RFC 9112 §6.1)"},
	{name: "te-space-colon", want: "400", raw: post(smuggled, "Content-Length: 4", "Transfer-Encoding : chunked"), why: "RFC 9112 §5.1: no space before the colon"},
	{name: "te-dup", want: "501", raw: post(smuggled, chunked, "Transfer-Encoding: identity"), why: "chunked is the only coding"},
	{name: "te-identity,chunked", want: "501", raw: post(chunkedHello, "Transfer-Encoding: identity, chunked"), why: "chunked is the only coding"},
	{name: "te-gzip,chunked", want: "501", raw: post(chunkedHello, "Transfer-Encoding: gzip, chunked"), why: "chunked is the only coding"},
	{name: "te-http10", want: "400", raw: "POST /p HTTP/1.0\r\n" + header("Host: good.test", chunked) + chunkedHello,
		why: "net/http hides the coding, but a POST of HTTP/1.0 without a length is refused all the same (RFC 1945 §8.3), instead of passing on that it had no body"},
	{name: "te-vt", want: "400", raw: post(smuggled, "Content-Length: 4", "Transfer-Encoding: \x0bchunked"), why: "a control character is not white space"},
	{name: "cl-plus", want: "400", raw: post("hello", "Content-Length: +5"), why: "Content-Length is 1*DIGIT (RFC 9110 §8.6)"},
	{name: "cl-list-same", want: "400", raw: post("hello", "Content-Length: 5, 5"), why: "1*DIGIT"},
	{name: "cl-dup-same", want: "F", line: postLine, body: "hello", raw: post("hello", length5, length5),
		why: "hidden by net/http, which merges equal lines: 400 is the stricter answer; one line is forwarded"},
	{name: "cl-dup-diff", want: "400", raw: post("hello", length5, "Content-Length: 3"), why: "RFC 9112 §6.3"},
	{name: "cl-empty", want: "400", raw: post("hello", "Content-Length: "), why: "1*DIGIT"},
	{name: "cl-empty+cl", want: "400", raw: post("hello", "Content-Length:", length5), why: "1*DIGIT"},
	{name: "cl-hex", want: "400", raw: post("hello", "Content-Length: 0x5"), why: "1*DIGIT"},
	{name: "cl-neg", want: "400", raw: post("hello", "Content-Length: -5"), why: "1*DIGIT"},
	{name: "cl-underscore", want: "F", line: postLine, body: "hello", raw: post("hello", "Content_Length: 0", length5),
		why: "an alias of a framing header is dropped: CGI folds _ and - into one"},
	{name: "get-body", want: "F", line: "GET /p HTTP/1.1", body: "hello", raw: get("/p", length5) + "hello",
		why: "a body has no meaning on GET, but it is framed, and taking it for a next request would be smuggling"},
}

var headerLines = []requestCase{
	{name: "obs-fold", want: "F", header: []string{"X-A: 1 2"}, raw: get("/p?x=1", "X-A: 1", " 2"),
		why: "hidden by net/http, which unfolds it: 400 is the stricter answer; one line is forwarded (RFC 9112 §5.2)"},
	{name: "fold-first", want: "400", raw: get("/p", " Host: x"), why: "RFC 9112 §2.2: white space before the first header line"},
	{name: "bare-lf-lines", want: "F", line: "GET /p HTTP/1.1", header: []string{"X-A: 1"}, raw: "GET /p HTTP/1.1\nHost: good.test\nX-A: 1\n\n",
		why: "hidden by net/http, which takes LF for CRLF (RFC 9112 §2.2 allows it): forwarded with CRLF"},
	{name: "bare-cr-value", want: "400", raw: get("/p?x=1", "X-A: 1\rX-Evil: 2"), why: "RFC 9110 §5.5: CR, LF and NUL are dangerous"},
	{name: "nul-value", want: "400", raw: get("/p?x=1", "X-A: 1\x002"), why: "RFC 9110 §5.5"},
	{name: "empty-name", want: "400", raw: get("/p?x=1", ": v", "X-A: 1"), why: "a name is a token (RFC 9110 §5.1)"},
	{name: "space-in-name", want: "400", raw: get("/p?x=1", "X A: v"), why: "a name is a token"},
	{name: "nontoken-name", want: "400", raw: get("/p?x=1", "X@(A: v"), why: "a name is a token"},
	{name: "high-name", want: "400", raw: get("/p?x=1", "X-\xc3\xa9: v"), why: "a name is a token"},
	{name: "high-value", want: "F", header: []string{"X-A: \xc3\xa9"}, raw: get("/p?x=1", "X-A: \xc3\xa9"),
		why: "obs-text is opaque data (RFC 9110 §5.5), the same bytes to everybody"},
	{name: "hdr-20k", want: "F", header: []string{"X-A: " + strings.Repeat("a", 20<<10)}, raw: get("/p?x=1", "X-A: "+strings.Repeat("a", 20<<10)),
		why: "below the limit of 64 KiB"},
	{name: "hdr-500", want: "F", header: repeat("X-A: a", 500), raw: get("/p?x=1", repeat("X-A: a", 500)...),
		why: "the limit is on bytes; every line arrives"},
	{name: "host-2", want: "400", raw: get("/p", "Host: evil.test"), why: "RFC 9112 §3.2: one Host"},
	{name: "host-none", want: "400", raw: "GET /p HTTP/1.1\r\n" + header("X-A: 1"), why: "RFC 9112 §3.2: one Host"},
	{name: "host-slash", want: "400", raw: hostedBy("good.test/evil?"), why: "RFC 9112 §3.2: a host and a port, nothing else"},
	{name: "host-userinfo", want: "400", raw: hostedBy("a@evil.test"), why: "RFC 9112 §3.2"},
	{name: "host-comma", want: "400", raw: hostedBy("a.test,b.test"), why: "legal in a URI's registered name, but no name in any DNS, and two hosts to whoever reads lists"},
	{name: "host-space", want: "400", raw: hostedBy("a.test b.test"), why: "RFC 9112 §3.2"},
}

var chunks = []requestCase{
	{name: "chunk-size-lf", want: "400", raw: post("5\nhello\r\n0\r\n\r\n", chunked), why: "only CRLF ends a chunk's size (RFC 9112 §7.1); the client is at fault, not the upstream"},
	{name: "chunk-ext-lf", want: "400", raw: post("5;a\nb\r\nhello\r\n0\r\n\r\n", chunked), why: "only CRLF ends an extension"},
	{name: "chunk-ext", want: "F", line: postLine, body: "hello", raw: post("5;a=b\r\nhello\r\n0\r\n\r\n", chunked),
		why: "an extension that is not understood is ignored (RFC 9112 §7.1.1), and not passed on"},
	{name: "chunk-0x", want: "400", raw: post("0x5\r\nhello\r\n0\r\n\r\n", chunked), why: "1*HEXDIG"},
	{name: "chunk-nocrlf", want: "400", raw: post("5\r\nhelloXX0\r\n\r\n", chunked), why: "CRLF ends a chunk"},
	{name: "chunk-overflow", want: "400", raw: post("10000000000000005\r\nhello\r\n0\r\n\r\n", chunked), why: "RFC 9112 §7.1: no overflow"},
	{name: "trailer-xff", want: "F", line: postLine, body: "hello", trailer: []string{"X-T: t"}, header: []string{"Trailer: X-T"},
		raw: post("5\r\nhello\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX-T: t\r\n\r\n", chunked, "Trailer: X-Forwarded-For, X-T"),
		why: "a trailer must not say what no header may"},
	{name: "trailer-undeclared", want: "F", line: postLine, body: "hello",
		raw: post("5\r\nhello\r\n0\r\nX-T: t\r\nContent-Length: 9\r\n\r\n", chunked),
		why: "framing has no place in a trailer (RFC 9110 §6.5.1), and what nobody announced is not merged or passed, as in HTTP/2"},
}

var targets = []requestCase{
	{name: "abs-uri", want: "F", line: "GET /a HTTP/1.1", host: "evil.test", raw: "GET http://evil.test/a HTTP/1.1\r\n" + header("Host: good.test"),
		why: "the target's host wins (RFC 9112 §3.2.2); that the two differ is hidden by net/http"},
	{name: "path-hash", want: "400", raw: get("/a#b"), why: "a target has no fragment (RFC 9112 §3.2.1); some would cut it and some would not"},
	{name: "path-dotdot", want: "F", line: "GET /a/../b/%2e%2e/c HTTP/1.1", raw: get("/a/../b/%2e%2e/c"), why: "a proxy that decides nothing by path passes it as it is"},
	{name: "path-2slash", want: "F", line: "GET //evil.test/x HTTP/1.1", raw: get("//evil.test/x"), why: "a path, in no case a host"},
	{name: "path-enc-slash", want: "F", line: "GET /a%2fb%5cc HTTP/1.1", raw: get("/a%2fb%5cc"), why: "neither decoded nor normalised"},
	{name: "path-nul", want: "F", line: "GET /a%00b HTTP/1.1", raw: get("/a%00b"), why: "neither decoded nor normalised: data of the application"},
	{name: "path-space", want: "400", raw: get("/a b"), why: "RFC 9112 §3.2: no white space"},
	{name: "path-utf8", want: "F", line: "GET /%C3%A9 HTTP/1.1", raw: get("/\xc3\xa9"), why: "bytes above ASCII are no URI; escaped they mean the same to everybody"},
	{name: "path-badpct", want: "400", raw: get("/a%zz"), why: "% without two digits (RFC 3986 §2.1)"},
	{name: "query-semi", want: "F", line: "GET /p?a=1;b=2&c=%zz&d=%41 HTTP/1.1", raw: get("/p?a=1;b=2&c=%zz&d=%41"),
		why: "a query is passed verbatim: what is not read cannot be read in two ways"},
	{name: "star", want: "200o", raw: "OPTIONS * HTTP/1.1\r\n" + header("Host: good.test"), why: "net/http answers this itself"},
	{name: "connect", want: "501", raw: "CONNECT evil.test:80 HTTP/1.1\r\n" + header("Host: evil.test:80"), why: "no forward proxy; closed, since what follows would be meant for a tunnel (RFC 9931)"},
}

var versions = []requestCase{
	{name: "trace", want: "405", raw: "TRACE /p HTTP/1.1\r\n" + header("Host: good.test", "Max-Forwards: 0"), why: "TRACE would show the client what this hop adds"},
	{name: "method-lower", want: "F", line: "get /p HTTP/1.1", raw: "get /p HTTP/1.1\r\n" + header("Host: good.test"), why: "methods are case-sensitive (RFC 9110 §9.1): another method, and the application's to refuse"},
	{name: "http-0.9", want: "400", raw: "GET /p\r\n\r\n", why: "no version, no header, no end"},
	{name: "http-1.0", want: "Fc", line: "GET /p HTTP/1.1", via: "1.0", raw: "GET /p HTTP/1.0\r\n" + header("Host: good.test"), why: "HTTP/1.0 closes unless asked to keep alive"},
	{name: "http-1.2", want: "F", line: "GET /p HTTP/1.1", via: "1.2", raw: "GET /p HTTP/1.2\r\n" + header("Host: good.test"), why: "a higher minor version is understood as HTTP/1.1 (RFC 9110 §2.5)"},
	{name: "http-2.0", want: "505", raw: "GET /p HTTP/2.0\r\n" + header("Host: good.test"), why: "not in this syntax"},
}

var hopByHop = []requestCase{
	{name: "expect-unknown", want: "417", raw: get("/p?x=1", "Expect: banana"), why: "RFC 9110 §10.1.1"},
	{name: "expect-100", want: "100,F", line: postLine, body: "hello", header: []string{"Expect: 100-continue"}, raw: post("hello", length5, "Expect: 100-continue"),
		why: "relayed: this upstream says 100. TestExpectContinue has one that does not"},
	{name: "upg-h2c", want: "F", raw: get("/p?x=1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
		why: "a tunnel of HTTP/2 would bypass the proxy; asked for as plain HTTP/1.1"},
	{name: "upg-body", want: "400", why: "the body would be read as the first bytes of the tunnel, or as a request",
		raw: post("GET /smug HTTP/1.1\r\nHost: evil.t\r\n\r\n", "Connection: Upgrade", websocket, "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Content-Length: 36")},
	{name: "upg-foo", want: "F", raw: get("/p?x=1", "Connection: Upgrade", "Upgrade: foo/1"), why: "only WebSocket is passed; an upgrade may be ignored (RFC 9110 §7.8)"},
	{name: "te-trailers", want: "F", header: []string{"Connection: TE", "Te: trailers"}, raw: get("/p?x=1", "TE: trailers, deflate", "Connection: TE"),
		why: "trailers are what this hop can do too (gRPC asks for it), deflate is not; TE is nominated again (RFC 9110 §10.1.4)"},
	{name: "via-max", want: "F", via: "1.0 fred, 1.1", header: []string{"Max-Forwards: 3"}, raw: get("/p?x=1", "Max-Forwards: 3", "Via: 1.0 fred"),
		why: "Via grows; Max-Forwards is for TRACE and OPTIONS only (RFC 9110 §7.6.2)"},
}

func repeat(s string, n int) []string { return strings.Split(strings.Repeat(s+"\n", n-1)+s, "\n") }

func hostedBy(host string) string { return "GET /p HTTP/1.1\r\n" + header("Host: "+host) }
