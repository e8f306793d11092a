package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A failing is one way for an exchange to fail, provoked for real.
type failing struct {
	reason Reason
	stage  Stage
	proxy  string // the error in Proxy-Status

	cfg    Config
	script func(c *backendConn) // of the one upstream; nil: cfg has it
	raw    string               // what the client sends; "": GET
	act    func(t *testing.T, g *gate, v *visitor)

	sent, received bool // something was
	broken         bool // the client has no page, but a broken connection
}

const plainGet = "GET /path HTTP/1.1\r\nHost: www.example.com\r\n\r\n"

// saying is a backend that takes one request, says something and closes.
func saying(text string) func(c *backendConn) {
	return func(c *backendConn) {
		c.next()
		c.say(text)
	}
}

func silent(c *backendConn) {
	c.next()
	c.gone()
}

// failingDial is a transport whose connections fail like this.
func failingDial(err error) http.RoundTripper {
	return NewTransport(TransportConfig{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 80}, Err: err}
	}})
}

// An oddConn fails in a way that no socket does.
type oddConn struct{ net.Conn }

func (oddConn) Read([]byte) (int, error) { return 0, errors.New("the cable was cut") }

func dialOdd(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		io.Copy(io.Discard, far)
		far.Close()
	}()
	return oddConn{near}, nil
}

const soon = 50 * time.Millisecond

// failings are all reasons but ReasonNone.
func failings(t *testing.T) []failing {
	shutDown := func(t *testing.T, g *gate, _ *visitor) { require.NoError(t, g.Shutdown(t.Context())) }
	return []failing{
		{reason: ReasonConnectionRefused, stage: StageDial, proxy: "connection_refused", cfg: Config{Upstreams: []string{deaf(t)}}},
		{reason: ReasonUnreachable, stage: StageDial, proxy: "destination_ip_unroutable",
			cfg: Config{Upstreams: []string{"http://192.0.2.7"}, Transport: failingDial(os.NewSyscallError("connect", syscall.EHOSTUNREACH))}},
		{reason: ReasonDNS, stage: StageDial, proxy: "dns_error",
			cfg: Config{Upstreams: []string{"http://app.internal"}, Transport: failingDial(&net.DNSError{Err: "no such host", Name: "app.internal", IsNotFound: true})}},
		{reason: ReasonConnectTimeout, stage: StageDial, proxy: "connection_timeout", cfg: Config{Upstreams: []string{"http://192.0.2.7"}, Transport: failingDial(os.ErrDeadlineExceeded)}},
		{reason: ReasonTLS, stage: StageTLS, proxy: "tls_protocol_error", cfg: Config{Upstreams: []string{"https://" + newBackend(t, saying("HTTP/1.1 400 Bad Request\r\n\r\n")).addr()}}},
		{reason: ReasonConnectionLost, stage: StageReadHead, proxy: "connection_terminated", script: saying(""), cfg: Config{Retry: Retry{Attempts: 1}}, sent: true},
		{reason: ReasonMalformedAnswer, stage: StageReadHead, proxy: "http_protocol_error", script: saying("SSH-2.0-OpenSSH_9.2\r\n\r\n"), sent: true, received: true},
		{reason: ReasonHeadTooLarge, stage: StageReadHead, proxy: "http_response_header_section_size", script: saying("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 100_000)), sent: true, received: true},
		{reason: ReasonTruncated, stage: StageReadBody, proxy: "http_response_incomplete", cfg: spoken(t, partial), sent: true, received: true},
		{reason: ReasonTruncated, stage: StageReadBody, broken: true, script: truncatedLater, sent: true, received: true},
		{reason: ReasonBroken, stage: StageReadHead, proxy: "connection_terminated",
			cfg: Config{Upstreams: []string{"http://192.0.2.7"}, Transport: NewTransport(TransportConfig{Dial: dialOdd})}, sent: true},
		{reason: ReasonUpgradeRefused, stage: StageUpgrade, proxy: "http_upgrade_failed", script: saying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\nConnection: Upgrade\r\n\r\n"), sent: true, received: true},
		{reason: ReasonAnswerTimeout, stage: StageReadHead, proxy: "http_response_timeout", script: silent, cfg: Config{Timeouts: Timeouts{Head: soon}}, sent: true},
		{reason: ReasonBodyTimeout, stage: StageReadBody, broken: true, script: func(c *backendConn) {
			c.next()
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
			c.gone()
		}, cfg: Config{Timeouts: Timeouts{Idle: soon}}, sent: true, received: true},
		{reason: ReasonWriteTimeout, stage: StageWriteBody, proxy: "connection_write_timeout", script: unread, cfg: Config{Timeouts: Timeouts{Idle: 200 * time.Millisecond}}, act: flood, sent: true,
			raw: "POST /path HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 100000000000\r\n\r\n"},
		{reason: ReasonTotalTimeout, stage: StageReadHead, proxy: "http_response_timeout", script: silent, cfg: Config{Timeouts: Timeouts{Total: soon}}, sent: true},
		{reason: ReasonNoUpstream, stage: StageSelect, proxy: "destination_unavailable", script: saying("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), cfg: Config{Check: HealthCheck{Path: "/health"}}, raw: "-", act: whenUnhealthy},
		{reason: ReasonOverloaded, stage: StageSelect, proxy: "connection_limit_reached", script: silent, cfg: Config{Limits: Limits{InFlight: 1}}, raw: "-", act: whenBusy},
		{reason: ReasonShuttingDown, stage: StageSelect, proxy: "destination_unavailable", script: silent, raw: "-", act: shutDown},
		{reason: ReasonLoop, stage: StageRequest, proxy: "proxy_loop_detected", script: silent, cfg: Config{Headers: Headers{Via: "edge"}}, raw: "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 edge, 1.1 a, 1.1 edge\r\nVia: 1.1 edge\r\n\r\n"},
		{reason: ReasonBadRequest, stage: StageRequest, proxy: "http_request_error", script: silent, raw: "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n"},
		{reason: ReasonMalformedBody, stage: StageClientBody, proxy: "http_request_error", script: silent, raw: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", sent: true},
		{reason: ReasonBodyTooLarge, stage: StageRequest, proxy: "http_request_denied", script: silent, cfg: Config{Limits: Limits{RequestBody: 4}}, raw: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"},
		{reason: ReasonBodyTooLarge, stage: StageClientBody, proxy: "http_request_denied", script: silent, cfg: Config{Limits: Limits{RequestBody: 4}}, raw: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", sent: true},
		{reason: ReasonClientSlow, stage: StageClientBody, proxy: "http_request_error", script: silent, cfg: Config{Timeouts: Timeouts{Idle: soon}}, raw: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe"},
		{reason: ReasonTargetTooLong, stage: StageRequest, proxy: "http_request_denied", script: silent, raw: "GET /" + strings.Repeat("x", 17_000) + " HTTP/1.1\r\nHost: h\r\n\r\n"},
		{reason: ReasonHeaderTooLarge, stage: StageRequest, proxy: "http_request_denied", script: silent, raw: "GET / HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("x", 66_000) + "\r\n\r\n"},
		{reason: ReasonMethodRefused, stage: StageRequest, proxy: "http_request_denied", script: silent, raw: "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n"},
		{reason: ReasonConnectRefused, stage: StageRequest, proxy: "http_request_denied", script: silent, raw: "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"},
		{reason: ReasonClientGone, stage: StageClientGone, broken: true, script: silent, act: leave, sent: true},
		{reason: ReasonClientUnreadable, stage: StageClientWrite, broken: true, script: endless, cfg: Config{Timeouts: Timeouts{Idle: 200 * time.Millisecond}}, act: takeNothing, sent: true, received: true},
	}
}

const partial = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nSet-Cookie: secret=1\r\nX-Inside: yes\r\nContent-Encoding: gzip\r\n\r\nevil"

// spoken is an upstream that has said all it will say when it is asked: what
// follows the head is there at once, and so is the end.
func spoken(t testing.TB, text string) Config {
	done := make(signal)
	b := newBackend(t, func(c *backendConn) {
		c.say(text)
		c.Conn.(*net.TCPConn).CloseWrite()
		close(done)
		c.gone()
	})
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		<-done
		return conn, err
	}
	return Config{Upstreams: []string{b.url()}, Transport: NewTransport(TransportConfig{Dial: dial})}
}

// truncatedLater breaks off when the client has seen a part.
func truncatedLater(c *backendConn) {
	c.next()
	c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
	time.Sleep(100 * time.Millisecond)
	c.say("half")
}

// unread takes no byte of the body, until the failure is known.
func unread(c *backendConn) { <-c.backend.released }

// flood sends until nobody takes it any more.
func flood(t *testing.T, _ *gate, v *visitor) {
	go func() {
		for zeros := make([]byte, 1<<20); ; {
			if _, err := v.Write(zeros); err != nil {
				return
			}
		}
	}()
}

func endless(c *backendConn) {
	c.next()
	c.say("HTTP/1.1 200 OK\r\n\r\n")
	for zeros := make([]byte, 1<<20); ; {
		if _, err := c.Write(zeros); err != nil {
			return
		}
	}
}

func whenUnhealthy(t *testing.T, g *gate, _ *visitor) {
	eventually(t, "the first probe", func() bool { return g.Status().Upstreams[0].State == StateUnhealthy })
}

func whenBusy(t *testing.T, g *gate, _ *visitor) {
	other := g.visit(t, plainGet)
	eventually(t, "another request", func() bool { return g.Status().InFlight == 1 })
	t.Cleanup(func() { other.Close() })
}

func leave(t *testing.T, g *gate, v *visitor) {
	eventually(t, "the request", func() bool { return g.Status().InFlight == 1 && g.Status().Upstreams[0].Requests == 0 })
	time.Sleep(20 * time.Millisecond) // so that it has been sent
	v.Close()
}

func takeNothing(t *testing.T, g *gate, _ *visitor) {
	eventually(t, "the failure", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.errs) > 0 })
}

func TestReasons(t *testing.T) {
	var tested [len(reasonInfos)]bool
	tested[ReasonNoHijacker] = true // by TestNoHijacker, which needs a handler in front
	for _, f := range failings(t) {
		tested[f.reason] = true
		t.Run(f.reason.String()+"/"+f.stage.String(), func(t *testing.T) { f.run(t) })
	}
	for r, done := range tested {
		assert.Equal(t, Reason(r) != ReasonNone, done, Reason(r).String())
	}
}

func (f *failing) run(t *testing.T) {
	release := func() {}
	if f.script != nil {
		b := newBackend(t, f.script)
		f.cfg.Upstreams, release = []string{b.url()}, b.release
	}
	g := newGate(t, f.cfg)
	var resp *http.Response
	var body string
	var err error
	if f.raw == "-" {
		f.act(t, g, nil)
		resp, body, err = g.visit(t, plainGet).answer("GET")
	} else {
		v := g.visit(t, or(f.raw, plainGet))
		if f.act != nil {
			f.act(t, g, v)
		}
		resp, body, err = v.answer("GET")
	}
	e := f.checkError(t, g)
	release()
	f.checkLog(t, g, e)
	if f.broken {
		assert.Error(t, err, "a broken answer is not taken for a whole one")
		return
	}
	require.NoError(t, err)
	f.checkPage(t, g, e, resp, body)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (f *failing) checkError(t *testing.T, g *gate) *Error {
	t.Helper()
	e := g.failure(t)
	assert.Equal(t, f.reason.String(), e.Reason().String(), "%v", e)
	assert.Equal(t, f.stage.String(), e.Stage.String())
	assert.Equal(t, f.reason.info().status, e.Status())
	assert.Equal(t, f.sent, e.Sent > 0, "%d bytes sent", e.Sent)
	assert.Equal(t, f.received, e.Received > 0, "%d bytes received", e.Received)
	asked := f.stage >= StageDial && f.stage <= StageUpgrade || e.Sent > 0 || f.stage == StageClientWrite
	assert.Equal(t, asked, e.Upstream != "", "upstream %q", e.Upstream)
	assert.Equal(t, asked, e.Attempt == 1, "attempt %d", e.Attempt)
	assert.Contains(t, e.Error(), e.Reason().String())
	assert.Contains(t, e.Error(), e.Upstream)
	assert.ErrorIs(t, e, e, "an *Error is an error")
	return e
}

// checkLog demands one line that names the upstream, what happened and what
// to check.
func (f *failing) checkLog(t *testing.T, g *gate, e *Error) {
	t.Helper()
	var line map[string]any
	for _, entry := range g.book.entries(t) {
		if strings.HasPrefix(entry["msg"].(string), "proxy: ") {
			assert.Nil(t, line, "one line")
			line = entry
		}
	}
	require.NotNil(t, line)
	level := "DEBUG" // the client's own fault is nobody's alarm
	switch {
	case f.reason == ReasonLoop:
		level = "WARN"
	case f.stage < StageRequest:
		level = "ERROR"
	}
	assert.Equal(t, level, line["level"])
	assert.Equal(t, f.reason.String(), line["reason"])
	assert.Equal(t, f.stage.String(), line["stage"])
	assert.Equal(t, e.Upstream, line["upstream"])
	assert.EqualValues(t, e.Status(), line["status"])
	assert.NotEmpty(t, e.Hint())
	assert.Equal(t, e.Hint(), line["check"])
	assert.Contains(t, line["msg"], e.Upstream)
	assert.Contains(t, line["msg"], e.Hint())
	assert.NotEmpty(t, line["request_id"])
	if e.Err != nil {
		assert.Equal(t, e.Err.Error(), line["error"])
	}
}

// checkPage demands a page without anything of the inside.
func (f *failing) checkPage(t *testing.T, g *gate, e *Error, resp *http.Response, body string) {
	t.Helper()
	assert.Equal(t, e.Status(), resp.StatusCode)
	assert.Equal(t, g.cfg.Headers.Via+"; error="+f.proxy, resp.Header.Get("Proxy-Status"))
	assert.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	assert.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	assert.Equal(t, e.Status() == 503, resp.Header.Get("Retry-After") == "5", "%q", resp.Header.Get("Retry-After"))
	assert.Equal(t, e.Status() == 405, resp.Header.Get("Allow") != "")
	assert.NotContains(t, resp.Header.Get("Allow"), "TRACE")
	var text strings.Builder
	resp.Header.Write(&text)
	text.WriteString(body)
	inside := []string{"127.0.0.1", "192.0.2.7", "app.internal", "upstream", "dial", "EOF", "refused:", "syscall", "goroutine", ".go", "evil", "SSH"}
	if e.Err != nil {
		inside = append(inside, e.Err.Error())
	}
	for _, word := range inside {
		assert.NotContains(t, text.String(), word)
	}
}

// upset is a gate whose upstream does not exist.
func upset(t *testing.T, pages ErrorPages) *gate {
	return newGate(t, Config{Upstreams: []string{deaf(t)}, Errors: pages})
}

func TestPagesByAccept(t *testing.T) {
	g := upset(t, ErrorPages{})
	for accept, kind := range map[string]string{
		"":                             "text/plain; charset=utf-8",
		"*/*":                          "text/plain; charset=utf-8",
		"image/png":                    "text/plain; charset=utf-8",
		"text/html,application/json":   "text/html; charset=utf-8",
		"application/xhtml+xml;q=0.9":  "text/html; charset=utf-8",
		"application/json, text/html":  "application/json",
		"application/problem+json":     "application/json",
		"text/plain, application/json": "application/json",
	} {
		r := request(t, "GET", g.server.URL, nil)
		r.Header.Set("X-Request-Id", "id-1")
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		resp, err := g.client.Do(r)
		require.NoError(t, err)
		body := whole(t, resp)
		assert.Equal(t, kind, resp.Header.Get("Content-Type"), accept)
		assert.EqualValues(t, len(body), resp.ContentLength)
		for _, part := range []string{"502", "Bad Gateway", "did not give a usable answer", "id-1"} {
			assert.Contains(t, body, part, accept)
		}
		if kind == "application/json" {
			var page map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &page))
			assert.Equal(t, map[string]any{"status": 502.0, "title": "Bad Gateway", "detail": textFor(502), "request_id": "id-1"}, page)
		}
	}
}

func TestPageOfHEAD(t *testing.T) {
	g := upset(t, ErrorPages{})
	resp, body, err := g.visit(t, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").answer("HEAD")
	require.NoError(t, err)
	assert.Equal(t, 502, resp.StatusCode)
	assert.Empty(t, body)
	assert.Positive(t, resp.ContentLength)
}

// An id that a client can choose is shown only if it is harmless.
func TestRequestIDs(t *testing.T) {
	g := upset(t, ErrorPages{})
	for id, shown := range map[string]bool{
		"Root=1-67891233-abcdef012345678912345678": true, "a-b_c.d;e=f": true,
		"<script>": false, `a"b`: false, "a b": false, "": false, strings.Repeat("x", 129): false, strings.Repeat("x", 128): true, "ä": false,
	} {
		r := request(t, "GET", g.server.URL, nil)
		r.Header["X-Amzn-Trace-Id"] = []string{id}
		r.Header.Set("Accept", "text/html")
		resp, err := g.client.Do(r)
		require.NoError(t, err)
		assert.Equal(t, shown, strings.Contains(whole(t, resp), "request "+id+"<"), id)
	}
	g.book.entries(t)
}

// The id on the page is the one in the log.
func TestRequestIDIsLogged(t *testing.T) {
	g := upset(t, ErrorPages{})
	status, body := g.ask(t, "GET", "/", "")
	assert.Equal(t, 502, status)
	entries := g.book.entries(t)
	require.Len(t, entries, 1)
	assert.Regexp(t, `^[a-z2-7]{16}$`, entries[0]["request_id"])
	assert.Contains(t, body, entries[0]["request_id"])
}

func TestOwnPages(t *testing.T) {
	g := upset(t, ErrorPages{Write: func(w http.ResponseWriter, r *http.Request, page ErrorPage) {
		assert.Equal(t, "/path", r.URL.Path)
		assert.NotEmpty(t, w.Header().Get("Proxy-Status"))
		assert.Equal(t, ErrorPage{Status: 502, Title: "Bad Gateway", Text: textFor(502), RequestID: "mine"}, page)
		w.WriteHeader(599)
		io.WriteString(w, "own page")
	}})
	status, body := g.ask(t, "GET", "/path", "", "X-Request-Id", "mine")
	assert.Equal(t, 599, status)
	assert.Equal(t, "own page", body)
	assert.Equal(t, ReasonConnectionRefused, g.failure(t).Reason())
}

func TestRetryAfter(t *testing.T) {
	for after, want := range map[time.Duration]string{0: "5", time.Minute: "60", time.Millisecond: "1", 1500 * time.Millisecond: "2", -1: ""} {
		p, err := New(Config{Upstreams: []string{"http://127.0.0.1:1"}, Errors: ErrorPages{RetryAfter: after}, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		require.NoError(t, p.Shutdown(t.Context()))
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, 503, w.Code)
		assert.Equal(t, want, w.Header().Get("Retry-After"), after)
	}
}

// What an upstream had sent of an answer that is not passed on is no part of
// the page.
func TestPageHasNothingOfTheAnswer(t *testing.T) {
	g := newGate(t, spoken(t, partial))
	resp, body, err := g.visit(t, plainGet).answer("GET")
	require.NoError(t, err)
	assert.Equal(t, 502, resp.StatusCode)
	for _, name := range []string{"Set-Cookie", "X-Inside", "Content-Encoding"} {
		assert.NotContains(t, resp.Header, name)
	}
	assert.NotContains(t, body, "evil")
}

// One line a second for each upstream and reason, which says how many were
// left out; another upstream and another reason have their own.
func TestLogIsRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book journal
		var late atomic.Bool
		rt := tripper(func(r *http.Request) (*http.Response, error) {
			if late.Load() {
				return nil, context.DeadlineExceeded
			}
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		})
		p, err := New(Config{Upstreams: []string{"http://a", "http://b"}, Transport: rt, Logger: book.logger(), Check: neverOut, Retry: Retry{Attempts: 1}})
		require.NoError(t, err)
		ask := func(n int) (lines []string) {
			for range n {
				p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("PATCH", "/", nil))
			}
			for _, entry := range book.entries(t) {
				lines = append(lines, fmt.Sprint(entry["upstream"], " ", entry["reason"], " ", entry["suppressed"]))
			}
			return lines
		}
		assert.ElementsMatch(t, []string{"http://a connection_refused <nil>", "http://b connection_refused <nil>"}, ask(20))
		time.Sleep(time.Second - 1)
		assert.Empty(t, ask(20))
		time.Sleep(time.Nanosecond)
		assert.ElementsMatch(t, []string{"http://a connection_refused 19", "http://b connection_refused 19"}, ask(2))
		late.Store(true)
		assert.ElementsMatch(t, []string{"http://a answer_timeout <nil>", "http://b answer_timeout <nil>"}, ask(2))
		late.Store(false)
		time.Sleep(time.Second)
		assert.ElementsMatch(t, []string{"http://a connection_refused <nil>", "http://b connection_refused <nil>"}, ask(2))
	})
}

func TestReasonWords(t *testing.T) {
	seen := map[string]bool{}
	for r := range reasonInfos {
		info := Reason(r).info()
		assert.Regexp(t, `^[a-z_]+$`, info.name)
		assert.Regexp(t, `^[a-z_]+$`, info.proxyStatus)
		assert.False(t, seen[info.name], info.name)
		seen[info.name] = true
		text, err := Reason(r).MarshalText()
		assert.NoError(t, err)
		assert.Equal(t, info.name, string(text))
		if Reason(r) != ReasonNone {
			assert.NotEmpty(t, info.hint)
			assert.GreaterOrEqual(t, info.status, 400)
		}
	}
	assert.Equal(t, "none", Reason(200).String())
	assert.Equal(t, "invalid", Stage(200).String())
	for s := range stageNames {
		assert.Regexp(t, `^[a-z_]+$`, Stage(s).String())
	}
}
