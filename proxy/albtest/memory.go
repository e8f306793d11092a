package albtest

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// memory is the network without sockets: pairs of buffered connections. Its
// goroutines wait on condition variables and channels only, so that a
// testing/synctest bubble can tell when everybody waits for the clock.
type memory struct {
	blackHoles

	mu        sync.Mutex
	listeners map[netip.AddrPort]*memoryListener
	port      uint16 // the last one given to a dialler
}

// The ports that a dialler's end gets, and how many connections wait for
// Accept: the numbers of IANA and of a common kernel.
const (
	firstEphemeral = 49152
	backlog        = 128
)

func newMemory() *memory {
	return &memory{listeners: make(map[netip.AddrPort]*memoryListener), port: firstEphemeral - 1}
}

func (n *memory) listen(at netip.AddrPort) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port() == 0 {
		at = netip.AddrPortFrom(at.Addr(), n.nextPort())
	}
	if n.listeners[at] != nil {
		return nil, inUse(at)
	}
	l := &memoryListener{
		network: n,
		at:      at,
		queue:   make(chan *memoryConn, backlog),
		done:    make(chan struct{}),
	}
	n.listeners[at] = l
	return l, nil
}

// nextPort hands out ephemeral ports in turn; the caller holds mu.
func (n *memory) nextPort() uint16 {
	n.port++
	if n.port < firstEphemeral {
		n.port = firstEphemeral
	}
	return n.port
}

func (n *memory) dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	if err := n.hold(ctx, to); err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.listeners[to]
	port := n.nextPort()
	n.mu.Unlock()
	if l == nil {
		return nil, refused(to)
	}
	ours, theirs := newMemoryPair(tcpAddr(from, port), net.TCPAddrFromAddrPort(to))
	select {
	case <-l.done:
		return nil, refused(to)
	case <-ctx.Done():
		return nil, dialError(to, ctx.Err())
	case l.queue <- theirs:
	}
	select {
	case <-l.done: // closed meanwhile: perhaps after the queue was emptied
		l.refuseQueued()
	default:
	}
	return ours, nil
}

// reserve has nothing to do: there is no real network.
func (n *memory) reserve(netip.Addr) {}

func (n *memory) forget(l *memoryListener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[l.at] == l {
		delete(n.listeners, l.at)
	}
}

// memoryListener hands out the far ends of dialled pairs.
type memoryListener struct {
	network *memory
	at      netip.AddrPort
	queue   chan *memoryConn
	close   sync.Once
	done    chan struct{}
}

// Accept waits for the next connection.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.closed()
	default:
	}
	select {
	case <-l.done:
		return nil, l.closed()
	case c := <-l.queue:
		return c, nil
	}
}

func (l *memoryListener) closed() error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}

// Close resets the connections that nobody accepted, as a kernel does.
func (l *memoryListener) Close() error {
	l.network.forget(l)
	l.close.Do(func() { close(l.done) })
	l.refuseQueued()
	return nil
}

func (l *memoryListener) refuseQueued() {
	for {
		select {
		case c := <-l.queue:
			_ = abort(c)
		default:
			return
		}
	}
}

// Addr is the emulated address: there is no other.
func (l *memoryListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

func inUse(at netip.AddrPort) error {
	return &net.OpError{
		Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at),
		Err: os.NewSyscallError("bind", syscall.EADDRINUSE),
	}
}
