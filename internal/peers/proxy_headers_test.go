//go:build linux

package peers

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy"
)

// A wire is a request as it left a proxy: its header fields and, under names that no field can have, what else there is.
type wire map[string]string

// none stands for a header that was not sent on.
const none = "-"

func (w wire) get(name string) string {
	if value, ok := w[name]; ok {
		return value
	}
	return none
}

// A recorder is a backend that keeps the requests it gets.
type recorder chan wire

func (rec recorder) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // trailers come at its end
	got := wire{":method": r.Method, ":host": r.Host, ":target": r.RequestURI}
	if len(r.TransferEncoding) > 0 {
		got["Transfer-Encoding"] = strings.Join(r.TransferEncoding, ", ")
	}
	for name, values := range r.Header {
		got[name] = strings.Join(values, " | ")
	}
	for name, values := range r.Trailer {
		if len(values) > 0 {
			got[":trailer "+name] = strings.Join(values, " | ")
		}
	}
	rec <- got
}

// A difference is a header that the three proxies do not send alike, and why ours is meant to be as it is.
type difference struct {
	header             string
	nginx, caddy, ours string
	why                string
}

// usualDifferences are those of every request, unless it has its own.
var usualDifferences = []difference{
	{"Accept-Encoding", none, "gzip", none, "what the upstream may compress is the client's to say"},
	{"Connection", "close", none, none, "ours and Caddy keep the connection to the upstream"},
	{"Via", none, none, "1.1 ours", "RFC 9110 §7.6.3 asks for it, and loops are found by it"},
	{"X-Forwarded-Host", none, frontHost, frontHost, "the usual lines have none"},
	{"X-Forwarded-Port", none, none, "80", "the port that the client asked for: URLs need it"},
	{"X-Real-Ip", "127.0.0.9", none, none, "one header for one fact; Headers.RealIP writes it"},
}

// Why headers that clients may write do not pass.
const (
	ofFamily   = "of the forwarding family, and no hop wrote it"
	credential = "somebody in front would have to vouch for it"
	ofHop      = "for this connection only (RFC 9110 §7.6.1)"
)

// headerCases are requests, and the headers in which what becomes of them differs. What is not listed is the same in all
// three.
var headerCases = []struct {
	request     attack
	differences []difference
}{
	{
		request: attack{name: "browser", target: "/a%2fb/../c;d?e=f&g=%41+h", lines: []string{
			"User-Agent: Mozilla/5.0", "Accept: text/html,*/*;q=0.8", "Accept-Encoding: gzip, br", "Accept-Language: de",
			"Cache-Control: no-cache", "Cookie: a=b", "Cookie: c=d", `If-None-Match: "x"`, "Range: bytes=0-9",
			"Referer: http://front.example/", "Authorization: Basic YTpi", "Origin: null", "Sec-Fetch-Mode: navigate",
			"Upgrade-Insecure-Requests: 1", "X-Amzn-Trace-Id: Root=1-2", "Traceparent: 00-1-2-01", "X-Request-Id: r1",
		}},
		differences: []difference{
			{"Accept-Encoding", "gzip, br", "gzip, br", "gzip, br", "the client has its own"},
		},
	},
	{request: attack{name: "nothing"}}, // no User-Agent either: none is made up
	{
		request: attack{name: "family", lines: family},
		differences: []difference{
			{"X-Forwarded-For", "6.6.6.6, 127.0.0.9", "127.0.0.9", "127.0.0.9", "nobody in front is trusted: the list begins here"},
			{"X-Forwarded-Host", "evil.example", frontHost, frontHost, "the Host that was asked for"},
			{"X-Forwarded-Port", "6666", "6666", "80", "the port that was asked for"},
			{"X-Forwarded-Prefix", "/evil", "/evil", none, ofFamily},
			{"X-Forwarded-Scheme", "evil", "evil", none, ofFamily},
			{"X-Forwarded-Ssl", "evil", "evil", none, ofFamily},
			{"X-Forwarded-Uri", "/evil", "/evil", none, ofFamily},
			{"X-Forwarded-User", "evil", "evil", none, ofFamily},
			{"X-Forwarded-Client-Cert", "evil", "evil", none, ofFamily},
			{"X-Real-Ip", "127.0.0.9", "6.6.6.6", none, ofFamily},
			{"Forwarded", "for=6.6.6.6;proto=https;host=evil.example", "for=6.6.6.6;proto=https;host=evil.example", none, ofFamily},
			{"True-Client-Ip", "6.6.6.6", "6.6.6.6", none, ofFamily},
			{"Cf-Connecting-Ip", "6.6.6.6", "6.6.6.6", none, ofFamily},
			{"Fly-Client-Ip", "6.6.6.6", "6.6.6.6", none, ofFamily},
			{"X-Client-Ip", "6.6.6.6", "6.6.6.6", none, ofFamily},
			{"X-Cluster-Client-Ip", "6.6.6.6", "6.6.6.6", none, ofFamily},
			{"Cloudfront-Forwarded-Proto", "https", "https", none, ofFamily},
			{"X-Amzn-Mtls-Clientcert", "evil", "evil", none, credential},
			{"X-Amzn-Oidc-Identity", "evil", "evil", none, credential},
			{"Client-Cert", ":ZXZpbA==:", ":ZXZpbA==:", none, credential},
		},
	},
	{
		request: attack{name: "others that frameworks read", lines: []string{
			"X-Original-URL: /evil", "X-Rewrite-URL: /evil", "X-Original-Host: evil.example", "Front-End-Https: on",
			"X-Scheme: evil", "X-Url-Scheme: evil", "Proxy: http://evil.example", "X-Envoy-External-Address: 6.6.6.6",
			"Fastly-Client-IP: 6.6.6.6", "X-Original-Forwarded-For: 6.6.6.6",
		}},
		differences: []difference{
			{"X-Original-Url", "/evil", "/evil", none, ofFamily},
			{"X-Rewrite-Url", "/evil", "/evil", none, ofFamily},
			{"X-Original-Host", "evil.example", "evil.example", none, ofFamily},
			{"Front-End-Https", "on", "on", none, ofFamily},
			{"X-Scheme", "evil", "evil", none, ofFamily},
			{"X-Url-Scheme", "evil", "evil", none, ofFamily},
			{"Proxy", "http://evil.example", "http://evil.example", none, "CGI makes HTTP_PROXY of it (CVE-2016-5385)"},
			{"X-Envoy-External-Address", "6.6.6.6", "6.6.6.6", none, ofFamily},
			{"Fastly-Client-Ip", "6.6.6.6", "6.6.6.6", none, ofFamily},
			{"X-Original-Forwarded-For", "6.6.6.6", "6.6.6.6", none, ofFamily},
		},
	},
	{
		request: attack{name: "underscores and dots", lines: []string{
			"X_Forwarded_For: 6.6.6.6", "X.Forwarded.For: 6.6.6.6", "X_Own_Name: kept", "X.Own.Name: kept",
		}},
		differences: []difference{
			{"X_forwarded_for", none, "6.6.6.6", none, ofFamily},
			{"X.forwarded.for", none, "6.6.6.6", none, ofFamily},
			{"X_own_name", none, "kept", "kept", "an odd name is the application's to judge"},
			{"X.own.name", none, "kept", "kept", "an odd name is the application's to judge"},
		},
	},
	{
		request: attack{name: "two lines", lines: []string{
			"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7", "X-Own: 1", "X-Own: 2", "X-Empty:",
		}},
		differences: []difference{
			{"X-Forwarded-For", "6.6.6.6, 7.7.7.7, 127.0.0.9", "127.0.0.9", "127.0.0.9", "nobody in front is trusted: the list begins here"},
		},
	},
	{
		request: attack{
			name:       "nominated",
			connection: "close, X-Forwarded-For, X-Forwarded-Proto, Authorization, Cookie, X-Own, X-Amzn-Trace-Id, Content-Type",
			lines: []string{
				"X-Forwarded-For: 6.6.6.6", "Authorization: Bearer a", "Cookie: a=b", "X-Own: n", "X-Amzn-Trace-Id: Root=1-2",
				"Content-Type: text/plain",
			},
		},
		differences: []difference{
			{"X-Forwarded-For", "6.6.6.6, 127.0.0.9", "127.0.0.9", "127.0.0.9", "nobody in front is trusted: the list begins here"},
			{"X-Own", "n", none, none, ofHop},
			{"Authorization", "Bearer a", none, "Bearer a", "end to end, and no client may take it from another hop's request"},
			{"Cookie", "a=b", none, "a=b", "end to end"},
			{"X-Amzn-Trace-Id", "Root=1-2", none, "Root=1-2", "a balancer further out may have written it"},
			{"Content-Type", "text/plain", none, "text/plain", "it describes the body"},
		},
	},
	{
		request: attack{name: "of the connection", connection: "close, TE", lines: []string{
			"Keep-Alive: timeout=9", "Proxy-Connection: keep-alive", "TE: trailers, deflate", "Proxy-Authorization: Basic YTpi",
			"Proxy-Authenticate: Basic",
		}},
		differences: []difference{
			{"Te", none, none, "trailers", "trailers are relayed, and gRPC insists on it"},
			{"Connection", "close", none, "TE", "RFC 9110 §10.1.4 wants it beside TE"},
			{"Proxy-Connection", "keep-alive", none, none, ofHop},
			{"Proxy-Authorization", "Basic YTpi", none, none, "for a proxy, not for what is behind it"},
			{"Proxy-Authenticate", "Basic", none, none, ofHop},
		},
	},
	{
		request: attack{name: "upgrade to h2c", connection: "Upgrade, HTTP2-Settings, close", lines: []string{
			"Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
		}},
		differences: []difference{
			{"Connection", "close", "Upgrade", none, "ours switches to WebSocket and to nothing else"},
			{"Upgrade", none, "h2c", none, "RFC 9113 has taken it out of HTTP/2"},
			{"Http2-Settings", "AAMAAABkAARAAAAAAAIAAAAA", none, none, ofHop},
		},
	},
	{
		request: attack{name: "upgrade to WebSocket", connection: "Upgrade, close", lines: []string{
			"Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
			"Sec-WebSocket-Protocol: chat",
		}},
		differences: []difference{
			{"Connection", "close", "Upgrade", "Upgrade", "WebSocket needs no further line with ours"},
			{"Upgrade", none, "websocket", "websocket", "WebSocket needs no further line with ours"},
		},
	},
	{
		request: attack{name: "trailers", lines: []string{"Trailer: X-Forwarded-For, X-Own"}, trailers: []string{
			"X-Forwarded-For: 6.6.6.6", "X-Own: t",
		}},
		differences: []difference{
			{"Transfer-Encoding", none, "chunked", "chunked", "ours and Caddy do not wait for the whole body"},
			{"Content-Length", "1", none, none, "the same"},
			{"Trailer", "X-Forwarded-For, X-Own", none, none, "announced are those that may come: Go's server takes that line for itself"},
			{":trailer X-Own", none, none, "t", "trailers of no family are relayed"},
		},
	},
	{
		request: attack{name: "via", lines: []string{"Via: 1.0 fred, 1.1 nobody", "Max-Forwards: 3"}},
		differences: []difference{
			{"Via", "1.0 fred, 1.1 nobody", "1.0 fred, 1.1 nobody", "1.0 fred, 1.1 nobody, 1.1 ours", "RFC 9110 §7.6.3"},
		},
	},
	{
		request: attack{name: "port", host: "FRONT.Example:8443"},
		differences: []difference{
			{":host", frontHost, "FRONT.Example:8443", "FRONT.Example:8443", "Host is the client's own, to the letter"},
			{"X-Forwarded-Host", none, "FRONT.Example:8443", frontHost + ":8443", "validated, in lower case"},
			{"X-Forwarded-Port", none, none, "8443", "the port that was asked for"},
		},
	},
	{request: attack{name: "absolute target", target: "http://" + frontHost + "/x", host: "evil.example"}},
}

// What ours sends on, beside what nginx with its usual lines and Caddy as it comes make of the same request. Every
// difference is listed and meant; one that is not listed, or is gone, must be looked at.
func TestProxySendsOn(t *testing.T) {
	rec := make(recorder, 16)
	backend := listenFront(t, "127.0.0.1:0", rec, false)
	nginx, _ := startNginx(t, nginxConf{upstream: backend, lines: nginxUsual})
	caddy, _ := startCaddy(t, backend)
	o := startOurs(t, proxy.Config{Upstreams: []string{"http://" + backend}, Headers: proxy.Headers{Via: "ours"}})
	for _, test := range headerCases {
		t.Run(test.request.name, func(t *testing.T) {
			got := sendThrough(t, rec, test.request, nginx, caddy, o.plain)
			want := map[string]difference{}
			for _, d := range append(slices.Clone(usualDifferences), test.differences...) {
				require.NotEmpty(t, d.why)
				want[d.header] = d
			}
			for _, d := range want {
				assert.Equal(t, []string{d.nginx, d.caddy, d.ours}, valuesOf(got, d.header), d.header)
			}
			for _, name := range namesOf(got) {
				values := valuesOf(got, name)
				_, known := want[name]
				assert.True(t, known || len(slices.Compact(slices.Clone(values))) == 1, "not listed: %s: %q", name, values)
			}
		})
	}
}

// sendThrough returns what the backend got of a request through each proxy.
func sendThrough(t *testing.T, rec recorder, a attack, doors ...door) []wire {
	t.Helper()
	got := make([]wire, len(doors))
	for i, d := range doors {
		require.Equal(t, 200, d.send(t, clientAddr, a))
		require.Len(t, rec, 1)
		got[i] = <-rec
	}
	return got
}

func valuesOf(wires []wire, name string) []string {
	values := make([]string, len(wires))
	for i, w := range wires {
		values[i] = w.get(name)
	}
	return values
}

func namesOf(wires []wire) []string {
	names := map[string]bool{}
	for _, w := range wires {
		for name := range w {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
