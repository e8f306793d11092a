package proxy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handshake is the request of RFC 6455 §1.3, with its key.
const handshake = "GET /chat HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

// switchedTo is a backend that switches, and what it does then.
func switchedTo(t testing.TB, talk func(c *backendConn)) *backend {
	return newBackend(t, func(c *backendConn) {
		if c.next() != nil {
			c.say(switching)
			talk(c)
		}
	})
}

// dialTunnel is a client on the near end of a tunnel.
func dialTunnel(t testing.TB, g *gate) *visitor {
	t.Helper()
	v := g.visit(t, handshake)
	resp, err := http.ReadResponse(v.r, nil)
	require.NoError(t, err)
	require.Equal(t, 101, resp.StatusCode)
	return v
}

func TestAcceptFor(t *testing.T) {
	assert.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", acceptFor("dGhlIHNhbXBsZSBub25jZQ=="), "the example of RFC 6455 §1.3")
}

// frames writes random bytes in pieces of random sizes; the same seed makes
// the same bytes.
func frames(w io.Writer, seed uint64, n int) error {
	random, bytes := rand.New(rand.NewPCG(seed, 1)), rand.NewChaCha8([32]byte{byte(seed)})
	for range n {
		frame := make([]byte, random.IntN(1<<random.IntN(18)+1))
		bytes.Read(frame)
		if _, err := w.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

// sameAs compares what is written to it to what comes from r.
type sameAs struct {
	r io.Reader
	n int
}

func (s *sameAs) Write(p []byte) (int, error) {
	got := make([]byte, len(p))
	if _, err := io.ReadFull(s.r, got); err != nil {
		return 0, fmt.Errorf("after %d bytes: %w", s.n, err)
	}
	for i := range p {
		if got[i] != p[i] {
			return i, fmt.Errorf("byte %d differs", s.n+i)
		}
	}
	s.n += len(p)
	return len(p), nil
}

// Both sides speak at once, in frames of all sizes up to a quarter of a
// mebibyte, and each byte arrives, in order, once.
func TestTunnelCarriesEveryByte(t *testing.T) {
	const n = 60
	b := switchedTo(t, func(c *backendConn) {
		sent := make(chan error, 1)
		go func() { sent <- frames(c, 1, n) }()
		assert.NoError(t, frames(&sameAs{r: c.r}, 2, n))
		assert.NoError(t, <-sent)
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	v := dialTunnel(t, g)
	sent := make(chan error, 1)
	go func() { sent <- frames(v, 2, n) }()
	assert.NoError(t, frames(&sameAs{r: v.r}, 1, n))
	assert.NoError(t, <-sent)
	_, err := v.r.ReadByte()
	assert.Equal(t, io.EOF, err)
}

// What comes right behind a head belongs to the tunnel.
func TestTunnelEarlyBytes(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		c.next()
		c.say(switching + "from the upstream")
		text := make([]byte, len("from the client"))
		io.ReadFull(c.r, text)
		assert.Equal(t, "from the client", string(text))
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	v := g.visit(t, handshake+"from the client")
	_, err := http.ReadResponse(v.r, nil)
	require.NoError(t, err)
	text, err := io.ReadAll(v.r)
	assert.NoError(t, err)
	assert.Equal(t, "from the upstream", string(text))
}

// Each side may end while the other goes on.
func TestTunnelHalfClosed(t *testing.T) {
	t.Run("by the client", func(t *testing.T) {
		b := switchedTo(t, func(c *backendConn) {
			question, err := io.ReadAll(c.r)
			assert.NoError(t, err)
			c.say("you said " + string(question))
		})
		g := newGate(t, Config{Upstreams: []string{b.url()}})
		v := dialTunnel(t, g)
		io.WriteString(v, "bye")
		require.NoError(t, v.CloseWrite())
		answer, err := io.ReadAll(v.r)
		assert.NoError(t, err)
		assert.Equal(t, "you said bye", string(answer))
	})
	t.Run("by the upstream", func(t *testing.T) {
		heard := make(chan string, 1)
		b := switchedTo(t, func(c *backendConn) {
			c.say("bye")
			c.Conn.(*net.TCPConn).CloseWrite()
			text, _ := io.ReadAll(c.r)
			heard <- string(text)
		})
		g := newGate(t, Config{Upstreams: []string{b.url()}})
		v := dialTunnel(t, g)
		farewell, err := io.ReadAll(v.r)
		assert.NoError(t, err)
		assert.Equal(t, "bye", string(farewell))
		io.WriteString(v, "and you")
		v.Close()
		assert.Equal(t, "and you", <-heard)
	})
}

// A side that is lost takes the other with it.
func TestTunnelReset(t *testing.T) {
	t.Run("by the client", func(t *testing.T) {
		ended := make(signal)
		b := switchedTo(t, func(c *backendConn) {
			c.gone()
			close(ended)
		})
		g := newGate(t, Config{Upstreams: []string{b.url()}})
		v := dialTunnel(t, g)
		v.SetLinger(0)
		v.Close()
		ended.wait(t, "the end at the upstream")
	})
	t.Run("by the upstream", func(t *testing.T) {
		b := switchedTo(t, func(c *backendConn) { c.reset() })
		g := newGate(t, Config{Upstreams: []string{b.url()}})
		v := dialTunnel(t, g)
		assert.True(t, v.closed())
	})
}

func TestTunnelStatus(t *testing.T) {
	b := switchedTo(t, func(c *backendConn) { c.gone() })
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	v := dialTunnel(t, g)
	eventually(t, "the tunnel", func() bool { return g.Status().Tunnels == 1 })
	assert.EqualValues(t, 1, g.Status().InFlight)
	v.Close()
	eventually(t, "its end", func() bool { return g.Status().Tunnels == 0 && g.Status().InFlight == 0 })
	assert.Zero(t, g.Status().Upstreams[0].Idle, "such a connection is never used again")
	assert.Empty(t, g.failures(), "an end is no failure")
}

// underground runs a tunnel between two pipes, in its own time: near is the
// client's end, far the upstream's.
func underground(t *testing.T, idle, patience time.Duration, test func(near, far net.Conn, start time.Time)) {
	synctest.Test(t, func(t *testing.T) {
		near, client := net.Pipe()
		far, upstream := net.Pipe()
		tun := &tunnel{client: tunnelEnd{ReadWriteCloser: client}, upstream: tunnelEnd{ReadWriteCloser: upstream}, idle: idle, patience: patience}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			tun.run()
		}()
		test(near, far, time.Now())
		near.Close()
		far.Close()
		<-ended
	})
}

// lasts returns how long a connection stays open.
func lasts(c net.Conn, start time.Time) time.Duration {
	io.Copy(io.Discard, c)
	return time.Since(start)
}

func TestTunnelIdle(t *testing.T) {
	underground(t, time.Hour, time.Minute, func(near, far net.Conn, start time.Time) {
		open := lasts(near, start)
		assert.GreaterOrEqual(t, open, time.Hour)
		assert.LessOrEqual(t, open, time.Hour+time.Hour/4)
		assert.Equal(t, open, lasts(far, start), "both at once")
	})
}

// A byte in one direction keeps both open.
func TestTunnelOneSided(t *testing.T) {
	for name, backwards := range map[string]bool{"to the upstream": false, "to the client": true} {
		t.Run(name, func(t *testing.T) {
			underground(t, time.Hour, time.Minute, func(from, to net.Conn, start time.Time) {
				if backwards {
					from, to = to, from
				}
				for range 30 {
					time.Sleep(50 * time.Minute)
					_, err := from.Write([]byte("x"))
					require.NoError(t, err)
					_, err = to.Read(make([]byte, 1))
					require.NoError(t, err)
				}
				last := time.Now()
				assert.LessOrEqual(t, lasts(to, last), time.Hour+time.Hour/4)
			})
		})
	}
}

func TestTunnelWithoutLimits(t *testing.T) {
	underground(t, -1, -1, func(near, far net.Conn, start time.Time) {
		time.Sleep(10_000 * time.Hour)
		go near.Write([]byte("x"))
		time.Sleep(10_000 * time.Hour)
		_, err := far.Read(make([]byte, 1))
		assert.NoError(t, err)
	})
}

// A side that takes nothing does not hold the other for ever.
func TestTunnelWriteTimeout(t *testing.T) {
	underground(t, 24*time.Hour, time.Minute, func(near, far net.Conn, start time.Time) {
		near.Write([]byte("nobody reads this"))
		open := lasts(near, start)
		assert.GreaterOrEqual(t, open, time.Minute)
		assert.LessOrEqual(t, open, 2*time.Minute)
	})
}

// An end that knows no half-close is closed as a whole.
func TestTunnelEndsTogether(t *testing.T) {
	underground(t, time.Hour, time.Minute, func(near, far net.Conn, start time.Time) {
		near.Close()
		assert.Zero(t, lasts(far, start))
	})
}

func TestTunnelsCutAll(t *testing.T) {
	b := switchedTo(t, func(c *backendConn) { c.gone() })
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	visitors := []*visitor{dialTunnel(t, g), dialTunnel(t, g)}
	eventually(t, "two tunnels", func() bool { return g.Status().Tunnels == 2 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, context.Canceled, g.Shutdown(ctx))
	for _, v := range visitors {
		assert.True(t, v.closed())
	}
	eventually(t, "the end of the connections", func() bool { return b.open.Load() == 0 && g.Status().Tunnels == 0 })
}
