package proxy

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// A conn is one HTTP/1.1 connection to an upstream. It serves one exchange at
// a time.
type conn struct {
	net.Conn
	pool *pool

	read, write deadline
	nonblocking nonblocking   // reads what is there, without waiting
	uses        int           // exchanges begun
	idleUntil   time.Time     // while in the pool
	keep        time.Duration // how long it may be unused; 0: for ever, negative: not at all
	aborted     atomic.Bool
}

func newConn(c net.Conn, p *pool) *conn {
	n := &conn{Conn: c, pool: p, read: readDeadline(c), write: writeDeadline(c), nonblocking: newNonblocking(c), keep: max(p.idleTimeout, 0)}
	n.read.aborted, n.write.aborted = &n.aborted, &n.aborted
	return n
}

// reused reports whether an earlier exchange went over the connection. The
// upstream may be closing it at this moment.
func (c *conn) reused() bool { return c.uses > 1 }

// abort makes every read and write fail at once. Any goroutine may call it.
func (c *conn) abort() {
	c.aborted.Store(true)
	c.SetDeadline(past)
}

// watch aborts the connection when ctx ends. The returned function ends the
// watch; it reports false if the connection was aborted.
func (c *conn) watch(ctx context.Context) func() bool {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, c.abort)
}

// glance is the time for a look at a connection that is not the system's own.
const glance = 100 * time.Microsecond

// dead reports whether the upstream has closed the connection or sent
// something unasked, as far as that is known here.
func (c *conn) dead() bool {
	if !c.read.until.IsZero() && time.Now().After(c.read.until) {
		c.read.never() // left from the last exchange
	}
	if !c.nonblocking.works() {
		return !c.quiet()
	}
	return !c.nonblocking.quiet()
}

// quiet is for connections that can only be looked at by reading.
func (c *conn) quiet() bool {
	c.SetReadDeadline(time.Now().Add(glance))
	defer c.SetReadDeadline(c.read.until)
	n, err := c.Read(make([]byte, 1))
	return n == 0 && isTimeout(err)
}
