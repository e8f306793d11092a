//go:build linux

package peers

import (
	"net/http"
	"strings"
)

const (
	frontHost = "front.example" // what every client asks for
	control   = "X-Control"     // belongs to no family, so it must survive whatever is removed
)

// forgeries are texts that only a client of this test writes: found after Wrap, they got through.
var forgeries = []string{"6.6.6.6", "7.7.7.7", "evil", "::6666"}

// An attack is one request that a client may send. Whatever it says, the address, scheme and host of the connection
// it comes on are what they are.
type attack struct {
	name       string
	lines      []string // header lines, as sent
	trailers   []string // trailer lines; the request is then chunked
	connection string   // the Connection header; "": close
	target     string   // "": /
	host       string   // the Host header; "": frontHost
	h1only     bool     // cannot be written in HTTP/2
	mayRefuse  bool     // a proxy that answers 400 itself is right, too
	mustRefuse bool     // every proxy refuses this
}

// family is every header that some proxy or library takes the client's word from.
var family = []string{
	"X-Forwarded-For: 6.6.6.6",
	"X-Forwarded-Proto: https",
	"X-Forwarded-Host: evil.example",
	"X-Forwarded-Port: 6666",
	"X-Forwarded-Prefix: /evil",
	"X-Forwarded-Scheme: evil",
	"X-Forwarded-Ssl: evil",
	"X-Forwarded-Uri: /evil",
	"X-Forwarded-User: evil",
	"X-Forwarded-Client-Cert: evil",
	"X-Real-IP: 6.6.6.6",
	"Forwarded: for=6.6.6.6;proto=https;host=evil.example",
	"True-Client-IP: 6.6.6.6",
	"CF-Connecting-IP: 6.6.6.6",
	"Fly-Client-IP: 6.6.6.6",
	"X-Client-IP: 6.6.6.6",
	"X-Cluster-Client-IP: 6.6.6.6",
	"CloudFront-Forwarded-Proto: https",
	"X-Amzn-Mtls-Clientcert: evil",
	"X-Amzn-Oidc-Identity: evil",
	"Client-Cert: :ZXZpbA==:",
}

// attacks are the forged requests of every test in this package. Each one says https, so that a believed forgery shows
// on a plain connection; httpsInstead turns them round.
var attacks = []attack{
	{name: "nothing"},
	{name: "whole family", lines: family},
	{name: "two lines", lines: []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"}},
	{name: "two protos", lines: []string{"X-Forwarded-Proto: https", "X-Forwarded-Proto: https"}},
	{name: "port of the other scheme", lines: []string{"X-Forwarded-Port: 443", "X-Forwarded-Proto: https"}},
	{name: "address of a hop", lines: []string{"X-Forwarded-For: 6.6.6.6, 127.0.0.2, 127.0.0.1"}},
	{name: "addresses of many hops", lines: []string{"X-Forwarded-For: 127.0.0.2", "X-Forwarded-For: 127.0.0.1, 127.0.0.2"}},
	{
		name: "nominations", h1only: true, lines: family,
		connection: "close, X-Forwarded-For, X-Forwarded-Proto, X-Real-IP, X-Forwarded-Host, Forwarded",
	},
	{name: "nominations of nothing", h1only: true, connection: "close, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host"},
	{name: "nominations in lower case", h1only: true, connection: "x-forwarded-for,x-forwarded-proto,x-forwarded-host,close"},
	{name: "underscores", lines: []string{
		"X_Forwarded_For: 6.6.6.6", "X_Forwarded_Proto: https", "X_Forwarded_Host: evil.example", "X_Real_IP: 6.6.6.6",
		"X-Forwarded_For: 6.6.6.6", "X_Forwarded_User: evil",
	}},
	{name: "dots", lines: []string{
		"X.Forwarded.For: 6.6.6.6", "X.Forwarded.Proto: https", "X.Forwarded.Host: evil.example", "True.Client.IP: 6.6.6.6",
	}},
	{name: "space before the colon", h1only: true, mustRefuse: true, lines: []string{"X-Forwarded-For : 6.6.6.6"}},
	{name: "folded line", h1only: true, mayRefuse: true, lines: []string{"X-Forwarded-For: 6.6.6.6,", " 7.7.7.7"}},
	{name: "declared trailers", mayRefuse: true, lines: []string{"Trailer: X-Forwarded-For, X-Forwarded-Proto, X-Real-IP"}, trailers: []string{
		"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Real-IP: 6.6.6.6",
	}},
	{name: "undeclared trailers", h1only: true, mayRefuse: true, trailers: []string{
		"X-Forwarded-For: 6.6.6.6", "X_Forwarded_For: 7.7.7.7", "Forwarded: for=6.6.6.6", "X-Forwarded-Host: evil.example",
	}},
	{name: "list of hosts", lines: []string{"X-Forwarded-Host: evil.example, evil.example", "X-Forwarded-Host: evil.example"}},
	{name: "garbage", lines: []string{
		"X-Forwarded-For: evil, , \"", "X-Forwarded-Proto: javascript-evil", "X-Forwarded-Host: evil@evil/evil",
		"X-Forwarded-Port: 666666", "X-Forwarded-Prefix: //evil\\..", "Forwarded: for=\"6.6.6.6", "X-Real-IP: evil",
	}},
	{name: "empty values", lines: []string{
		"X-Forwarded-For:", "X-Forwarded-Proto:", "X-Forwarded-Host:", "X-Forwarded-Port:", "Forwarded:",
	}},
	{name: "empty items", lines: []string{"X-Forwarded-For: 6.6.6.6,,,,,,,,,,,,,,,,"}},
	{name: "comma at the end", lines: []string{"X-Forwarded-For: 6.6.6.6,", "X-Forwarded-Proto: https,"}},
	{name: "hidden", lines: []string{"X-Forwarded-For: unknown, _evil"}},
	{name: "ports", lines: []string{"X-Forwarded-For: 6.6.6.6:66, [::6666]:66, 6.6.6.6:666666"}},
	{name: "long list", mayRefuse: true, lines: []string{"X-Forwarded-For: " + strings.Repeat("6.6.6.6, ", 700) + "6.6.6.6"}},
	{name: "many lines", mayRefuse: true, lines: repeat("X-Forwarded-For: 6.6.6.6", 60)},
	{name: "port in the host", host: frontHost + ":8443", lines: family},
	{name: "upper case host", host: "FRONT.Example", lines: family},
	{name: "absolute target", h1only: true, mayRefuse: true, target: "http://" + frontHost + "/", host: "evil.example", lines: family},
	{name: "two hosts", h1only: true, mayRefuse: true, lines: []string{"Host: " + frontHost}},
}

func repeat(line string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line
	}
	return lines
}

// httpsInstead is the attack for a connection that really is https: it says http, and port 80,
// wherever it said https.
func (a attack) httpsInstead() attack {
	a.lines, a.trailers = sayHTTP(a.lines), sayHTTP(a.trailers)
	a.target = strings.Replace(a.target, "http:", "https:", 1) // the one thing that must fit the connection
	return a
}

func sayHTTP(lines []string) []string {
	said := make([]string, len(lines))
	for i, line := range lines {
		said[i] = strings.NewReplacer("https", "http", "443", "80").Replace(line)
	}
	return said
}

// nominates says whether the attack asks the proxy to remove headers, among them some that it writes itself.
func (a attack) nominates() bool { return a.connection != "" }

// request is the attack as the bytes of an HTTP/1.1 request.
func (a attack) request() string {
	var b strings.Builder
	b.WriteString(a.method() + " " + or(a.target, "/") + " HTTP/1.1\r\nHost: " + or(a.host, frontHost) + "\r\n")
	for _, line := range a.lines {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("Connection: " + or(a.connection, "close") + "\r\n" + control + ": kept\r\n")
	if len(a.trailers) == 0 {
		return b.String() + "\r\n"
	}
	b.WriteString("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + strings.Join(a.trailers, "\r\n") + "\r\n\r\n")
	return b.String()
}

func (a attack) method() string {
	if len(a.trailers) > 0 {
		return http.MethodPost
	}
	return http.MethodGet
}

// http2 is the attack as a request for net/http's client, which writes it in HTTP/2.
func (a attack) http2(base string) (*http.Request, error) {
	var body *strings.Reader
	if len(a.trailers) > 0 {
		body = strings.NewReader("x")
	}
	req, err := newRequest(a.method(), base+"/", body)
	if err != nil {
		return nil, err
	}
	req.Host = or(a.host, frontHost)
	req.Header.Set(control, "kept")
	addLines(req.Header, a.lines)
	req.Header.Del("Trailer")
	if len(a.trailers) > 0 {
		req.ContentLength = -1
		req.Trailer = http.Header{}
		addLines(req.Trailer, a.trailers)
	}
	return req, nil
}

// newRequest spares the caller an interface that holds a nil pointer.
func newRequest(method, url string, body *strings.Reader) (*http.Request, error) {
	if body == nil {
		return http.NewRequest(method, url, nil)
	}
	return http.NewRequest(method, url, body)
}

// addLines keeps names as they are: an alias must not be made canonical on its way.
func addLines(h http.Header, lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		if c := http.CanonicalHeaderKey(name); strings.EqualFold(c, name) {
			name = c
		}
		h[name] = append(h[name], strings.TrimSpace(value))
	}
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
