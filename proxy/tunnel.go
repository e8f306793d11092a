package proxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A tunnelEnd is one side of a tunnel, with what it has sent already.
type tunnelEnd struct {
	io.ReadWriteCloser
	early []byte
}

// closeWrite tells the other side that nothing more comes.
func (e tunnelEnd) closeWrite() {
	if half, ok := e.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	e.Close()
}

// A tunnel carries bytes both ways until both sides have ended, or nothing has
// moved for a while.
type tunnel struct {
	client, upstream tunnelEnd
	idle             time.Duration // without a byte in either direction; not positive: none
	patience         time.Duration // for one write; not positive: none

	moved   atomic.Int64    // when a byte moved last, in Unix nanoseconds
	writing [2]atomic.Int64 // since when each direction has been writing; 0: it is not
	closed  sync.Once
}

// run returns when the tunnel has ended.
func (t *tunnel) run() {
	t.moved.Store(time.Now().UnixNano())
	defer t.guard()()
	other := make(chan struct{})
	go func() {
		defer close(other)
		t.carry(t.upstream, t.client, &t.writing[0])
	}()
	t.carry(t.client, t.upstream, &t.writing[1])
	<-other
	t.close()
}

func (t *tunnel) close() {
	t.closed.Do(func() {
		t.client.Close()
		t.upstream.Close()
	})
}

// guard ends the tunnel in time where an end has no deadlines of its own. The
// returned function ends the guard.
func (t *tunnel) guard() func() {
	_, a := t.client.ReadWriteCloser.(net.Conn)
	_, b := t.upstream.ReadWriteCloser.(net.Conn)
	if a && b {
		return func() {}
	}
	over, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(t.beat())
		defer ticker.Stop()
		for {
			select {
			case <-over:
				return
			case now := <-ticker.C:
				if t.stuck(now.UnixNano()) {
					t.close()
				}
			}
		}
	}()
	return func() { close(over); <-gone }
}

// beat is how often the guard looks.
func (t *tunnel) beat() time.Duration {
	beat := time.Minute
	for _, d := range []time.Duration{t.idle, t.patience} {
		if d > 0 {
			beat = min(beat, max(d/8, time.Millisecond))
		}
	}
	return beat
}

// stuck reports whether nothing has moved for too long, or a write has taken
// too long.
func (t *tunnel) stuck(now int64) bool {
	if t.idle > 0 && now-t.moved.Load() > int64(t.idle) {
		return true
	}
	for i := range t.writing {
		if since := t.writing[i].Load(); t.patience > 0 && since != 0 && now-since > int64(t.patience) {
			return true
		}
	}
	return false
}

// Sizes of a direction's buffer: most messages are small, most tunnels idle.
const (
	tunnelBuffer    = 4 << 10
	tunnelBufferMax = 32 << 10
)

// carry copies one direction. A clean end is passed on as such, any other ends
// the tunnel.
func (t *tunnel) carry(to, from tunnelEnd, writing *atomic.Int64) {
	read, write := deadlinesOf(from, to)
	read.in(t.idle)
	write.in(t.patience)
	if !t.forward(to, from.early, writing) {
		return
	}
	buf := make([]byte, tunnelBuffer)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			now := time.Now()
			read.from(now, t.idle)
			write.from(now, t.patience)
			t.moved.Store(now.UnixNano())
		}
		if !t.forward(to, buf[:n], writing) {
			return
		}
		switch {
		case err == io.EOF:
			to.closeWrite()
			return
		case err != nil && !t.stillMoving(err, &read):
			t.close()
			return
		case n == len(buf) && n < tunnelBufferMax:
			buf = make([]byte, tunnelBufferMax)
		}
	}
}

// forward writes what was read, or ends the tunnel.
func (t *tunnel) forward(to tunnelEnd, b []byte, writing *atomic.Int64) bool {
	if len(b) == 0 {
		return true
	}
	writing.Store(t.moved.Load())
	defer writing.Store(0)
	if _, err := to.Write(b); err != nil {
		t.close()
		return false
	}
	return true
}

// stillMoving reports whether an error is only this direction's time-out, while
// the other is alive.
func (t *tunnel) stillMoving(err error, read *deadline) bool {
	if !isTimeout(err) || t.idle <= 0 {
		return false
	}
	if quiet := time.Now().UnixNano() - t.moved.Load(); quiet >= int64(t.idle-t.idle/8) {
		return false
	}
	read.in(t.idle)
	return true
}

// deadlinesOf returns the time-outs of a direction; ends that know none have
// none.
func deadlinesOf(from, to tunnelEnd) (read, write deadline) {
	none := func(time.Time) error { return nil }
	read, write = deadline{set: none}, deadline{set: none}
	if c, ok := from.ReadWriteCloser.(net.Conn); ok {
		read = readDeadline(c)
	}
	if c, ok := to.ReadWriteCloser.(net.Conn); ok {
		write = writeDeadline(c)
	}
	return read, write
}

// tunnels are those of one Proxy that are open.
type tunnels struct {
	mu   sync.Mutex
	open map[*tunnel]struct{}
	over bool // no more are wanted
}

// add counts a tunnel in, or ends it if no more are wanted.
func (s *tunnels) add(t *tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		t.close()
		return
	}
	if s.open == nil {
		s.open = make(map[*tunnel]struct{})
	}
	s.open[t] = struct{}{}
}

func (s *tunnels) remove(t *tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
}

func (s *tunnels) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// cutAll ends every tunnel, those to come included.
func (s *tunnels) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for t := range s.open {
		t.close()
	}
}
