package healthcheck

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// A wire is a network in memory, with addresses and with a delay each way, as
// there is between a balancer and its targets: without it no two ends ever act
// at the same moment, and nothing is lost that is lost in life. Its waits are
// on channels, so that it can be used in a bubble of testing/synctest.
type wire struct {
	delay time.Duration

	mu        sync.Mutex
	listeners map[string]*wireListener
	port      uint16
}

func newWire(delay time.Duration) *wire {
	return &wire{delay: delay, listeners: make(map[string]*wireListener), port: 40000}
}

func (w *wire) listen(at string) net.Listener {
	l := &wireListener{wire: w, at: at, queue: make(chan net.Conn, 128), done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners[at] = l
	return l
}

// dial connects from an address to a listener; it takes as long as a handshake.
func (w *wire) dial(ctx context.Context, from, to string) (net.Conn, error) {
	select {
	case <-time.After(2 * w.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	w.port++
	local := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), w.port))
	l := w.listeners[to]
	w.mu.Unlock()
	if l == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	there, back := newLane(w.delay), newLane(w.delay)
	l.queue <- &wireConn{local: l.Addr(), remote: local, in: there, out: back}
	return &wireConn{local: local, remote: l.Addr(), in: back, out: there}, nil
}

type wireListener struct {
	wire  *wire
	at    string
	queue chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *wireListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close also ends the connections that nobody accepted.
func (l *wireListener) Close() error {
	l.wire.mu.Lock()
	if l.wire.listeners[l.at] == l {
		delete(l.wire.listeners, l.at)
	}
	l.wire.mu.Unlock()
	l.once.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default:
			return nil
		}
	}
}

func (l *wireListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(l.at))
}

type wireConn struct {
	local, remote net.Addr
	in, out       *lane
}

func (c *wireConn) Read(p []byte) (int, error)         { return c.in.read(p) }
func (c *wireConn) Write(p []byte) (int, error)        { return c.out.write(p) }
func (c *wireConn) LocalAddr() net.Addr                { return c.local }
func (c *wireConn) RemoteAddr() net.Addr               { return c.remote }
func (c *wireConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *wireConn) SetWriteDeadline(t time.Time) error { return nil } // a lane is never full
func (c *wireConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.deadline = t })
	return nil
}

// Close ends both directions: the other end reads an end, and what it writes
// goes nowhere.
func (c *wireConn) Close() error {
	c.in.change(func() { c.in.left = true })
	c.out.change(func() {
		if c.out.ended.IsZero() {
			c.out.ended = time.Now().Add(c.out.delay)
		}
	})
	return nil
}

// A lane is one direction of a connection.
type lane struct {
	delay time.Duration

	mu       sync.Mutex
	pieces   []piece
	ended    time.Time // when the reader learns that the writer has closed
	left     bool      // the reader has closed
	deadline time.Time
	news     chan struct{}
}

type piece struct {
	at    time.Time // when it arrives
	bytes []byte
}

func newLane(delay time.Duration) *lane { return &lane{delay: delay, news: make(chan struct{})} }

// change changes something and wakes the reader.
func (l *lane) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	close(l.news)
	l.news = make(chan struct{})
}

func (l *lane) write(p []byte) (n int, err error) {
	l.change(func() {
		if !l.ended.IsZero() {
			err = net.ErrClosed
			return
		}
		l.pieces = append(l.pieces, piece{time.Now().Add(l.delay), append([]byte(nil), p...)})
		n = len(p)
	})
	return n, err
}

func (l *lane) read(p []byte) (int, error) {
	for {
		n, news, until, err := l.try(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		l.pause(news, until)
	}
}

// pause waits for news or for a moment; the zero one never comes.
func (l *lane) pause(news <-chan struct{}, until time.Time) {
	var moment <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		moment = timer.C
	}
	select {
	case <-news:
	case <-moment:
	}
}

// try reads what has arrived, or says what to wait for.
func (l *lane) try(p []byte) (n int, news <-chan struct{}, until time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	due := func(t time.Time) bool {
		if !t.IsZero() && t.After(now) && (until.IsZero() || t.Before(until)) {
			until = t
		}
		return !t.IsZero() && !t.After(now)
	}
	switch {
	case l.left:
		return 0, nil, until, net.ErrClosed
	case due(l.deadline):
		return 0, nil, until, os.ErrDeadlineExceeded
	case len(l.pieces) > 0 && due(l.pieces[0].at):
		n = copy(p, l.pieces[0].bytes)
		if l.pieces[0].bytes = l.pieces[0].bytes[n:]; len(l.pieces[0].bytes) == 0 {
			l.pieces = l.pieces[1:]
		}
		return n, nil, until, nil
	case len(l.pieces) == 0 && due(l.ended):
		return 0, nil, until, io.EOF
	}
	return 0, l.news, until, nil
}
