package proxyproto

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	"github.com/knownhops/knownhops/forwarded"
)

// localAddr is the LocalAddr of a connection that began with a header. It is
// the address that the client connected to, as far as the sender said. Its
// network is the socket's, by which package forwarded knows a unix socket; such
// an address keeps the socket's own name.
type localAddr struct {
	header Header
	socket net.Addr
}

var _ forwarded.TransportAddr = (*localAddr)(nil)

func (a *localAddr) Network() string { return a.socket.Network() }

func (a *localAddr) String() string {
	if a.header.Destination.IsValid() && a.Network() != "unix" {
		return a.header.Destination.String()
	}
	return a.socket.String()
}

func (a *localAddr) Transport() forwarded.Transport { return a.header.Transport }

// Header is for servers that do not speak HTTP: they reach it through LocalAddr
// and an interface of their own.
func (a *localAddr) Header() Header { return a.header }

// FromContext returns what the PROXY header of a request's connection said, in
// a handler of an http.Server that serves a [Listener], with or without TLS. It
// is false where there was no header: the connection came from somebody who may
// not send one, or through another listener.
func FromContext(ctx context.Context) (Header, bool) {
	addr, ok := ctx.Value(http.LocalAddrContextKey).(*localAddr)
	if !ok {
		return Header{}, false
	}
	return addr.header, true
}

// peerOf returns who is at the other end of a connection: an address with its
// zone, unmapped, or a unix socket. Neither: it cannot be told.
func peerOf(conn net.Conn) (peer netip.AddrPort, unix bool) {
	if local := conn.LocalAddr(); local != nil && local.Network() == "unix" {
		return netip.AddrPort{}, true
	}
	switch remote := conn.RemoteAddr().(type) {
	case nil:
	case *net.TCPAddr:
		peer = remote.AddrPort()
	default:
		peer, _ = netip.ParseAddrPort(remote.String()) // invalid if it is none
	}
	return netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()), false
}
