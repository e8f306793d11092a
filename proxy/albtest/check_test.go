package albtest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var testNode = netip.MustParseAddr("10.0.0.10")

// newProber checks over a network in memory, with defaults for what is not set.
func newProber(t *testing.T, at string, version ProtocolVersion, check HealthCheck) *prober {
	m, err := check.matcher(version)
	require.NoError(t, err)
	return &prober{
		network: newMemory(), node: testNode, to: netip.MustParseAddrPort(at),
		check: check.withDefaults(version), version: version, matcher: m,
	}
}

// onTarget runs script with the first connection to the prober's target.
func onTarget(t *testing.T, p *prober, script func(net.Conn)) {
	l, err := p.network.listen(p.to)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err == nil {
			script(c)
			_ = c.Close()
		}
	}()
}

// readHead reads up to the blank line.
func readHead(c net.Conn) string {
	var head []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); {
		if _, err := c.Read(b); err != nil {
			break
		}
		head = append(head, b...)
	}
	return string(head)
}

func TestCheckRequest(t *testing.T) {
	for _, tc := range []struct {
		name     string
		at       string
		check    HealthCheck
		unknowns Unknowns
		want     string
	}{
		{"default port", "10.0.0.10:80", HealthCheck{}, Unknowns{},
			"GET / HTTP/1.1\r\nHost: 10.0.0.10\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"},
		{"other port, path with query", "10.0.0.10:8080", HealthCheck{Path: "/healthz?full=1"}, Unknowns{},
			"GET /healthz?full=1 HTTP/1.1\r\nHost: 10.0.0.10:8080\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"},
		{"IPv6", "[2001:db8::1]:80", HealthCheck{}, Unknowns{},
			"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"},
		{"IPv6, other port", "[2001:db8::1]:81", HealthCheck{}, Unknowns{},
			"GET / HTTP/1.1\r\nHost: [2001:db8::1]:81\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"},
		{"443 is no default port of HTTP", "10.0.0.10:443", HealthCheck{}, Unknowns{},
			"GET / HTTP/1.1\r\nHost: 10.0.0.10:443\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"},
		{"HTTPS", "10.0.0.10:443", HealthCheck{Protocol: HTTPS}, Unknowns{},
			"GET / HTTP/1.1\r\nHost: 10.0.0.10\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"},
		{"HTTPS, 443 named", "10.0.0.10:443", HealthCheck{Protocol: HTTPS}, Unknowns{HealthCheckHostWithPort443: true},
			"GET / HTTP/1.1\r\nHost: 10.0.0.10:443\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"},
		{"unknown headers", "10.0.0.10:80", HealthCheck{}, Unknowns{HealthCheckAcceptEncoding: true, HealthCheckTraceID: true},
			"GET / HTTP/1.1\r\nHost: 10.0.0.10\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n" +
				"Accept-Encoding: gzip, compressed\r\nX-Amzn-Trace-Id: Root=1-HEX\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProber(t, tc.at, HTTP1, tc.check)
			p.unknowns = tc.unknowns
			got := regexp.MustCompile(`1-[0-9a-f]{8}-[0-9a-f]{24}`).ReplaceAllString(string(p.request()), "1-HEX")
			assert.Equal(t, tc.want, got)
		})
	}
}

// A check is these bytes from the node's address on a connection of its own,
// which the node closes.
func TestCheckOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProber(t, "10.0.16.10:80", HTTP1, HealthCheck{})
		var from, head string
		var end error
		onTarget(t, p, func(c net.Conn) {
			from = c.RemoteAddr().(*net.TCPAddr).IP.String()
			head = readHead(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			_, end = c.Read(make([]byte, 1))
		})
		assert.Equal(t, verdict{}, p.probe(t.Context()))
		synctest.Wait()
		assert.Equal(t, testNode.String(), from)
		assert.Equal(t, string(p.request()), head)
		assert.Equal(t, io.EOF, end, "the node closes, though the target would go on")
	})
}

var (
	checkPassed   = verdict{}
	checkFailed   = verdict{FailedHealthChecks, "Health checks failed"}
	checkTimedOut = verdict{Timeout, "Request timed out"}
)

func TestCheckVerdict(t *testing.T) {
	mismatch := func(code string) verdict {
		return verdict{ResponseCodeMismatch, "Health checks failed with these codes: [" + code + "]"}
	}
	for _, tc := range []struct {
		name    string
		matcher string
		answer  string
		hang    bool // keep the connection open after the answer
		want    verdict
	}{
		{name: "200", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", hang: true, want: checkPassed},
		{name: "200 until close", answer: "HTTP/1.1 200 OK\r\n\r\nok", want: checkPassed},
		{name: "200 in chunks", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", hang: true, want: checkPassed},
		{name: "HTTP/1.0", answer: "HTTP/1.0 200 OK\r\n\r\nok", want: checkPassed},
		{name: "interim answers first", answer: "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: checkPassed},
		{name: "redirect", answer: "HTTP/1.1 301 Moved Permanently\r\nLocation: https://10.0.16.10/\r\nContent-Length: 0\r\n\r\n", want: mismatch("301")},
		{name: "redirect permitted", matcher: "200-399", answer: "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", want: checkPassed},
		{name: "404", answer: "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", want: mismatch("404")},
		{name: "204 is not 200", answer: "HTTP/1.1 204 No Content\r\n\r\n", hang: true, want: mismatch("204")},
		{name: "503", matcher: "200-499", answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", want: mismatch("503")},
		{name: "not HTTP", answer: "220 mail.example.com ESMTP\r\n", want: checkFailed},
		{name: "nothing", answer: "", want: checkFailed},
		{name: "half a head", answer: "HTTP/1.1 200 OK\r\nContent-", want: checkFailed},
		{name: "half a body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", want: checkFailed},
		{name: "an upgrade nobody wanted", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", want: checkFailed},
		{name: "head without end", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxCheckHead) + "\r\n\r\n", hang: true, want: checkFailed},
		{name: "body without end", answer: "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", maxCheckBody+1), hang: true, want: checkPassed},
		{name: "long body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 65536), hang: true, want: checkPassed},
		{name: "silence", answer: "", hang: true, want: checkTimedOut},
		{name: "half a head and silence", answer: "HTTP/1.1 200 OK\r\n", hang: true, want: checkTimedOut},
		{name: "half a body and silence", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", hang: true, want: checkTimedOut},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProber(t, "10.0.16.10:80", HTTP1, HealthCheck{Matcher: tc.matcher})
				onTarget(t, p, func(c net.Conn) {
					_ = readHead(c)
					_, _ = io.WriteString(c, tc.answer)
					if tc.hang {
						_, _ = c.Read(make([]byte, 1))
					}
				})
				start := time.Now()
				assert.Equal(t, tc.want, p.probe(t.Context()))
				if tc.want == checkTimedOut {
					assert.Equal(t, 5*time.Second, time.Since(start))
				} else {
					assert.Zero(t, time.Since(start))
				}
			})
		})
	}
}

func TestCheckConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProber(t, "10.0.16.10:443", HTTP1, HealthCheck{Timeout: 7 * time.Second})
		assert.Equal(t, checkFailed, p.probe(t.Context()), "nobody listens")

		p.network.swallow(p.to, true)
		start := time.Now()
		assert.Equal(t, checkTimedOut, p.probe(t.Context()), "the packets are dropped")
		assert.Equal(t, 7*time.Second, time.Since(start))
		p.network.swallow(p.to, false)

		onTarget(t, p, func(c net.Conn) { _ = readHead(c); _ = abort(c) })
		assert.Equal(t, checkFailed, p.probe(t.Context()), "the target resets the connection")
	})
}

func TestCheckHTTPS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := newAuthority()
		require.NoError(t, err)
		p := newProber(t, "10.0.16.10:443", HTTP1, HealthCheck{Protocol: HTTPS})
		p.unknowns.SNI = "app.internal"
		var name string
		onTarget(t, p, func(c net.Conn) {
			secure := tls.Server(c, &tls.Config{GetCertificate: a.certificate})
			_ = readHead(secure)
			name = secure.ConnectionState().ServerName
			_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		assert.Equal(t, checkPassed, p.probe(t.Context()), "nobody verifies the certificate")
		assert.Equal(t, "app.internal", name)
	})
}

func TestCheckHTTPSAtAPlainPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProber(t, "10.0.16.10:443", HTTP1, HealthCheck{Protocol: HTTPS})
		onTarget(t, p, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1000))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		})
		assert.Equal(t, checkFailed, p.probe(t.Context()))
	})
}

// serve runs a handler where the prober asks.
func serve(t *testing.T, p *prober, secure bool, h http.Handler) {
	a, err := newAuthority()
	require.NoError(t, err)
	m := &machine{
		env: &environment{network: p.network, certificate: a.certificate},
		at:  p.to, target: Target{Handler: h}, secure: secure, version: p.version,
	}
	require.NoError(t, m.start())
	t.Cleanup(m.close)
}

func TestCheckHTTP2(t *testing.T) {
	for _, protocol := range []Protocol{HTTP, HTTPS} {
		t.Run(protocol.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProber(t, "10.0.16.10:8443", HTTP2, HealthCheck{Protocol: protocol, Path: "/healthz?x=1"})
				p.unknowns = Unknowns{HealthCheckAcceptEncoding: true, HealthCheckTraceID: true}
				serve(t, p, protocol == HTTPS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					assert.Equal(t, "HTTP/2.0", r.Proto)
					assert.Equal(t, "GET /healthz?x=1", r.Method+" "+r.RequestURI)
					assert.Equal(t, "10.0.16.10:8443", r.Host)
					assert.Len(t, r.Header, 3)
					assert.Equal(t, "ELB-HealthChecker/2.0", r.UserAgent())
					assert.Equal(t, "gzip, compressed", r.Header.Get("Accept-Encoding"))
					assert.NotEmpty(t, r.Header.Get("X-Amzn-Trace-Id"))
				}))
				assert.Equal(t, checkPassed, p.probe(t.Context()))
			})
		})
	}
}

func TestCheckGRPC(t *testing.T) {
	for _, tc := range []struct {
		name    string
		matcher string
		handler http.HandlerFunc
		want    verdict
	}{
		{"unimplemented, as AWS expects", "", func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "POST /AWS.ALB/healthcheck", r.Method+" "+r.RequestURI)
			assert.Equal(t, "application/grpc", r.Header.Get("Content-Type"))
			assert.Equal(t, "trailers", r.Header.Get("Te"))
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, make([]byte, 5), body)
			w.Header().Set("Grpc-Status", "12") // the head is the whole answer
		}, checkPassed},
		{"serving", "0", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "Grpc-Status")
			_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, 1})
			w.Header().Set("Grpc-Status", "0")
		}, checkPassed},
		{"serving, which the default does not take", "", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Grpc-Status", "0")
		}, verdict{ResponseCodeMismatch, "Health checks failed with these codes: [0]"}},
		{"no gRPC at all", "0-99", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, checkFailed},
		{"silence", "0-99", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, checkTimedOut},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProber(t, "10.0.16.10:50051", GRPC, HealthCheck{Matcher: tc.matcher})
				serve(t, p, false, tc.handler)
				assert.Equal(t, tc.want, p.probe(t.Context()))
			})
		})
	}
}

func TestCheckGRPCAtAnHTTP1Server(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProber(t, "10.0.16.10:50051", HTTP1, HealthCheck{})
		serve(t, p, false, http.NotFoundHandler())
		p.version = GRPC
		assert.Equal(t, checkFailed, p.probe(t.Context()))
	})
}

func TestCheckEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProber(t, "10.0.16.10:80", HTTP1, HealthCheck{})
		onTarget(t, p, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		p.probe(ctx)
		assert.Equal(t, time.Second, time.Since(start))
	})
}
