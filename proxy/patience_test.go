package proxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inNoTime sends one request through a transport of the test's own, with a
// clock of its own, and returns the failure, the answer and how long it took.
func inNoTime(t *testing.T, to Timeouts, body io.Reader, rt tripper, w http.ResponseWriter) (failed *Error, took time.Duration) {
	t.Helper()
	p, err := New(Config{Upstreams: []string{"http://127.0.0.1:1"}, Timeouts: to, Transport: rt, Retry: Retry{Attempts: 1}, Logger: slog.New(slog.DiscardHandler),
		OnError: func(_ *http.Request, e *Error) { failed = e }})
	require.NoError(t, err)
	r := httptest.NewRequest("POST", "/", body)
	start := time.Now()
	func() {
		defer func() { recover() }() // an answer that breaks off
		p.ServeHTTP(w, r)
	}()
	return failed, time.Since(start)
}

// slowly gives a piece each time, after a while, and then ends.
type slowly struct {
	pieces int
	pause  time.Duration
	ctx    context.Context
}

func (s *slowly) Close() error { return nil }

func (s *slowly) Read(p []byte) (int, error) {
	if s.pieces--; s.pieces < 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(s.pause):
		return copy(p, "piece"), nil
	case <-s.ctx.Done():
		return 0, context.Cause(s.ctx)
	}
}

// slowWriter is a client that needs a while for each piece.
type slowWriter struct {
	*httptest.ResponseRecorder
	pause time.Duration
}

func (w slowWriter) Write(p []byte) (int, error) {
	time.Sleep(w.pause)
	return w.ResponseRecorder.Write(p)
}

// The time between two pieces of an answer is the upstream's. What the client
// takes to read them is not added.
func TestSlowUpstreamAndSlowClient(t *testing.T) {
	for pause, want := range map[time.Duration]Reason{40 * time.Second: ReasonNone, 70 * time.Second: ReasonBodyTimeout} {
		synctest.Test(t, func(t *testing.T) {
			w := slowWriter{httptest.NewRecorder(), 50 * time.Second}
			failed, _ := inNoTime(t, Timeouts{}, nil, func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: &slowly{5, pause, r.Context()}}, nil
			}, w)
			if want == ReasonNone {
				assert.Nil(t, failed)
				assert.Equal(t, strings.Repeat("piece", 5), w.Body.String())
				return
			}
			require.NotNil(t, failed)
			assert.Equal(t, want, failed.Reason())
		})
	}
}

// Somebody else's transport may know no time-outs: the proxy's hold all the same.
func TestTimeoutsOverATransport(t *testing.T) {
	ignoring := func(r *http.Request) (*http.Response, error) { // takes a piece of the body, and no more
		io.ReadFull(r.Body, make([]byte, 5))
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	silent := func(r *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	for _, row := range []struct {
		name   string
		rt     tripper
		pieces int
		pause  time.Duration
		reason Reason
		after  time.Duration
	}{
		{"takes no more of the body", ignoring, 5, 0, ReasonWriteTimeout, 20 * time.Second},
		{"does not answer", silent, 1, 0, ReasonAnswerTimeout, 30 * time.Second},
		{"does not answer to a slow client", silent, 5, 15 * time.Second, ReasonAnswerTimeout, 105 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed, took := inNoTime(t, Timeouts{Idle: 20 * time.Second, Head: 30 * time.Second}, &slowly{row.pieces, row.pause, t.Context()}, row.rt, httptest.NewRecorder())
				require.NotNil(t, failed)
				assert.Equal(t, row.reason, failed.Reason())
				assert.Equal(t, row.after, took)
			})
		})
	}
}

// Informational answers are no answer, however many come.
func TestEndlessHints(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		c.next()
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}, Timeouts: Timeouts{Head: 150 * time.Millisecond}})
	status, _ := g.ask(t, "GET", "/", "")
	assert.Equal(t, 504, status)
	assert.Equal(t, ReasonAnswerTimeout, g.failure(t).Reason())
}

// Nor may they be larger together than an answer's head.
func TestManyHints(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		c.next()
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: <"+strings.Repeat("a", 1000)+">\r\n\r\n"); err != nil {
				return
			}
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	v := g.visit(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	go io.Copy(io.Discard, v.r)
	assert.Equal(t, ReasonHeadTooLarge, g.failure(t).Reason())
}

// A client that asks and asks and does not read holds nothing for ever, however
// small the answers are.
func TestClientThatDoesNotRead(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for c.next() != nil {
			c.reply(strings.Repeat("x", 30_000))
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}, Timeouts: Timeouts{Idle: 100 * time.Millisecond}})
	v := g.visit(t, strings.Repeat("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1000))
	assert.Equal(t, ReasonClientUnreadable, g.failure(t).Reason())
	eventually(t, "the end of the exchange", func() bool { return g.Status().InFlight == 0 })
	v.Close()
}

// numb is an end of a tunnel that takes nothing, and knows no deadlines.
type numb struct{ closed chan struct{} }

func (n *numb) Read([]byte) (int, error)  { <-n.closed; return 0, net.ErrClosed }
func (n *numb) Write([]byte) (int, error) { <-n.closed; return 0, net.ErrClosed }
func (n *numb) Close() error              { close(n.closed); return nil }

// A tunnel over a connection without deadlines ends in time as well.
func TestTunnelWithoutDeadlines(t *testing.T) {
	for text, want := range map[string]time.Duration{"": time.Hour, "a message": time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			tun := &tunnel{client: tunnelEnd{near, []byte(text)}, upstream: tunnelEnd{ReadWriteCloser: &numb{make(chan struct{})}}, idle: time.Hour, patience: time.Minute}
			start := time.Now()
			tun.run()
			assert.GreaterOrEqual(t, time.Since(start), want)
			assert.LessOrEqual(t, time.Since(start), want+want/4)
		})
	}
}

// "No limit" is no deadline, and not one that is over.
func TestNoLimitIsNoDeadline(t *testing.T) {
	assert.True(t, in(0).IsZero())
	assert.True(t, in(-1).IsZero())
	assert.True(t, in(time.Minute).After(time.Now()))
}

// A machine that vanished without a word must not hold the one connection that
// all requests share.
func TestHTTP2IsPinged(t *testing.T) {
	for _, h2c := range []bool{true, false} {
		settings := newTripper(t, TransportConfig{}).cfg.standard(h2c).HTTP2
		require.NotNil(t, settings)
		assert.Positive(t, settings.SendPingTimeout)
		assert.Positive(t, settings.PingTimeout)
		assert.Less(t, settings.SendPingTimeout+settings.PingTimeout, time.Minute)
	}
}
