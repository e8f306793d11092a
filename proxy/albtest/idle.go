package albtest

import (
	"net"
	"os"
	"sync"
	"time"
)

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// idleConn is a connection with the idle time-out: its reads and writes fail
// when it moved no byte either way for so long. Reads can be interrupted.
type idleConn struct {
	net.Conn
	idle time.Duration

	mu          sync.Mutex
	interrupted bool // reads fail until resume
	patient     bool // reads wait for ever
}

// Read waits for the idle time-out at most.
func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.arm(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write counts as life in both directions: a read that waits meanwhile waits
// for another period.
func (c *idleConn) Write(p []byte) (int, error) {
	_ = c.arm() // an interrupted connection can be written to
	if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// arm gives the reads another period.
func (c *idleConn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.interrupted:
		return os.ErrDeadlineExceeded
	case c.patient:
		return c.SetReadDeadline(time.Time{})
	}
	return c.SetReadDeadline(time.Now().Add(c.idle))
}

// wait makes reads wait for ever, or for the idle time-out from now on.
func (c *idleConn) wait(forever bool) {
	c.mu.Lock()
	c.patient = forever
	c.mu.Unlock()
	_ = c.arm() // fails on a connection whose reads fail anyway
}

// interrupt ends the read that waits, and fails those that follow.
func (c *idleConn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	_ = c.SetReadDeadline(past) // fails on a closed connection, whose reads fail anyway
}

// resume permits reads again.
func (c *idleConn) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = false
}

// closeWrite ends this direction alone where the connection can.
func (c *idleConn) closeWrite() {
	if h, ok := c.Conn.(halfCloser); ok {
		_ = h.CloseWrite()
		return
	}
	_ = c.Close()
}
