package proxy

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A memory is an upstream without a network: it counts the connections made to
// it and those that are still open, and never says a word.
type memory struct {
	dials, open atomic.Int32
	conns       []net.Conn
}

func (m *memory) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	m.dials.Add(1)
	m.open.Add(1)
	m.conns = append(m.conns, near)
	go func() {
		far.Read(make([]byte, 1))
		far.Close()
		m.open.Add(-1)
	}()
	return near, nil
}

// pooled runs a test of a pool with a clock of its own.
func pooled(t *testing.T, idle time.Duration, size int, test func(t *testing.T, p *pool, m *memory)) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		p := &pool{dial: m.dial, idleTimeout: idle, max: size}
		defer func() {
			p.close()
			synctest.Wait()
			assert.Zero(t, m.open.Load(), "connections left open")
			for _, c := range m.conns {
				c.Close()
			}
		}()
		test(t, p, m)
	})
}

func taken(t *testing.T, p *pool) *conn {
	t.Helper()
	c, err := p.get(t.Context(), false)
	require.NoError(t, err)
	return c
}

func TestPoolTakesTheLatest(t *testing.T) {
	pooled(t, time.Minute, 8, func(t *testing.T, p *pool, m *memory) {
		a, b := taken(t, p), taken(t, p)
		assert.EqualValues(t, 2, m.dials.Load())
		assert.False(t, a.reused())
		p.put(a)
		p.put(b)
		assert.Equal(t, 2, p.idle())
		assert.Same(t, b, taken(t, p))
		assert.Same(t, a, taken(t, p))
		assert.True(t, a.reused())
		assert.EqualValues(t, 2, m.dials.Load())
		p.put(a)
		p.put(b)
	})
}

func TestPoolFresh(t *testing.T) {
	pooled(t, time.Minute, 8, func(t *testing.T, p *pool, m *memory) {
		p.put(taken(t, p))
		c, err := p.get(t.Context(), true)
		require.NoError(t, err)
		assert.EqualValues(t, 2, m.dials.Load())
		assert.False(t, c.reused())
		p.put(c)
	})
}

func TestPoolIsBounded(t *testing.T) {
	pooled(t, time.Minute, 2, func(t *testing.T, p *pool, m *memory) {
		list := []*conn{taken(t, p), taken(t, p), taken(t, p)}
		for _, c := range list {
			p.put(c)
		}
		synctest.Wait()
		assert.Equal(t, 2, p.idle())
		assert.EqualValues(t, 2, m.open.Load(), "the third is closed")
	})
}

// Each connection is closed when its own time is over, to the nanosecond.
func TestPoolExpires(t *testing.T) {
	pooled(t, 10*time.Second, 8, func(t *testing.T, p *pool, m *memory) {
		a, b := taken(t, p), taken(t, p)
		p.put(a)
		time.Sleep(4 * time.Second)
		p.put(b)
		time.Sleep(6*time.Second - 1)
		synctest.Wait()
		assert.EqualValues(t, 2, m.open.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 1, m.open.Load())
		time.Sleep(4*time.Second - 1)
		synctest.Wait()
		assert.EqualValues(t, 1, m.open.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 0, m.open.Load())
		assert.Zero(t, p.idle())
	})
}

// A connection with a shorter time of its own does not wait for those that
// were there before it.
func TestPoolExpiresTheShorterFirst(t *testing.T) {
	pooled(t, time.Minute, 8, func(t *testing.T, p *pool, m *memory) {
		long, short := taken(t, p), taken(t, p)
		p.put(long)
		short.keep = 4 * time.Second
		p.put(short)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		assert.EqualValues(t, 1, m.open.Load())
		time.Sleep(56 * time.Second)
		synctest.Wait()
		assert.EqualValues(t, 0, m.open.Load())
	})
}

// Without a limit, a connection is kept for ever, and used again.
func TestPoolWithoutLimit(t *testing.T) {
	for _, none := range []time.Duration{0, -1} {
		pooled(t, none, 8, func(t *testing.T, p *pool, m *memory) {
			c := taken(t, p)
			p.put(c)
			time.Sleep(1000 * time.Hour)
			assert.Equal(t, 1, p.idle(), "%d", none)
			assert.Same(t, c, taken(t, p))
			p.put(c)
		})
	}
}

func TestPoolDoesNotKeep(t *testing.T) {
	pooled(t, time.Minute, 8, func(t *testing.T, p *pool, m *memory) {
		ended := taken(t, p)
		ended.abort()
		p.put(ended)
		unwanted := taken(t, p)
		unwanted.keep = learned(time.Second, time.Minute)
		p.put(unwanted)
		late := taken(t, p)
		p.close()
		p.put(late)
		synctest.Wait()
		assert.Zero(t, p.idle())
		assert.Zero(t, m.open.Load())
	})
}

// What is closed while it is idle can be told only where the connection is a
// socket: that is asked before a request that must not be lost.
func TestPoolLooksFirst(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		if c.n == 1 {
			return
		}
		c.gone()
	})
	p := &pool{network: "tcp", addr: b.addr(), dial: new(net.Dialer).DialContext, idleTimeout: time.Minute, max: 8}
	defer p.close()
	p.put(taken(t, p))
	eventually(t, "the end of the first", func() bool { return b.dials.Load() == 1 && b.open.Load() == 0 })
	eventually(t, "the news of it", func() bool { return p.conns[0].dead() })
	c := taken(t, p)
	assert.False(t, c.reused())
	eventually(t, "the second", func() bool { return b.dials.Load() == 2 })
	p.put(c)
	assert.Same(t, c, taken(t, p), "which is alive")
	p.put(c)
}

func TestPoolCloseIdleWhileInUse(t *testing.T) {
	pooled(t, time.Minute, 8, func(t *testing.T, p *pool, m *memory) {
		a, b := taken(t, p), taken(t, p)
		p.put(a)
		p.closeIdle()
		synctest.Wait()
		assert.EqualValues(t, 1, m.open.Load(), "the other is in use")
		p.put(b)
		assert.Equal(t, 1, p.idle(), "and is kept afterwards")
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Zero(t, m.open.Load())
	})
}

func TestLearned(t *testing.T) {
	const s = time.Second
	for _, row := range []struct{ said, own, want time.Duration }{
		{5 * s, 55 * s, 4 * s},
		{75 * s, 55 * s, 55 * s},
		{5 * s, -1, 4 * s},
		{2 * s, 55 * s, s},
		{s, 55 * s, -1},
		{0, 55 * s, -1},
	} {
		assert.Equal(t, row.want, learned(row.said, row.own), "%v", row)
	}
}
