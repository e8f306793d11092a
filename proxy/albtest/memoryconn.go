package albtest

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// memoryWindow is how many bytes a connection of the memory network holds for
// a reader that is late, each way: a TCP window, so that a writer does not wait
// for each byte to be read, and a stalled reader stalls the writer at last.
const memoryWindow = 64 << 10

// memoryConn is one end of a connection in memory.
type memoryConn struct {
	local, remote net.Addr
	in, out       *stream
	mu            sync.Mutex
	closed        bool
	reset         bool // Close is to be a reset
}

// newMemoryPair connects two ends.
func newMemoryPair(a, b net.Addr) (atA, atB *memoryConn) {
	ab, ba := newStream(), newStream()
	return &memoryConn{local: a, remote: b, in: ba, out: ab},
		&memoryConn{local: b, remote: a, in: ab, out: ba}
}

func (c *memoryConn) LocalAddr() net.Addr  { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

func (c *memoryConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil && err != io.EOF {
		err = c.failed("read", err)
	}
	return n, err
}

func (c *memoryConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = c.failed("write", err)
	}
	return n, err
}

func (c *memoryConn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// CloseWrite ends this end's direction; the other goes on.
func (c *memoryConn) CloseWrite() error {
	c.out.finish(io.EOF)
	return nil
}

// SetLinger makes Close a reset if the time is 0, as on a TCP connection;
// other times mean nothing here, since nothing is ever lost on the way.
func (c *memoryConn) SetLinger(seconds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = seconds == 0
	return nil
}

// Close ends both directions. What the peer sent and this end never read is
// lost, and the peer gets a reset instead of an orderly end: RFC 9293, 3.6.1.
func (c *memoryConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.failed("close", net.ErrClosed)
	}
	c.closed = true
	end := error(io.EOF)
	if unread := c.in.abandon(); unread || c.reset {
		end = os.NewSyscallError("read", syscall.ECONNRESET)
	}
	c.out.finish(end)
	c.out.leave()
	return nil
}

func (c *memoryConn) SetDeadline(t time.Time) error {
	c.in.readBy.set(t)
	c.out.writeBy.set(t)
	return nil
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.readBy.set(t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.writeBy.set(t)
	return nil
}

// stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     bytes.Buffer
	end     error // what the reader gets after the bytes; nil while the writer may write
	left    bool  // the writer's end is closed, as opposed to its direction only
	gone    bool  // the reader's end is closed

	readBy, writeBy deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	s.readBy.stream, s.writeBy.stream = s, s
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case s.readBy.over:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case s.buf.Len() > 0:
			s.changed.Broadcast()
			return s.buf.Read(p)
		case s.end != nil:
			return 0, s.end
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.left:
			return n, net.ErrClosed
		case s.writeBy.over:
			return n, os.ErrDeadlineExceeded
		case s.end != nil: // CloseWrite came first
			return n, os.NewSyscallError("write", syscall.EPIPE)
		case s.gone:
			return n, os.NewSyscallError("write", syscall.ECONNRESET)
		}
		room := min(memoryWindow-s.buf.Len(), len(p)-n)
		if room > 0 {
			s.buf.Write(p[n : n+room])
			n += room
			s.changed.Broadcast()
		}
		if n == len(p) {
			return n, nil
		}
		s.changed.Wait()
	}
}

// finish ends the direction for the writer; the first end stands, except that
// a reset overrules an orderly one that the reader has not met yet.
func (s *stream) finish(end error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil || s.end == io.EOF {
		s.end = end
	}
	s.changed.Broadcast()
}

// leave says that the writer's end is closed.
func (s *stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
	s.writeBy.stop()
	s.changed.Broadcast()
}

// abandon says that the reader's end is closed, and reports whether bytes were
// left that nobody will read.
func (s *stream) abandon() (unread bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unread = s.buf.Len() > 0
	s.gone = true
	s.buf = bytes.Buffer{}
	s.readBy.stop()
	s.changed.Broadcast()
	return unread
}

// deadline is the time after which one side of a stream gives up; the zero
// value, once it has its stream, has none. The stream's lock guards it.
type deadline struct {
	stream *stream
	timer  *time.Timer
	turn   int // how often it was set: a timer that fires late belongs to an earlier one
	over   bool
}

func (d *deadline) set(t time.Time) {
	d.stream.mu.Lock()
	defer d.stream.mu.Unlock()
	d.stop()
	d.turn++
	d.over = !t.IsZero() && !t.After(time.Now())
	if !t.IsZero() && !d.over {
		turn := d.turn
		d.timer = time.AfterFunc(time.Until(t), func() { d.expire(turn) })
	}
	d.stream.changed.Broadcast()
}

// expire ends the waiting, unless the deadline was set again meanwhile.
func (d *deadline) expire(turn int) {
	d.stream.mu.Lock()
	defer d.stream.mu.Unlock()
	if d.turn == turn {
		d.over = true
		d.stream.changed.Broadcast()
	}
}

// stop ends the timer; the caller holds the stream's lock.
func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
