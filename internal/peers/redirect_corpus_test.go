//go:build linux

package peers

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Everybody is set up for these two names; the first is where people should end up, as far as a peer can be told.
const (
	redirectCanonical = "www.example.com"
	redirectAlias     = "example.com"
)

// A rawCase is one request, byte for byte, to a server of plain HTTP, and the status with which this module answers it.
type rawCase struct {
	name    string
	line    string // method, target and version; "GET /" if empty
	host    string // value of Host: the alias, or the canonical host from the balancer, if empty
	noHost  bool
	headers []string
	ours    int // 200: handed on
	via     bool
	was     string // from the balancer only: what the client used, "http", "https" or "" where nobody can know
}

func (c rawCase) requestLine() string {
	switch {
	case c.line == "":
		return "GET / HTTP/1.1"
	case strings.Contains(c.line, " HTTP/1."):
		return c.line
	}
	return c.line + " HTTP/1.1"
}

func (c rawCase) hostValue() string {
	switch {
	case c.host != "":
		return strings.TrimSpace(c.host)
	case c.via:
		return redirectCanonical
	}
	return redirectAlias
}

func (c rawCase) bytes() string {
	lines := []string{c.requestLine()}
	if !c.noHost {
		lines = append(lines, "Host: "+c.hostValue())
	}
	if c.via {
		lines = append(lines, "X-Forwarded-For: 203.0.113.9")
	}
	lines = append(lines, c.headers...)
	if !slices.ContainsFunc(c.headers, func(h string) bool { return strings.HasPrefix(h, "Connection:") }) {
		lines = append(lines, "Connection: close")
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func (c rawCase) method() string { return strings.Fields(c.requestLine())[0] }
func (c rawCase) target() string { return strings.Fields(c.requestLine())[1] }

// askedPath is the path and query of a request target, as the client wrote them. ok is false for a target that has
// none: one that is no URL, or neither a path nor a URL of the web.
func askedPath(target string) (asked string, ok bool) {
	if strings.HasPrefix(target, "/") {
		return target, true
	}
	scheme, rest, found := strings.Cut(target, "://")
	if scheme = strings.ToLower(scheme); !found || scheme != "http" && scheme != "https" {
		return "", false
	}
	switch i := strings.IndexAny(rest, "/?"); {
	case i < 0:
		return "/", true
	case rest[i] == '?':
		return "/" + rest[i:], true
	default:
		return rest[i:], true
	}
}

// rawCases is the corpus: what scanners, forgers and broken proxies send.
func rawCases() []rawCase {
	return slices.Concat(rawTargets(), rawOddTargets(), rawHosts(), rawForgeries(), rawMethods(), rawBalancer())
}

// rawTargets are paths and queries that have sent somebody elsewhere, or that a decoder, a cleaner or a URL parser
// changes.
func rawTargets() (cases []rawCase) {
	for _, target := range []string{
		"/a?x=1", "//evil.example/x", "///evil.example/x", `/\evil.example`, `/\/evil.example`, "/%09/evil.example/",
		"/%5cevil.example", "/%2fevil.example/x", "/%2f%2fevil.example", "/a%0d%0aSet-Cookie:x=1", "/a%00b",
		"/a%2Fb%20c%3Fd%23e?x=1", "/a%2Fb<", "/%25%32%66", "/a;b=c,d", "/a#f?x", "/a?x#f", `/?q="><script>alert(1)</script>`,
		"/<script>alert(1)</script>", "/a?", "/a??b", "/?x=%zz", "/a/../../b", "/a/./b//c/", "/é", "/\xff", "/a?é",
		"/a?x|y^z`{}\\", "/%E2%80%AE", "/@evil.example", "/:80@evil.example/", "/.evil.example",
		"/a?next=https://evil.example/", "//", "/" + strings.Repeat("a", 7<<10),
	} {
		cases = append(cases, rawCase{name: "target " + shortened(target), line: "GET " + target, ours: 301})
	}
	return append(cases,
		rawCase{name: "target /%zz", line: "GET /%zz", ours: 400},
		rawCase{name: "target of 9 KiB", line: "GET /" + strings.Repeat("a", 9<<10), ours: 414})
}

// rawOddTargets are the forms of a target that are no path, or more than one (RFC 9112 §3.2).
func rawOddTargets() []rawCase {
	return []rawCase{
		{name: "rootless with a dot", line: "GET http:.evil.example/x", ours: 400},
		{name: "rootless with an at sign", line: "GET x:@evil.example/x", ours: 400},
		{name: "rootless", line: "GET http:evil.example", ours: 400},
		{name: "asterisk, GET", line: "GET *", ours: 400},
		{name: "asterisk, OPTIONS", line: "OPTIONS *", ours: 200}, // net/http answers by itself
		{name: "CONNECT", line: "CONNECT evil.example:443", ours: 400},
		{name: "absolute, another host", line: "GET http://evil.example/x", ours: 421},
		{name: "absolute, https", line: "GET https://example.com/x", ours: 301},
		{name: "absolute, upper case", line: "GET HTTPS://EXAMPLE.COM/x", ours: 301},
		{name: "absolute, a user", line: "GET http://u:p@example.com/x", ours: 301},
		{name: "absolute, no path", line: "GET http://example.com", ours: 301},
		{name: "absolute, an address", line: "GET http://[::1]/x", ours: 421},
		{name: "query alone", line: "GET ?x=1", ours: 400},
	}
}

func rawHosts() []rawCase {
	return []rawCase{
		{name: "host of somebody else", host: "evil.example", ours: 421},
		{name: "host with ours in front", host: "example.com.evil.example", ours: 421},
		{name: "host with :80", host: "example.com:80", ours: 301},
		{name: "host with :8080", host: "example.com:8080", ours: 301},
		{name: "host with two ports", host: "example.com:80:443", ours: 421},
		{name: "host with an empty port", host: "example.com:", ours: 301},
		{name: "host in capitals, final dot", host: "EXAMPLE.com.", ours: 301},
		{name: "host IPv6", host: "[::1]:80", ours: 421},
		{name: "host IPv4", host: "192.0.2.7", ours: 421},
		{name: "host IPv4 with a port", host: "192.0.2.7:80", ours: 421},
		{name: "host a number", host: "3221225991", ours: 421},
		{name: "host hexadecimal", host: "0xc0.0.2.7", ours: 421},
		{name: "host empty", host: " ", ours: 421},
		{name: "no host, HTTP/1.0", line: "GET /a HTTP/1.0", noHost: true, ours: 421},
		{name: "no host, HTTP/1.0, two slashes", line: "GET //evil.example/a HTTP/1.0", noHost: true, ours: 421},
		{name: "no host, HTTP/1.1", noHost: true, ours: 400},
		{name: "host twice", headers: []string{"Host: evil.example"}, ours: 400},
		{name: "hosts with a comma", host: "example.com,evil.example", ours: 421},
		{name: "host with a backslash", host: `evil.example\example.com`, ours: 400},
		{name: "host with a slash", host: "example.com/evil", ours: 400},
		{name: "host with a user", host: "example.com@evil.example", ours: 400},
		{name: "host with a fragment", host: "evil.example#example.com", ours: 400},
		{name: "host with a query", host: "evil.example?example.com", ours: 400},
		{name: "host with a quote", host: "evil.example'example.com", ours: 421},
		{name: "host with an asterisk", host: "*.example.com", ours: 421},
		{name: "host in Cyrillic", host: "ex\u0430mple.com", ours: 400},
	}
}

// rawForgeries are headers with which a client itself says what only a proxy can know. They change nothing.
func rawForgeries() (cases []rawCase) {
	for _, header := range []string{
		"X-Forwarded-Proto: https", "X-Forwarded-Proto: https, http", "X-Forwarded-Ssl: on", "X-Forwarded-Scheme: https",
		"X-Forwarded-Protocol: https", "X-Url-Scheme: https", "Front-End-Https: on", "X-Forwarded-Port: 443",
		"X_Forwarded_Proto: https", "Forwarded: proto=https;host=evil.example", "X-Forwarded-Host: evil.example",
		"X-Host: evil.example", "X-Original-URL: //evil.example/", "X-Rewrite-URL: //evil.example/",
		"X-Forwarded-Prefix: //evil.example", "Upgrade-Insecure-Requests: 1",
	} {
		cases = append(cases, rawCase{name: "forged " + header, line: "GET /a", headers: []string{header}, ours: 301})
	}
	return append(cases, rawCase{
		name: "forged and named in Connection", line: "GET /a", ours: 301,
		headers: []string{"X-Forwarded-Proto: https", "Connection: close, X-Forwarded-Proto"},
	})
}

func rawMethods() []rawCase {
	preflight := []string{"Origin: https://other.example", "Access-Control-Request-Method: PUT"}
	return []rawCase{
		{name: "HEAD", line: "HEAD /a", ours: 301},
		{name: "POST", line: "POST /a", headers: []string{"Content-Length: 0"}, ours: 308},
		{name: "PUT", line: "PUT /a", headers: []string{"Content-Length: 0"}, ours: 308},
		{name: "DELETE", line: "DELETE /a", ours: 308},
		{name: "preflight", line: "OPTIONS /a", headers: preflight, ours: 308},
		{name: "method in small letters", line: "get /a", ours: 308},
		{name: "WebSocket", line: "GET /a", ours: 403, headers: []string{
			"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
		}},
	}
}

// rawBalancer are requests from the balancer that everybody who can be told of one was told of.
func rawBalancer() []rawCase {
	one := func(name, proto string, ours int, was string) rawCase {
		return rawCase{name: "balancer " + name, via: true, headers: []string{"X-Forwarded-Proto: " + proto}, ours: ours, was: was}
	}
	evil := one("http, another host in a header", "http", 301, "http")
	evil.headers = append(evil.headers, "X-Forwarded-Host: evil.example")
	address := one("https, an address as host", "https", 421, "https")
	address.host = "10.0.3.4"
	twice := one("two lines", "http", 400, "")
	twice.headers = append(twice.headers, "X-Forwarded-Proto: https")
	return []rawCase{
		one("http", "http", 301, "http"),
		one("https", "https", 200, "https"),
		one("HTTPS", "HTTPS", 200, "https"),
		one("wss", "wss", 200, "https"),
		one("ws", "ws", 301, "http"),
		one("https, http", "https, http", 400, ""),
		one("http, https", "http, https", 400, ""),
		one("javascript", "javascript", 400, ""),
		{name: "balancer without a word", via: true, ours: 200},
		twice, evil, address,
	}
}

// shortened keeps names readable.
func shortened(target string) string {
	if len(target) > 64 {
		return "of 7 KiB"
	}
	return strings.ToValidUTF8(target, `\xff`)
}

// The ledger knows cases by name, and the corpus is no smaller than it was.
func TestRawCorpus(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range rawCases() {
		require.False(t, seen[c.name], c.name)
		require.NotContains(t, c.name, "\t")
		require.NotZero(t, c.ours, c.name)
		seen[c.name] = true
	}
	require.GreaterOrEqual(t, len(seen), 100)
}
