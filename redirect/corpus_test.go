package redirect_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// A rawCase is a request as it stands on the wire, without what the balancer
// adds to it, and what must come of it.
type rawCase struct {
	line   string // method and target
	host   string // the Host line's value
	header string // more lines, separated by "|"; in place of http if it names X-Forwarded-Proto
	want   string // a Location; "pass"; or a status
}

// refused is for what net/http answers itself, with 400, before any handler.
const refused = "400"

// wireCases are requests that led other programs' redirects astray.
func wireCases() []rawCase {
	const self = "https://" + canonical
	get := func(target, want string) rawCase { return rawCase{"GET " + target, canonical, "", want} }
	host := func(name, want string) rawCase { return rawCase{"GET /a", name, "", want} }
	header := func(lines, want string) rawCase { return rawCase{"GET /a", canonical, lines, want} }
	return []rawCase{
		get("/", self+"/"),
		get("//evil.example/x", self+"//evil.example/x"),
		get(`/\evil.example`, self+"/%5Cevil.example"),
		get("/%5cevil.example", self+"/%5cevil.example"),
		get("/%09/evil.example/", self+"/%09/evil.example/"),
		get("/a%0d%0aSet-Cookie:x=1", self+"/a%0d%0aSet-Cookie:x=1"),
		get("/a%2Fb%20c%3Fd", self+"/a%2Fb%20c%3Fd"),
		get("/%25%32%66", self+"/%25%32%66"),
		get("/a#f?x", self+"/a%23f?x"),
		get(`/?"><script>`, self+"/?%22%3E%3Cscript%3E"),
		get("/a/../../b//c", self+"/a/../../b//c"),
		get("*", refused),
		get("http:.evil.example/x", refused),
		get("x:@evil.example/x", refused),
		get("evil.example/x", refused),
		{"CONNECT evil.example:443", canonical, "", "400"},
		{"CONNECT www.example.com:443", canonical, "", "400"},
		{"CONNECT /x", canonical, "", "400"},
		{"OPTIONS *", canonical, "", self},
		{"OPTIONS /a", canonical, "Origin: https://evil.example|Access-Control-Request-Method: PUT", self + "/a"},
		{"POST /a", canonical, "Content-Length: 0", self + "/a"},
		{"PRI *", canonical, "", "400"},
		{"FOO /a", canonical, "", self + "/a"},

		host("www.example.com:80", self+"/a"),
		host("www.example.com:", self+"/a"),
		host("EXAMPLE.com.", "https://example.com/a"),
		host("a.old.example", self+"/a"),
		host("evil.example", "421"),
		host("old.example", "421"),
		host("www.example.com.evil.example", "421"),
		host("evilwww.example.com", "421"),
		host("www.example.com,evil.example", "421"),
		host("www.example.com;evil.example", "421"),
		host("www.example.com:80:443", "421"),
		host("www.example.com:99999", "421"),
		host("*.old.example", "421"),
		host(".old.example", "421"),
		host("[::1]:80", "421"),
		host("[::ffff:192.0.2.7]", "421"),
		host("192.0.2.7", "421"),
		host("192.0.2.7:80", "421"),
		host("127.1", "421"),
		host("0x7f.1", "421"),
		host("2130706433", "421"),
		host("-", "421"),
		host("www.example.com/x", refused),
		host("www.example.com@evil.example", refused),
		host("www.example.com#evil.example", refused),
		host("www.example.com?evil.example", refused),
		host(`www.example.com\evil.example`, refused),

		header("X-Forwarded-Host: evil.example", self+"/a"),
		header("X-Forwarded-Port: 8080", self+"/a"),
		header("X-Forwarded-Prefix: //evil.example", self+"/a"),
		header("Forwarded: host=evil.example;proto=https", self+"/a"),
		header("X-Original-URL: //evil.example|X-Rewrite-URL: //evil.example", self+"/a"),
		header("X_Forwarded_Proto: https", self+"/a"),
		header("X-Forwarded-Ssl: on|X-Url-Scheme: https|Front-End-Https: on", self+"/a"),
		header("X-Forwarded-Proto: https", "pass"),
		header("X-Forwarded-Proto: HTTPS", "pass"),
		header("X-Forwarded-Proto: https,http", "400"),
		header("X-Forwarded-Proto: http,https", "400"),
		header("X-Forwarded-Proto: https|X-Forwarded-Proto: http", "400"),
		header("X-Forwarded-Proto: javascript", "400"),
		header("X-Forwarded-Proto: httpsevil", "400"),
		header("Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "403"),
		header("Cookie: a=b;__Host-https-redirect=1", "500"),
		header("Cookie: a=b|Cookie: __Host-https-redirect=0", "500"),
		header("Cookie: a=__Host-https-redirect=1", self+"/a"),
	}
}

// absoluteCases make sense in HTTP/1 only, where the target is the URL and
// takes the place of the Host.
func absoluteCases() []rawCase {
	return []rawCase{
		{"GET http://evil.example/x", canonical, "", "421"},
		{"GET https://evil.example/x", canonical, "", "421"},
		{"GET https://www.example.com/x", canonical, "", "https://www.example.com/x"},
		{"GET http://www.example.com/x?y", "evil.example", "", "https://www.example.com/x?y"},
		{"GET http://u:p@example.com/x", canonical, "", "https://example.com/x"},
		{"GET http://www.example.com@evil.example/x", canonical, "", "421"},
		{"GET http://www.example.com", canonical, "", "https://www.example.com/"},
		{"GET http://192.0.2.7/", canonical, "", "421"},
		{"GET http:///x", canonical, "", "https://www.example.com/x"},
		{"GET file:///etc/passwd", canonical, "", "https://www.example.com/etc/passwd"},
		{"OPTIONS http://www.example.com", canonical, "", "https://www.example.com/"},
	}
}

// lines are the header lines after the Host, with the balancer's own.
func (c rawCase) lines() []string {
	list := []string{"X-Forwarded-For: 203.0.113.7"}
	if !strings.Contains(c.header, "X-Forwarded-Proto") {
		list = append(list, "X-Forwarded-Proto: http")
	}
	if c.header != "" {
		list = append(list, strings.Split(c.header, "|")...)
	}
	return list
}

// A wireServer is a service on a socket of its own.
type wireServer struct {
	addr string

	mu   sync.Mutex
	told []redirect.Decision
}

func startWire(t *testing.T, protocols func(*http.Protocols)) *wireServer {
	t.Helper()
	s := &wireServer{}
	hops := forwarded.Must(forwarded.New(forwarded.Config{Hops: []forwarded.Hop{forwarded.ALB("127.0.0.0/8")}, Logger: discard}))
	e := redirect.Must(redirect.New(redirect.Config{
		Canonical: canonical, Aliases: []string{apex, wildcard}, Logger: discard,
		OnDecision: func(_ *http.Request, d redirect.Decision) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, d)
		},
	}))
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	srv := httptest.NewUnstartedServer(hops.Wrap(e.Wrap(app)))
	srv.Config.DisableGeneralOptionsHandler = true // else net/http answers "OPTIONS *" itself
	srv.Config.Protocols = new(http.Protocols)
	protocols(srv.Config.Protocols)
	srv.Start()
	t.Cleanup(srv.Close)
	s.addr = srv.Listener.Addr().String()
	return s
}

// takeDecision is what was decided since the last call.
func (s *wireServer) takeDecision() (list []redirect.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, s.told = s.told, nil
	return list
}

func dialWire(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

// exchange sends bytes over a connection of their own and reads one answer.
func exchange(t *testing.T, addr, raw string) (*http.Response, string) {
	t.Helper()
	conn := dialWire(t, addr)
	defer conn.Close()
	_, err := io.WriteString(conn, raw)
	require.NoError(t, err)
	method, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Replace(method, "CONNECT", "GET", 1)})
	require.NoError(t, err, "%q", raw[:min(len(raw), 80)])
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// outcome is an answer in the words of rawCase.
func outcome(resp *http.Response) string {
	switch {
	case resp.Header.Get("Location") != "":
		return resp.Header.Get("Location")
	case resp.StatusCode == http.StatusNoContent:
		return "pass"
	}
	return fmt.Sprint(resp.StatusCode)
}

func TestWireHTTP1(t *testing.T) {
	s := startWire(t, func(p *http.Protocols) { p.SetHTTP1(true) })
	for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
		for _, c := range append(wireCases(), absoluteCases()...) {
			raw := c.line + " " + version + "\r\nHost: " + c.host + "\r\n" + strings.Join(c.lines(), "\r\n") + "\r\nConnection: close\r\n\r\n"
			resp, body := exchange(t, s.addr, raw)
			assert.Equal(t, c.want, outcome(resp), "%s: %s, host %q, %s", version, c.line, c.host, c.header)
			checkWire(t, resp, body, len(s.takeDecision()) > 0)
		}
	}
}

// checkWire looks at what every answer has in common.
func checkWire(t *testing.T, resp *http.Response, body string, ours bool) {
	t.Helper()
	if !ours || resp.StatusCode == http.StatusNoContent {
		return
	}
	assert.Equal(t, []string{"private, no-store"}, resp.Header["Cache-Control"])
	assert.Equal(t, []string{"text/plain; charset=utf-8"}, resp.Header["Content-Type"])
	assert.NotContains(t, body, "evil", "an answer repeats the request")
	for name, lines := range resp.Header {
		if name != "Location" {
			assert.NotContains(t, strings.ToLower(fmt.Sprint(lines)), "example", name)
		}
	}
	assert.NotContains(t, body, "example")
}

// Without a Host, HTTP/1.0 is legal and HTTP/1.1 is not (RFC 9112 §3.2); an
// empty one is legal in both.
func TestWireWithoutHost(t *testing.T) {
	s := startWire(t, func(p *http.Protocols) { p.SetHTTP1(true) })
	rest := "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: http\r\nConnection: close\r\n\r\n"
	for raw, want := range map[string]int{
		"GET /a HTTP/1.0\r\n":                                       421,
		"GET /a HTTP/1.0\r\nHost: \r\n":                             421,
		"GET /a HTTP/1.1\r\n":                                       400,
		"GET /a HTTP/1.1\r\nHost:\r\n":                              421,
		"GET /a HTTP/1.1\r\nHost: " + canonical + "\r\nHost: x\r\n": 400,
		"GET http:///a HTTP/1.1\r\nHost:\r\n":                       421,
	} {
		resp, _ := exchange(t, s.addr, raw+rest)
		assert.Equal(t, want, resp.StatusCode, "%q", raw)
		assert.Empty(t, resp.Header["Location"], "%q", raw)
	}
}

// The redirects of several requests on one connection are each one's own.
func TestWireKeepAlive(t *testing.T) {
	s := startWire(t, func(p *http.Protocols) { p.SetHTTP1(true) })
	conn := dialWire(t, s.addr)
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for i := range 5 {
		_, err := fmt.Fprintf(conn, "HEAD /%d HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: http\r\n\r\n", i, canonical)
		require.NoError(t, err)
		resp, err := http.ReadResponse(answers, &http.Request{Method: "HEAD"})
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("https://%s/%d", canonical, i), resp.Header.Get("Location"))
		assert.Len(t, resp.Header["Set-Cookie"], 1)
	}
}

// Over HTTP/2 in clear the same is decided, or net/http refuses the request
// before anybody decides.
func TestWireHTTP2(t *testing.T) {
	s := startWire(t, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	decided := 0
	for _, c := range wireCases() {
		if strings.Contains(c.header, "Connection:") {
			continue // no such field in HTTP/2
		}
		method, target, _ := strings.Cut(c.line, " ")
		fields := []string{":method", method, ":authority", c.host, ":scheme", "https", ":path", target}
		if method == "CONNECT" {
			fields = fields[:4]
		}
		for _, line := range c.lines() {
			name, value, _ := strings.Cut(line, ": ")
			fields = append(fields, strings.ToLower(name), value)
		}
		http2Exchange(t, s.addr, fields)
		told := s.takeDecision()
		if len(told) == 0 {
			continue
		}
		decided++
		if c.host != canonical && c.want == refused {
			c.want = "421" // net/http looks at :authority less closely than at Host
		}
		assert.Equal(t, c.want, decisionOutcome(told[0]), "%s, host %q, %s", c.line, c.host, c.header)
	}
	assert.Greater(t, decided, 40, "most of them are legal in HTTP/2")
}

func decisionOutcome(d redirect.Decision) string {
	switch d.Action {
	case redirect.Redirect:
		return d.Location
	case redirect.Pass:
		return "pass"
	}
	return fmt.Sprint(d.Status)
}

// http2Exchange sends one request of literal fields, names and values in turn,
// and waits until it is answered or refused (RFC 9113, RFC 7541 §6.2.2).
func http2Exchange(t *testing.T, addr string, fields []string) {
	t.Helper()
	conn := dialWire(t, addr)
	defer conn.Close()
	var block []byte
	for i, text := range fields {
		if i%2 == 0 {
			block = append(block, 0) // a literal without indexing
		}
		require.Less(t, len(text), 127)
		block = append(append(block, byte(len(text))), text...)
	}
	const settings, headers, reset, goAway = 4, 1, 3, 7
	out := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), http2Frame(settings, 0, 0, nil)...)
	_, err := conn.Write(append(out, http2Frame(headers, 0x1|0x4, 1, block)...)) // the end of the stream and of the header
	require.NoError(t, err)
	for {
		var head [9]byte
		_, err := io.ReadFull(conn, head[:])
		require.NoError(t, err)
		_, err = io.CopyN(io.Discard, conn, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
		require.NoError(t, err)
		if head[3] == headers || head[3] == reset || head[3] == goAway {
			return
		}
	}
}

func http2Frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	return append(binary.BigEndian.AppendUint32([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, stream), payload...)
}
