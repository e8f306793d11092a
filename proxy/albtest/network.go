package albtest

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// network is the wire between the clients, the balancer's nodes and the
// targets. Every end has an emulated address, and the other end sees it: an
// emulator whose nodes all appear as 127.0.0.1 could not tell a service that
// believes its balancer from one that believes everybody.
//
// Its methods may be called concurrently.
type network interface {
	// listen opens a listener at an emulated address. The listener's Addr is
	// where a program outside the emulator reaches it.
	listen(at netip.AddrPort) (net.Listener, error)

	// dial connects from an emulated address. Where nobody listens the error
	// is syscall.ECONNREFUSED.
	dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)

	// reserve says that a host is emulated, also where nobody listens: what is
	// dialled there is never somebody in the real network.
	reserve(host netip.Addr)

	// swallow makes dials to an address hang until their context ends, as
	// behind a security group that drops the packets, or ends that.
	swallow(at netip.AddrPort, on bool)
}

// halfCloser is a connection that can end its own direction alone.
type halfCloser interface{ CloseWrite() error }

// lingerer is a connection whose Close can be made a reset.
type lingerer interface{ SetLinger(seconds int) error }

// abort closes a connection of a network with a reset instead of an orderly
// end, as a crashing process or a balancer that gives up does.
func abort(c net.Conn) error {
	if l, ok := c.(lingerer); ok {
		_ = l.SetLinger(0) // without it the peer sees an orderly end, no more
	}
	return c.Close()
}

// blackHoles are the addresses whose packets are lost. The zero value has none.
type blackHoles struct {
	mu sync.Mutex
	at map[netip.AddrPort]bool
}

func (b *blackHoles) swallow(at netip.AddrPort, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at == nil {
		b.at = make(map[netip.AddrPort]bool)
	}
	b.at[at] = on
}

// hold returns at once for an ordinary address; for a black hole it returns
// the error of the dial when the context ends.
func (b *blackHoles) hold(ctx context.Context, to netip.AddrPort) error {
	b.mu.Lock()
	swallowed := b.at[to]
	b.mu.Unlock()
	if swallowed {
		<-ctx.Done()
	}
	if err := ctx.Err(); err != nil {
		return dialError(to, err)
	}
	return nil
}

// refused is what a dial gets where nobody listens.
func refused(to netip.AddrPort) error {
	return dialError(to, os.NewSyscallError("connect", syscall.ECONNREFUSED))
}

func dialError(to netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
}
