package albtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hello answers with what arrived, so that a transcript shows both ways.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "%s %s %s from %s: %s", r.Method, r.Host, r.URL, r.RemoteAddr, body)
})

// inBubble runs the test with virtual time.
func inBubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

// one is a server in memory with one target.
func one(t *testing.T, change func(*Config)) *Server {
	cfg := Config{InMemory: true, TargetGroups: map[string]TargetGroup{"app": {Targets: []Target{{Handler: hello}}}}}
	if change != nil {
		change(&cfg)
	}
	return Start(t, cfg)
}

// onlyHTTP is a listener without TLS that forwards to the group.
func onlyHTTP(port int, rules ...Rule) []Listener {
	return []Listener{{Port: port, Default: ForwardTo("app"), Rules: rules}}
}

// say sends bytes to a listener and returns everything that comes back until
// the connection ends, or falls silent.
func say(t *testing.T, s *Server, port int, text string) string {
	t.Helper()
	c, err := s.Dial(t.Context(), netip.MustParseAddr("203.0.113.7"), port)
	require.NoError(t, err)
	defer c.Close()
	return converse(t, c, text)
}

func converse(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// date of the bubble's first moment.
const dateLine = "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n"

func latest(t *testing.T, s *Server) Entry {
	t.Helper()
	log := s.Log()
	require.NotEmpty(t, log)
	return log[len(log)-1]
}

func TestNewServerOnLoopback(t *testing.T) {
	var mu sync.Mutex
	var peer, scheme, forwardedFor string
	s := NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("X-Forwarded-For") != "" {
			peer, scheme, forwardedFor = r.RemoteAddr, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-For")
		}
		io.WriteString(w, "hello")
	}))
	resp, err := s.Client().Get(s.HTTPSURL + "/x?y=1")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, "HTTP/2.0", resp.Proto)
	mu.Lock()
	node, err := netip.ParseAddrPort(peer)
	assert.Equal(t, "https", scheme)
	assert.Equal(t, "203.0.113.10", forwardedFor)
	mu.Unlock()
	require.NoError(t, err)
	assert.True(t, inSubnets(node.Addr()), "the target sees %s", node)

	resp, err = s.Client().Get(s.HTTPURL + "/x?y=1")
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 301, resp.StatusCode)
	assert.Equal(t, "https://www.example.com:443/x?y=1", resp.Header.Get("Location"))
	assert.Equal(t, []Status{200, 301}, []Status{s.Log()[0].ELBStatusCode, s.Log()[1].ELBStatusCode})

	plain, err := net.Dial("tcp", s.Addr(80))
	require.NoError(t, err)
	defer plain.Close()
	assert.Contains(t, converse(t, plain, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"), "Location: https://a.example:443/\r\n")
}

func inSubnets(a netip.Addr) bool {
	for _, subnet := range Subnets() {
		if netip.MustParsePrefix(subnet).Contains(a) {
			return true
		}
	}
	return false
}

func TestRedirectBytes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, nil)
		got := say(t, s, 80, "GET /a/b?c=d HTTP/1.1\r\nHost: example.org:80\r\nConnection: close\r\n\r\n")
		want := "HTTP/1.1 301 Moved Permanently\r\nServer: awselb/2.0\r\n" + dateLine +
			"Content-Type: text/html\r\nContent-Length: 134\r\nConnection: close\r\n" +
			"Location: https://example.org:443/a/b?c=d\r\n\r\n" +
			"<html>\r\n<head><title>301 Moved Permanently</title></head>\r\n<body>\r\n" +
			"<center><h1>301 Moved Permanently</h1></center>\r\n</body>\r\n</html>\r\n"
		assert.Equal(t, want, got)
		e := latest(t, s)
		assert.Equal(t, Entry{Time: e.Time, Type: "http", Client: e.Client, Listener: 80, Node: e.Node, Sent: e.Sent,
			ELBStatusCode: 301, AnsweredBy: ByBalancer, Why: "the rule redirects", Action: "redirect",
			RedirectURL: "https://example.org:443/a/b?c=d", Classification: "Compliant"}, e)
		assert.Equal(t, "203.0.113.7", e.Client.Addr().String())
	})
}

func TestForwardedBytes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, func(c *Config) { c.Listeners = onlyHTTP(80) })
		got := say(t, s, 80, "POST /p%2Fq?x HTTP/1.1\r\nhost: example.org:80\r\nX-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n"+
			"X-Forwarded-Port: 443\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=1.2.3.4\r\nX_Forwarded_Proto: https\r\n"+
			"Connection: close, X-Forwarded-For\r\nContent-Length: 3\r\n\r\nabc")
		e := latest(t, s)
		assert.Equal(t, "POST /p%2Fq?x HTTP/1.1\r\nX-Forwarded-For: 198.51.100.1, 203.0.113.7\r\nX-Forwarded-Proto: http\r\n"+
			"X-Forwarded-Port: 80\r\nHost: example.org\r\nX-Amzn-Trace-Id: "+e.TraceID+"\r\n"+
			"X-Forwarded-Host: evil.example\r\nForwarded: for=1.2.3.4\r\nX_Forwarded_Proto: https\r\nContent-Length: 3\r\n\r\n", e.Got)
		assert.Regexp(t, `^Root=1-386d4380-[0-9a-f]{24}$`, e.TraceID)
		assert.True(t, strings.HasPrefix(got, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"+dateLine), got)
		assert.Contains(t, got, "\r\nConnection: close\r\n")
		assert.Regexp(t, `POST example\.org /p%2Fq\?x from 10\.0\.[01]\.10:\d+: abc$`, got)
		assert.Equal(t, Status(200), e.TargetStatusCode)
		assert.Equal(t, ByTarget, e.AnsweredBy)
	})
}

// TestOwnCodes has a row for each error that the balancer finds in a request.
func TestOwnCodes(t *testing.T) {
	forged := func(n int) string { return strings.TrimSuffix(strings.Repeat("192.0.2.1, ", n), ", ") }
	rows := []struct {
		name, request string
		status        int
		reason        string
	}{
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "MethodTrace"},
		{"version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "VersionNotSupported"},
		{"no version", "GET /\r\n\r\n", 400, "MalformedRequest"},
		{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BadTarget"},
		{"no path", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BadTarget"},
		{"OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""},
		{"upgrade", "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 400, "BadUpgrade"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400, "NoHost"},
		{"request line", "GET /" + strings.Repeat("a", 17<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, "RequestLineTooLong"},
		{"header line", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 17<<10) + "\r\n\r\n", 400, "HeaderTooLong"},
		{"whole header", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("a", 9<<10)+"\r\n", 8) + "\r\n", 400, "HeaderTooLong"},
		{"29 hops", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + forged(29) + "\r\n\r\n", 200, ""},
		{"30 hops", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + forged(30) + "\r\n\r\n", 200, ""},
		{"31 hops", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + forged(31) + "\r\n\r\n", 463, "TooManyForwarded"},
		{"coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "TransferEncoding"},
		{"severe", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 400, "MultipleContentLength"},
		{"chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "MalformedBody"},
		{"half a header", "GET / HTTP/1.1\r\nHost: a", 408, "ClientTimeout"},
		{"half a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", 408, "ClientTimeout"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := one(t, func(c *Config) {
					c.Listeners = onlyHTTP(80)
					c.Attributes.IdleTimeout = 10 * time.Second
				})
				got := say(t, s, 80, row.request)
				assert.True(t, strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", row.status)), "%.200q", got)
				e := latest(t, s)
				assert.Equal(t, Status(row.status), e.ELBStatusCode)
				assert.Equal(t, row.reason, e.ErrorReason, e.Why)
			})
		})
	}
}

// TestTargetCodes has a row for each way in which a target fails.
func TestTargetCodes(t *testing.T) {
	rows := []struct {
		name   string
		fault  Fault
		status int
		reason string
	}{
		{"idle race", Fault{Kind: IdleRace}, 502, "TargetClosed"},
		{"reset", Fault{Kind: Reset}, 502, "TargetClosed"},
		{"refuse", Fault{Kind: Refuse}, 502, "ConnectionRefused"},
		{"unreachable", Fault{Kind: Unreachable}, 504, "ConnectTimeout"},
		{"hang", Fault{Kind: Hang}, 504, "TargetTimeout"},
		{"cut in the head", Fault{Kind: Cut, Bytes: 20}, 502, "TargetClosed"},
		{"cut in a short body", Fault{Kind: Cut, Bytes: 120}, 502, "TargetClosed"},
		{"garbage", Fault{Kind: Garbage}, 502, "MalformedResponse"},
		{"huge header", Fault{Kind: HugeHeader}, 502, "ResponseHeaderTooLong"},
		{"short body", Fault{Kind: ShortBody}, 504, "TargetTimeout"},
		{"latency", Fault{Kind: Latency}, 200, ""},
		{"bandwidth", Fault{Kind: Bandwidth}, 200, ""},
		{"slices", Fault{Kind: Slices}, 200, ""},
		{"slow close", Fault{Kind: SlowClose}, 200, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := one(t, func(c *Config) {
					c.Listeners = onlyHTTP(80)
					c.Attributes.IdleTimeout = 15 * time.Second
				})
				s.Fault(row.fault)
				got := say(t, s, 80, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				assert.True(t, strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", row.status)), "%.200q", got)
				e := latest(t, s)
				assert.Equal(t, row.reason, e.ErrorReason, e.Why)
				again := say(t, s, 80, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				assert.True(t, strings.HasPrefix(again, "HTTP/1.1 200 "), "%.200q", again)
				if row.status >= 500 {
					assert.Equal(t, ByBalancer, e.AnsweredBy)
					assert.Contains(t, got, "\r\nServer: awselb/2.0\r\n")
				}
			})
		})
	}
}

func TestErrorPageSizes(t *testing.T) {
	now := time.Now()
	for status, size := range map[int]int{301: 134, 302: 110, 502: 122, 503: 162} {
		assert.Len(t, page(status, false, now).body, size, "%d", status)
	}
	assert.Equal(t, "Moved Temporarily", page(302, false, now).reason)
}

func TestKeepAliveAndPool(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, func(c *Config) { c.Listeners = onlyHTTP(80) })
		c, err := s.Dial(t.Context(), netip.MustParseAddr("203.0.113.7"), 80)
		require.NoError(t, err)
		defer c.Close()
		r := bufio.NewReader(c)
		var peers []string
		for range 3 {
			_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			resp, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.Equal(t, "keep-alive", resp.Header.Get("Connection"))
			_, from, _ := strings.Cut(string(body), "from ")
			peers = append(peers, from)
		}
		assert.Equal(t, peers[0], peers[1], "the connection to the target is kept")
		assert.Equal(t, peers[0], peers[2])
		time.Sleep(61 * time.Second)
		_, err = r.ReadByte()
		assert.ErrorIs(t, err, io.EOF, "the idle time-out closes the client's connection")
	})
}
