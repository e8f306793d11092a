package albtest

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// loopback is the network of real TCP connections on 127.0.0.1.
//
// A connection whose two ends are both ours shows each end the emulated
// address of the other. The dialler learns its port from the kernel and notes
// at the listener which address it claims; the listener asks for the note when
// somebody wants to know the address. Programs outside the emulator (curl, a
// browser) leave no note and appear as stranger.
type loopback struct {
	blackHoles
	stranger netip.Addr

	mu        sync.Mutex
	listeners map[netip.AddrPort]*loopbackListener
	hosts     map[netip.Addr]bool // emulated machines: never dialled for real
}

func newLoopback(stranger netip.Addr) *loopback {
	return &loopback{
		stranger:  stranger,
		listeners: make(map[netip.AddrPort]*loopbackListener),
		hosts:     make(map[netip.Addr]bool),
	}
}

func (n *loopback) listen(at netip.AddrPort) (net.Listener, error) {
	socket, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if at.Port() == 0 {
		at = netip.AddrPortFrom(at.Addr(), portOf(socket.Addr()))
	}
	l := &loopbackListener{Listener: socket, network: n, at: at, claims: make(map[uint16]netip.Addr)}
	l.settled.L = &l.mu

	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		_ = socket.Close() // nobody has seen it
		return nil, inUse(at)
	}
	n.listeners[at] = l
	n.emulate(at.Addr())
	return l, nil
}

// dial reaches an emulated listener, or else a real address, which then sees
// 127.0.0.1. A port of an emulated machine where nobody listens is refused:
// the real network may have somebody at that address, who is not meant.
func (n *loopback) dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	if err := n.hold(ctx, to); err != nil {
		return nil, err
	}
	n.mu.Lock()
	l, emulated := n.listeners[to], n.hosts[to.Addr()]
	n.mu.Unlock()
	if l != nil {
		return l.dial(ctx, from)
	}
	if emulated {
		return nil, refused(to)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to.String())
}

func (n *loopback) reserve(host netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.emulate(host)
}

// emulate notes an emulated machine; the caller holds mu. A loopback address
// is never one: real targets are there, next to which a test may put others.
func (n *loopback) emulate(host netip.Addr) {
	if !host.IsLoopback() {
		n.hosts[host] = true
	}
}

// forget removes a listener that was closed.
func (n *loopback) forget(l *loopbackListener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[l.at] == l {
		delete(n.listeners, l.at)
	}
}

// loopbackListener is a real listener and the notes of those who dial it.
type loopbackListener struct {
	net.Listener
	network *loopback
	at      netip.AddrPort

	mu      sync.Mutex
	settled sync.Cond // a dial has left its note, or failed
	dialing int
	claims  map[uint16]netip.Addr // by the port that the dialler really has
}

// dial connects to the listener and leaves the note before anybody can write.
func (l *loopbackListener) dial(ctx context.Context, from netip.Addr) (net.Conn, error) {
	l.mu.Lock()
	l.dialing++
	l.mu.Unlock()

	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp4", l.Addr().String())

	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialing--
	l.settled.Broadcast()
	if err != nil {
		return nil, err
	}
	port := portOf(c.LocalAddr())
	l.claims[port] = from
	return &loopbackConn{
		TCPConn: c.(*net.TCPConn),
		local:   func() net.Addr { return tcpAddr(from, port) },
		remote:  func() net.Addr { return net.TCPAddrFromAddrPort(l.at) },
	}, nil
}

// take removes and returns the note of whoever dials from the port. Without
// one it waits for the dials under way, one of which may be about to leave it.
func (l *loopbackListener) take(port uint16) netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if from, ok := l.claims[port]; ok {
			delete(l.claims, port)
			return from
		}
		if l.dialing == 0 {
			return l.network.stranger
		}
		l.settled.Wait()
	}
}

// Accept does not wait for the note: a dial that hangs because the backlog is
// full would wait for this Accept.
func (l *loopbackListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	port := portOf(c.RemoteAddr())
	return &loopbackConn{
		TCPConn: c.(*net.TCPConn),
		local:   func() net.Addr { return net.TCPAddrFromAddrPort(l.at) },
		remote:  sync.OnceValue(func() net.Addr { return tcpAddr(l.take(port), port) }),
	}, nil
}

func (l *loopbackListener) Close() error {
	l.network.forget(l)
	return l.Listener.Close()
}

// loopbackConn is a TCP connection with emulated addresses.
type loopbackConn struct {
	*net.TCPConn
	local, remote func() net.Addr
}

// LocalAddr is the emulated address of this end.
func (c *loopbackConn) LocalAddr() net.Addr { return c.local() }

// RemoteAddr is the emulated address of the other end.
func (c *loopbackConn) RemoteAddr() net.Addr { return c.remote() }

// Close takes the note even if nobody asked: the kernel may give the port to
// somebody else afterwards.
func (c *loopbackConn) Close() error {
	c.remote()
	return c.TCPConn.Close()
}

func tcpAddr(a netip.Addr, port uint16) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, port))
}

// portOf is the port of a TCP address.
func portOf(a net.Addr) uint16 { return a.(*net.TCPAddr).AddrPort().Port() }
