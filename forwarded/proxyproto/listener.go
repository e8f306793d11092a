package proxyproto

import (
	"net"
	"sync"
	"time"

	"github.com/knownhops/knownhops/internal/hostport"
	"github.com/knownhops/knownhops/internal/turns"
)

// A Listener hands connections on once their PROXY header is read. Only
// [Listen] makes one. Its methods may be called concurrently.
type Listener struct {
	inner net.Listener
	cfg   Config
	from  hostport.Sources
	turns turns.Limiter

	slots   chan struct{} // one for each arrival that is not handed on
	waiting queue         // those whose header is not complete
	started chan *arrival // from the loop to the goroutine that it starts
	joined  chan struct{} // to the loop: somebody has come to read
	ready   chan result   // to Accept

	readOne func()
	running sync.WaitGroup
	closed  chan struct{}
	close   func() error
}

// A result is what one call of Accept returns.
type result struct {
	conn net.Conn
	err  error
}

// Listen reads PROXY headers from what ln accepts. It starts accepting at once;
// Close ends that and closes ln. The error is a ConfigErrors, and then ln is
// left alone.
func Listen(ln net.Listener, cfg Config) (*Listener, error) {
	from, cfg, err := compile(cfg)
	if err != nil {
		return nil, err
	}
	l := &Listener{
		inner: ln, cfg: cfg, from: from,
		slots:   make(chan struct{}, cfg.MaxPending),
		started: make(chan *arrival, cfg.MaxPending),
		joined:  make(chan struct{}, 1),
		ready:   make(chan result),
		closed:  make(chan struct{}),
	}
	l.readOne = l.arrive
	l.close = sync.OnceValue(l.shut)
	l.running.Go(l.loop)
	return l, nil
}

// Addr is the inner listener's.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept returns the next connection whose header is read, or that comes from
// somebody who may not send one. What the inner listener's Accept fails with is
// returned as it is, and the next call tries again; so an http.Server waits and
// goes on where descriptors ran out. After Close the error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case r := <-l.ready:
		return r.conn, r.err
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close closes the inner listener and every connection that Accept has not
// returned. No goroutine of the Listener is left when it returns. Connections
// that Accept has returned stay open. A second call returns what the first did.
func (l *Listener) Close() error { return l.close() }

func (l *Listener) shut() error {
	close(l.closed)
	l.waiting.close()
	for a := l.waiting.takeOldest(); a != nil; a = l.waiting.takeOldest() {
		_ = a.inner.Close() // nobody is left to tell
	}
	err := l.inner.Close()
	l.running.Wait()
	return err
}

// loop accepts until Close. Whoever is not trusted is handed on unread, so
// that the decision rests on the address alone.
func (l *Listener) loop() {
	for more := true; more; {
		conn, err := l.inner.Accept()
		switch {
		case err != nil:
			l.evict() // descriptors may have run out, and the silent hold some
			more = l.hand(result{err: err})
		case l.trusts(conn):
			more = l.admit(conn)
		default:
			more = l.hand(result{conn: conn})
		}
	}
}

func (l *Listener) trusts(conn net.Conn) bool {
	peer, unix := peerOf(conn)
	return l.cfg.DangerouslyAnyPeer || unix && l.from.Unix() || l.from.Has(peer.Addr())
}

// hand waits until Accept takes r. False: Close came first, and the connection
// is closed.
func (l *Listener) hand(r result) bool {
	select {
	case l.ready <- r:
		return true
	case <-l.closed:
		if r.conn != nil {
			_ = r.conn.Close() // nobody is left to tell
		}
		return false
	}
}

// admit gives a trusted sender a slot and a goroutine that reads its header.
// False: Close came first, and the connection is closed.
func (l *Listener) admit(conn net.Conn) bool {
	if !l.takeSlot() {
		_ = conn.Close() // nobody is left to tell
		return false
	}
	l.started <- newArrival(conn) // never blocks: it has as much room as there are slots
	l.running.Add(1)
	go l.readOne() // a call with arguments would allocate
	return true
}

// takeSlot waits for a slot. Where all are taken, whoever has been silent for
// longest goes. Those that wait for Accept never do, nor those whose goroutine
// has not come to read: a burst of honest senders is no silence.
func (l *Listener) takeSlot() bool {
	for {
		select {
		case l.slots <- struct{}{}:
			return true
		default:
		}
		joined := l.joined
		if l.evict() {
			joined = nil // that slot is on its way
		}
		select {
		case l.slots <- struct{}{}:
			return true
		case <-joined:
		case <-l.closed:
			return false
		}
	}
}

// evict closes the connection that has been silent longest, if there is one.
// Its goroutine then gives its slot back.
func (l *Listener) evict() bool {
	a := l.waiting.takeOldest()
	if a != nil {
		l.refuse(a, evicted, nil)
	}
	return a != nil
}

// arrive is the goroutine of one arrival.
func (l *Listener) arrive() {
	defer l.running.Done()
	defer func() { <-l.slots }()
	a := <-l.started
	b, err := l.greet(a)
	switch {
	case !l.waiting.take(a): // closed by whoever took it
	case err != nil:
		l.refuse(a, reasonOf(err, len(b) > 0), b)
	default:
		l.hand(result{conn: a.outer})
	}
}

// greet reads the header of an arrival, and returns what was read of it. From
// here on the arrival is in the queue, unless Close came first.
func (l *Listener) greet(a *arrival) ([]byte, error) {
	late := a.inner.SetReadDeadline(time.Now().Add(l.cfg.Timeout))
	if !l.waiting.add(a) {
		return nil, a.inner.Close()
	}
	select {
	case l.joined <- struct{}{}:
	default: // the loop has not yet seen the last one who joined
	}
	if late != nil {
		return nil, late
	}
	h, b, err := read(a.inner, a.buf[:], l.cfg.MaxHeader)
	if err != nil {
		return b, err
	}
	a.understood(h)
	return b, a.inner.SetReadDeadline(time.Time{})
}
