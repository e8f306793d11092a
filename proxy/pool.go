package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// A pool keeps the unused connections to one upstream, the most recently used
// on top, and closes those that nobody wants in time.
type pool struct {
	network, addr string
	dial          dialFunc
	idleTimeout   time.Duration // not positive: none
	max           int           // unused connections

	mu     sync.Mutex
	conns  []*conn
	timer  *time.Timer // closes what has been unused for too long; nil: none is waiting
	next   time.Time   // when it does
	closed bool
}

// get returns a connection: an unused one, unless fresh is set, or a new one. An
// unused one is looked at first: the upstream may have closed it, or have sent
// what nobody asked for, which must not become the answer to somebody.
func (p *pool) get(ctx context.Context, fresh bool) (*conn, error) {
	for !fresh {
		c := p.pop()
		if c == nil {
			break
		}
		if c.dead() {
			c.Close()
			continue
		}
		c.uses++
		return c, nil
	}
	return p.connect(ctx)
}

func (p *pool) connect(ctx context.Context) (*conn, error) {
	nc, err := p.dial(ctx, p.network, p.addr)
	if err != nil {
		return nil, err
	}
	c := newConn(nc, p)
	c.uses = 1
	return c, nil
}

// pop takes the most recently used connection that is not too old.
func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.conns) - 1
	if last < 0 {
		return nil
	}
	c := p.conns[last]
	p.conns[last] = nil
	p.conns = p.conns[:last]
	if !c.idleUntil.IsZero() && !time.Now().Before(c.idleUntil) {
		c.Close()
		p.dropAll() // the others have waited longer
		return nil
	}
	return c
}

// put takes a connection back.
func (p *pool) put(c *conn) {
	if c.keep < 0 || c.aborted.Load() {
		c.Close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.conns) >= p.max {
		c.Close()
		return
	}
	c.idleUntil = time.Time{}
	if c.keep > 0 {
		c.idleUntil = time.Now().Add(c.keep)
		p.wake(c.idleUntil)
	}
	p.conns = append(p.conns, c)
}

// wake makes expire run at that time at the latest. The caller holds the lock.
func (p *pool) wake(at time.Time) {
	if p.timer != nil {
		if !at.Before(p.next) {
			return
		}
		p.timer.Stop()
	}
	p.next = at
	p.timer = time.AfterFunc(time.Until(at), p.expire)
}

// expire closes the connections whose time is over and waits for the next.
// They differ in their time-outs only if the upstream names different ones.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, kept, next := time.Now(), p.conns[:0], time.Time{}
	for _, c := range p.conns {
		switch {
		case c.idleUntil.IsZero():
			kept = append(kept, c)
		case !now.Before(c.idleUntil):
			c.Close()
		default:
			kept = append(kept, c)
			if next.IsZero() || c.idleUntil.Before(next) {
				next = c.idleUntil
			}
		}
	}
	clear(p.conns[len(kept):])
	p.conns, p.timer = kept, nil
	if !next.IsZero() {
		p.wake(next)
	}
}

func (p *pool) dropAll() {
	for _, c := range p.conns {
		c.Close()
	}
	clear(p.conns)
	p.conns = p.conns[:0]
}

func (p *pool) idle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// close closes the unused connections, and every other when it comes back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.closeIdle()
}

func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropAll()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// dialStage tells a handshake's failure from a connection's.
func dialStage(err error) Stage {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return StageTLS
	}
	return StageDial
}
