package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asking sends raw and returns the answer, and whether the connection ended
// with it.
func (g *gate) asking(t testing.TB, raw string) (resp *http.Response, closed bool) {
	t.Helper()
	v := g.visit(t, raw)
	resp, _, err := v.answer("POST")
	require.NoError(t, err)
	v.CloseWrite()
	return resp, v.closed()
}

func TestRequestBodyLimit(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for r := c.next(); r != nil; r = c.next() {
			c.reply(fmt.Sprint(len(r.body)))
		}
	})
	for _, kept := range []int64{0, -1} { // in memory, and streamed
		g := newGate(t, Config{Upstreams: []string{b.url()}, Limits: Limits{RequestBody: 1000}, Retry: Retry{MaxBody: kept}})
		chunk := func(n int) string {
			return fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("x", n))
		}
		length := func(n int) string {
			return fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n))
		}
		for name, raw := range map[string]func(int) string{"by length": length, "chunked": chunk} {
			resp, _ := g.asking(t, raw(1000))
			assert.Equal(t, 200, resp.StatusCode, name)
			assert.Empty(t, g.failures())
			before := b.requests.Load()
			resp, closed := g.asking(t, raw(1001))
			assert.Equal(t, 413, resp.StatusCode, name)
			assert.True(t, closed, name)
			assert.True(t, resp.Close, "and the client is told so")
			e := g.failure(t)
			assert.Equal(t, ReasonBodyTooLarge, e.Reason())
			assert.False(t, e.Stage.upstreamAtFault(), name)
			assert.Equal(t, before, b.requests.Load(), "no upstream got a whole request")
		}
		status, text := g.ask(t, "GET", "/", "")
		assert.Equal(t, "200 0", fmt.Sprint(status, " ", text), "it goes on")
		assert.Zero(t, g.Status().Upstreams[0].Failures)
	}
}

// A client that waits for "100 Continue" is told at once.
func TestRequestBodyLimitBeforeTheBody(t *testing.T) {
	b := newBackend(t, serving)
	g := newGate(t, Config{Upstreams: []string{b.url()}, Limits: Limits{RequestBody: 1000}})
	resp, closed := g.asking(t, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000000000\r\n\r\n")
	assert.Equal(t, 413, resp.StatusCode)
	assert.True(t, closed)
	assert.Zero(t, b.dials.Load())
}

func TestTargetLimit(t *testing.T) {
	b := newBackend(t, serving)
	g := newGate(t, Config{Upstreams: []string{b.url()}, Limits: Limits{URI: 100}})
	status, _ := g.ask(t, "GET", "/"+strings.Repeat("x", 49)+"?"+strings.Repeat("y", 49), "")
	assert.Equal(t, 200, status)
	status, _ = g.ask(t, "GET", "/"+strings.Repeat("x", 49)+"?"+strings.Repeat("y", 50), "")
	assert.Equal(t, 414, status)
	assert.Equal(t, ReasonTargetTooLong, g.failure(t).Reason())
	assert.EqualValues(t, 1, b.requests.Load())
}

func TestHeaderLimit(t *testing.T) {
	b := newBackend(t, serving)
	g := newGate(t, Config{Upstreams: []string{b.url()}, Limits: Limits{RequestHeader: 1000}})
	exactly := func(n int) string {
		const start, end = "Host: h\r\nA: b\r\nLong: ", "\r\n"
		return "GET / HTTP/1.1\r\n" + start + strings.Repeat("x", n-len(start)-len(end)) + end + "\r\n"
	}
	resp, _ := g.asking(t, exactly(1000))
	assert.Equal(t, 200, resp.StatusCode)
	resp, closed := g.asking(t, exactly(1001))
	assert.Equal(t, 431, resp.StatusCode)
	assert.True(t, closed)
	assert.Equal(t, ReasonHeaderTooLarge, g.failure(t).Reason())
	assert.EqualValues(t, 1, b.requests.Load())
}

func TestAnswerHeadLimit(t *testing.T) {
	head := func(n int) string {
		const start, end = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLong: ", "\r\n\r\n"
		return start + strings.Repeat("x", n-len(start)-len(end)) + end
	}
	for _, row := range []struct {
		limit, size, status int
	}{{1000, 1000, 200}, {1000, 1001, 502}, {0, 64 << 10, 200}, {0, 64<<10 + 1, 502}, {0, 1 << 20, 502}, {200_000, 200_000, 200}, {200_000, 200_001, 502}, {-1, 1 << 20, 200}} {
		b := newBackend(t, func(c *backendConn) {
			for c.next() != nil {
				c.say(head(row.size))
			}
		})
		g := newGate(t, Config{Upstreams: []string{b.url()}, Limits: Limits{ResponseHeader: row.limit}})
		status, _ := g.ask(t, "GET", "/", "")
		assert.Equal(t, row.status, status, "%d of %d", row.size, row.limit)
		if status == 502 {
			assert.Equal(t, ReasonHeadTooLarge, g.failure(t).Reason())
		}
	}
}

// A head that never ends is not read for ever.
func TestEndlessHead(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		c.next()
		c.say("HTTP/1.1 200 OK\r\n")
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	status, _ := g.ask(t, "GET", "/", "")
	assert.Equal(t, 502, status)
	e := g.failure(t)
	assert.Equal(t, ReasonHeadTooLarge, e.Reason())
	assert.LessOrEqual(t, e.Received, int64(256<<10))
}

func TestInFlightLimit(t *testing.T) {
	b, arrived, goOn := holding(t)
	g := newGate(t, Config{Upstreams: []string{b.url()}, Limits: Limits{InFlight: 2}})
	got := make(chan int, 2)
	for range 2 {
		go func() {
			status, _, _ := g.try("GET", "/", "")
			got <- status
		}()
		arrived.wait(t, "a request")
	}
	assert.EqualValues(t, 2, g.Status().InFlight)
	status, _ := g.ask(t, "GET", "/", "")
	assert.Equal(t, 503, status)
	assert.Equal(t, ReasonOverloaded, g.failure(t).Reason())
	close(goOn)
	assert.Equal(t, 400, <-got+<-got)
	eventually(t, "room", func() bool { return g.Status().InFlight == 0 })
	status, _ = g.ask(t, "GET", "/", "")
	assert.Equal(t, 200, status)
}

func TestTotalLimit(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		r := c.next()
		if r.RequestURI == "/body" {
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				if _, err := io.WriteString(c, "1\r\nx\r\n"); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		c.gone()
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}, Timeouts: Timeouts{Total: 300 * time.Millisecond}})
	status, _ := g.ask(t, "GET", "/head", "")
	assert.Equal(t, 504, status)
	assert.Equal(t, ReasonTotalTimeout, g.failure(t).Reason())

	_, text, err := g.try("GET", "/body", "")
	assert.Error(t, err, "not a whole answer")
	assert.NotEmpty(t, text)
	assert.Equal(t, ReasonTotalTimeout, g.failure(t).Reason())
	eventually(t, "the end of the connections", func() bool { return b.open.Load() == 0 })
}

// The time for an answer begins when the request has been sent: a slow upload
// is no slow upstream.
func TestHeadTimeBeginsAfterTheUpload(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for r := c.next(); r != nil; r = c.next() {
			c.reply(r.body)
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}, Timeouts: Timeouts{Head: 400 * time.Millisecond}})
	v := g.visit(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 5 {
		time.Sleep(150 * time.Millisecond)
		io.WriteString(v, "1\r\nx\r\n")
	}
	io.WriteString(v, "0\r\n\r\n")
	resp, text, err := v.answer("POST")
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, "xxxxx", text)
	assert.Empty(t, g.failures())
}

// And then it does begin.
func TestHeadTimeEnds(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		c.next()
		c.gone()
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}, Timeouts: Timeouts{Head: 100 * time.Millisecond}})
	start := time.Now()
	v := g.visit(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
	time.Sleep(250 * time.Millisecond)
	io.WriteString(v, "0\r\n\r\n")
	resp, _, err := v.answer("POST")
	require.NoError(t, err)
	assert.Equal(t, 504, resp.StatusCode)
	assert.GreaterOrEqual(t, time.Since(start), 350*time.Millisecond)
	assert.Equal(t, ReasonAnswerTimeout, g.failure(t).Reason())
}
