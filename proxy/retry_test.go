package proxy

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// neverOut keeps failing upstreams in, so that it is known who is asked next.
var neverOut = HealthCheck{Failures: -1}

// killing is a backend that takes a request and closes without a word.
func killing(t testing.TB) *backend {
	return newBackend(t, func(c *backendConn) { c.next() })
}

// deaf is the address of an upstream that does not exist.
func deaf(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close()
	return "http://" + l.Addr().String()
}

// firstTo makes the next request go to the first upstream.
func (g *gate) firstTo(first string) {
	ups := g.fleet.ups
	for i, u := range ups {
		if u.name == first {
			g.fleet.turn.Store(uint64(i + len(ups) - 1))
		}
	}
}

const streamed = "streamed" // a body without a known length

// send is one request of a table: with a body, or a stream.
func (g *gate) send(t testing.TB, method, body string, header ...string) (int, string) {
	t.Helper()
	if body != streamed {
		return g.ask(t, method, "/", body, header...)
	}
	v := g.visit(t, method+" / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	resp, text, err := v.answer(method)
	require.NoError(t, err)
	return resp.StatusCode, text
}

func TestRetryAfterALostConnection(t *testing.T) {
	for _, row := range []struct {
		name, method, body string
		header             []string
		again              bool
	}{
		{"GET", "GET", "", nil, true},
		{"HEAD", "HEAD", "", nil, true},
		{"OPTIONS", "OPTIONS", "", nil, true},
		{"DELETE", "DELETE", "", nil, true},
		{"PUT", "PUT", "hello", nil, true},
		{"PUT of 64 KiB", "PUT", strings.Repeat("x", 64<<10), nil, true},
		{"PUT of more", "PUT", strings.Repeat("x", 64<<10+1), nil, false},
		{"PUT of a stream", "PUT", streamed, nil, false},
		{"POST", "POST", "hello", nil, false},
		{"POST without a body", "POST", "", nil, false},
		{"POST of a stream", "POST", streamed, nil, false},
		{"PATCH", "PATCH", "hello", nil, false},
		{"PURGE", "PURGE", "", nil, false},
		{"POST with a key", "POST", "hello", []string{"Idempotency-Key", "1"}, true},
		{"POST with another's key", "POST", "hello", []string{"X-Idempotency-Key", "1"}, true},
		{"PATCH with a key", "PATCH", "", []string{"Idempotency-Key", ""}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			bad, good := killing(t), newBackend(t, serving)
			g := newGate(t, Config{Upstreams: []string{bad.url(), good.url()}, Check: neverOut})
			g.firstTo(bad.url())
			status, _ := g.send(t, row.method, row.body, row.header...)
			assert.EqualValues(t, 1, bad.requests.Load())
			if row.again {
				assert.Equal(t, 200, status)
				assert.EqualValues(t, 1, good.requests.Load())
				assert.EqualValues(t, 1, g.Status().Retries)
				assert.Empty(t, g.failures(), "the client saw none")
				return
			}
			assert.Equal(t, 502, status)
			assert.Zero(t, good.requests.Load())
			e := g.failure(t)
			assert.Equal(t, ReasonConnectionLost, e.Reason())
			assert.Equal(t, 1, e.Attempt)
			assert.Zero(t, g.Status().Retries)
		})
	}
}

// Where no connection was made, nothing was sent: any method goes to another.
func TestRetryAfterNoConnection(t *testing.T) {
	for _, body := range []string{"", "hello", streamed, strings.Repeat("x", 1<<20)} {
		good, absent := newBackend(t, serving), deaf(t)
		g := newGate(t, Config{Upstreams: []string{absent, good.url()}, Check: neverOut})
		g.firstTo(absent)
		status, text := g.send(t, "POST", body)
		assert.Equal(t, 200, status)
		assert.Equal(t, "POST /", text)
		assert.EqualValues(t, 1, good.requests.Load())
	}
}

// The only one would say the same again.
func TestNoRetryToTheSameDeafOne(t *testing.T) {
	g := newGate(t, Config{Upstreams: []string{deaf(t)}})
	status, _ := g.ask(t, "GET", "/", "")
	assert.Equal(t, 502, status)
	assert.Equal(t, 1, g.failure(t).Attempt)
}

// An upstream that has begun to answer has decided: another answer must not
// follow.
func TestNoRetryAfterTheFirstByte(t *testing.T) {
	for _, start := range []string{"H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "HTTP/1.1 103 Early Hints\r\n\r\n", "nonsense\r\n\r\n"} {
		bad := newBackend(t, func(c *backendConn) {
			c.next()
			c.say(start)
		})
		good := newBackend(t, serving)
		g := newGate(t, Config{Upstreams: []string{bad.url(), good.url()}, Check: neverOut})
		g.firstTo(bad.url())
		status, _, err := g.try("GET", "/", "")
		assert.True(t, err != nil || status == 502, "%q: %d", start, status)
		assert.Zero(t, good.requests.Load(), "%q", start)
		e := g.failure(t)
		assert.Equal(t, 1, e.Attempt)
		assert.Positive(t, e.Received)
	}
}

// Nobody knows how far a request came that was not answered in time.
func TestNoRetryAfterATimeout(t *testing.T) {
	bad, good := newBackend(t, func(c *backendConn) { c.next(); c.gone() }), newBackend(t, serving)
	g := newGate(t, Config{Upstreams: []string{bad.url(), good.url()}, Check: neverOut, Timeouts: Timeouts{Head: 30 * time.Millisecond}})
	g.firstTo(bad.url())
	status, _ := g.ask(t, "GET", "/", "")
	assert.Equal(t, 504, status)
	assert.Zero(t, good.requests.Load())
}

func TestNoRetryOnAStatus(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for c.next() != nil {
			c.say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nthine")
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url(), newBackend(t, serving).url()}})
	g.firstTo(b.url())
	status, text := g.ask(t, "GET", "/", "")
	assert.Equal(t, 503, status)
	assert.Equal(t, "thine", text)
}

func TestAttempts(t *testing.T) {
	for attempts, want := range map[int]int32{1: 1, 0: 2, 3: 3} {
		b := killing(t)
		g := newGate(t, Config{Upstreams: []string{b.url()}, Check: neverOut, Retry: Retry{Attempts: attempts}})
		status, _ := g.ask(t, "GET", "/", "")
		assert.Equal(t, 502, status)
		assert.Equal(t, want, b.requests.Load())
		assert.EqualValues(t, want, g.failure(t).Attempt)
	}
}

// An outage is not multiplied: beyond the burst, retries are a small part.
func TestRetriesHaveABudget(t *testing.T) {
	b := killing(t)
	g := newGate(t, Config{Upstreams: []string{b.url()}, Check: neverOut, Retry: Retry{Budget: 0.1, Burst: 1}})
	const n = 40
	start := time.Now()
	for range n {
		status, _ := g.ask(t, "GET", "/", "")
		require.Equal(t, 502, status)
	}
	retries := int(b.requests.Load()) - n
	assert.Positive(t, retries)
	assert.LessOrEqual(t, retries, n/10+2+int(time.Since(start).Seconds()))
	assert.EqualValues(t, retries, g.Status().Retries)
}

// A connection that was in use before may be closed just now. That says
// nothing of the upstream, and what can be sent again is, there.
func TestRetryOfAStaleConnection(t *testing.T) {
	for _, row := range []struct {
		method, body string
		again        bool
	}{{"GET", "", true}, {"PUT", "hello", true}, {"DELETE", "", true}, {"POST", "hello", false}, {"POST", "", false}, {"POST", streamed, false}} {
		t.Run(row.method+" "+row.body, func(t *testing.T) {
			b := newBackend(t, func(c *backendConn) {
				if c.next() != nil {
					c.reply("first")
				}
				if c.n == 1 {
					c.next()
					return
				}
				c.gone()
			})
			g := newGate(t, Config{Upstreams: []string{b.url()}, Retry: Retry{Burst: 1, Budget: 1e-9}})
			g.ask(t, "GET", "/", "")
			status, _ := g.send(t, row.method, row.body)
			if row.again {
				assert.Equal(t, 200, status)
				assert.EqualValues(t, 3, b.requests.Load())
				assert.Zero(t, g.Status().Upstreams[0].Failures)
				return
			}
			assert.Equal(t, 502, status)
			assert.EqualValues(t, 2, b.requests.Load(), "once, and not again")
			assert.EqualValues(t, 1, b.dials.Load())
		})
	}
}

// The second attempt must not meet a connection that may be stale as well.
func TestSecondAttemptIsOnAFreshConnection(t *testing.T) {
	bad := killing(t)
	good := newBackend(t, func(c *backendConn) {
		if c.next() != nil {
			c.reply("ok")
		}
		if c.n == 1 {
			c.next()
			return
		}
		c.gone()
	})
	g := newGate(t, Config{Upstreams: []string{bad.url(), good.url()}, Check: neverOut})
	g.firstTo(good.url())
	g.ask(t, "GET", "/", "")
	g.firstTo(bad.url())
	status, text := g.ask(t, "GET", "/", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "ok", text)
}

// A connection that switched protocols unasked is nobody's any more.
func TestUnaskedSwitchIsNotUsedAgain(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for c.next() != nil {
			if c.n == 1 {
				c.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n")
				continue
			}
			c.reply("ok")
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	status, _ := g.ask(t, "GET", "/", "")
	assert.Equal(t, 502, status)
	assert.Equal(t, ReasonUpgradeRefused, g.failure(t).Reason())
	status, text := g.ask(t, "GET", "/", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "ok", text)
	assert.EqualValues(t, 2, b.dials.Load())
}

// A handshake that was lost is not repeated, one that was never sent is.
func TestRetryOfAHandshake(t *testing.T) {
	good := switchedTo(t, func(c *backendConn) { io.Copy(c, c.r) })
	bad := killing(t)
	g := newGate(t, Config{Upstreams: []string{bad.url(), good.url()}, Check: neverOut})
	g.firstTo(bad.url())
	resp, _, err := g.visit(t, handshake).answer("GET")
	require.NoError(t, err)
	assert.Equal(t, 502, resp.StatusCode)
	assert.Zero(t, good.requests.Load())

	absent := deaf(t)
	g = newGate(t, Config{Upstreams: []string{absent, good.url()}, Check: neverOut})
	g.firstTo(absent)
	v := dialTunnel(t, g)
	v.Close()
}
