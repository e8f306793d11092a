package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shutdown begins a Shutdown; its result comes over the channel.
func shutdown(ctx context.Context, g *gate) <-chan error {
	result := make(chan error, 1)
	go func() { result <- g.Shutdown(ctx) }()
	return result
}

// holding is a backend that answers when it is told to.
func holding(t testing.TB) (b *backend, arrived, goOn signal) {
	arrived, goOn = make(signal, 8), make(signal)
	b = newBackend(t, func(c *backendConn) {
		for c.next() != nil {
			arrived <- struct{}{}
			<-goOn
			c.reply("late")
		}
	})
	return b, arrived, goOn
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	b, arrived, goOn := holding(t)
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	got := make(chan string, 1)
	go func() {
		_, body, _ := g.try("GET", "/", "")
		got <- body
	}()
	arrived.wait(t, "the request")
	over := shutdown(t.Context(), g)
	eventually(t, "the refusal of new ones", func() bool { return g.Status().Draining })

	resp, err := g.client.Get(g.server.URL)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 503, resp.StatusCode)
	assert.Equal(t, "5", resp.Header.Get("Retry-After"))
	e := g.failure(t)
	assert.Equal(t, ReasonShuttingDown, e.Reason())
	assert.Equal(t, StageSelect, e.Stage)
	select {
	case err := <-over:
		assert.Fail(t, "it did not wait", "%v", err)
	default:
	}

	close(goOn)
	assert.Equal(t, "late", <-got)
	assert.NoError(t, <-over)
	eventually(t, "the end of the idle connection", func() bool { return b.open.Load() == 0 })
	assert.NoError(t, g.Shutdown(t.Context()), "again")
}

func TestShutdownOutOfTime(t *testing.T) {
	b, arrived, goOn := holding(t)
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	got := make(chan string, 1)
	go func() {
		_, body, _ := g.try("GET", "/", "")
		got <- body
	}()
	arrived.wait(t, "the request")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	assert.Equal(t, context.DeadlineExceeded, g.Shutdown(ctx))
	close(goOn)
	assert.Equal(t, "late", <-got, "requests are not cut, they are the server's to end")
	eventually(t, "the end of its connection", func() bool { return b.open.Load() == 0 })
}

// A WebSocket that is just being opened when the time is over is cut as well.
func TestShutdownCutsTheTunnelThatIsJustOpened(t *testing.T) {
	arrived, goOn := make(signal, 1), make(signal)
	b := newBackend(t, func(c *backendConn) {
		if c.next() != nil {
			arrived <- struct{}{}
			<-goOn
			c.say(switching)
			c.gone()
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	v := g.visit(t, handshake)
	arrived.wait(t, "the handshake")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, context.Canceled, g.Shutdown(ctx))
	close(goOn)
	v.SetReadDeadline(time.Now().Add(3 * time.Second))
	_, err := io.Copy(io.Discard, v.r)
	assert.False(t, isTimeout(err), "the tunnel lives on")
	v.Close()
}

// Proxies may share a transport, as an old and a new one do while a
// configuration is changed. The end of one is not that of the connections.
func TestShutdownLeavesASharedTransport(t *testing.T) {
	b := newBackend(t, serving)
	rt := newTripper(t, TransportConfig{})
	old := newGate(t, Config{Upstreams: []string{b.url()}, Transport: rt})
	g := newGate(t, Config{Upstreams: []string{b.url()}, Transport: rt})
	old.ask(t, "GET", "/", "")
	require.NoError(t, old.Shutdown(t.Context()))
	for range 3 {
		status, _ := g.ask(t, "GET", "/", "")
		assert.Equal(t, 200, status)
	}
	assert.LessOrEqual(t, b.dials.Load(), int32(2), "the connections are kept")
}

func TestZeroProxy(t *testing.T) {
	var p Proxy
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "Service Unavailable\n", w.Body.String())
	assert.Equal(t, Status{}, p.Status())
	assert.NoError(t, p.Shutdown(t.Context()))
}
