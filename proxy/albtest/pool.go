package albtest

import (
	"bufio"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
)

// targetConn is a connection to a target.
type targetConn struct {
	*idleConn
	r        *bufio.Reader
	way      way
	reused   bool
	unwanted <-chan struct{} // closed when its target was deregistered and has nothing in flight
	parked   chan struct{}   // closed when the watcher is gone
	ended    error           // what the watcher saw
}

// way is what connections are pooled by: the balancer's nodes share none.
type way struct {
	node   netip.Addr
	target *target
}

// pool keeps connections to targets for the next request until they moved
// nothing for the idle time-out, or the target closed them. The zero value is
// ready.
type pool struct {
	watchers sync.WaitGroup
	mu       sync.Mutex
	idle     map[way][]*targetConn
	closed   bool
}

// get returns the connection that was used last, or nil. A target may close it
// while a request is on its way: that is the race behind many a 502.
func (p *pool) get(w way) *targetConn {
	for {
		c := p.take(w)
		if c == nil || c.wake() {
			return c
		}
		_ = c.Close() // the target closed it, or spoke out of turn
	}
}

func (p *pool) take(w way) *targetConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[w]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	p.idle[w] = list[:len(list)-1]
	return c
}

// wake ends the watcher and reports whether the connection is still good.
func (c *targetConn) wake() bool {
	c.interrupt()
	<-c.parked
	c.resume()
	c.reused = true
	return errors.Is(c.ended, os.ErrDeadlineExceeded)
}

// put parks a connection that has no answer outstanding.
func (p *pool) put(c *targetConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.r.Buffered() > 0 {
		_ = c.Close()
		return
	}
	if p.idle == nil {
		p.idle = make(map[way][]*targetConn)
	}
	parked := make(chan struct{})
	c.parked = parked
	p.idle[c.way] = append(p.idle[c.way], c)
	p.watchers.Go(func() { p.watch(c) })
	p.watchers.Go(func() {
		select {
		case <-c.unwanted:
			p.expel(c)
		case <-parked:
		}
	})
}

// expel closes a connection, unless get has it.
func (p *pool) expel(c *targetConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.idle[c.way], c); i >= 0 {
		p.idle[c.way] = slices.Delete(p.idle[c.way], i, i+1)
		_ = c.Close()
	}
}

// watch waits for the end of an idle connection: the idle time-out, the
// target's close, or get, which has taken it from the list before.
func (p *pool) watch(c *targetConn) {
	defer close(c.parked)
	_, c.ended = c.r.Peek(1) // a target has nothing to say now
	p.expel(c)
}

// close ends every idle connection, and parks none any more.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, list := range p.idle {
		for _, c := range list {
			_ = c.Close()
		}
	}
	p.mu.Unlock()
	p.watchers.Wait()
}

// unwanted is closed when the target wants no connections kept.
func (l *lease) unwanted() <-chan struct{} {
	l.group.mu.Lock()
	defer l.group.mu.Unlock()
	return l.target.idle
}
