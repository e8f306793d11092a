package forwarded

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/knownhops/knownhops/internal/hostport"
)

// Transport is what a PROXY header said about one connection. Package
// proxyproto's listener carries it in the net.Addr that net/http puts under
// [http.LocalAddrContextKey].
type Transport struct {
	Peer        netip.AddrPort // the socket's other end: the balancer
	Source      netip.AddrPort // the client; invalid where the header named none
	Destination netip.AddrPort // where the client connected to
	Local       bool           // the balancer speaks for itself: a health check
}

// A TransportAddr is a local address that knows what the PROXY header said.
type TransportAddr interface {
	net.Addr
	Transport() Transport
}

// A peer is the socket's other end as net/http tells it.
type peer struct {
	addr      netip.Addr // unmapped, with its zone; invalid for unix sockets
	port      uint16
	unix      bool
	bad       bool      // RemoteAddr cannot be read
	proxied   bool      // there was a PROXY header
	transport Transport // what it said
}

func (p peer) addrPort() netip.AddrPort {
	if p.bad || p.unix {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(withoutZone(p.addr), p.port)
}

// tcpPeer is peerOf for what nearly every request has: an IPv4 peer on a TCP
// connection without a PROXY header.
func tcpPeer(r *http.Request) (addr netip.Addr, port uint16, ok bool) {
	switch r.Context().Value(http.LocalAddrContextKey).(type) {
	case nil, *net.TCPAddr:
		addr, port, ok = hostport.ParseIPv4(r.RemoteAddr)
	}
	return addr, port, ok && port != 0
}

// peerOf never allocates for TCP connections without a PROXY header. Only the
// local address tells a unix socket: RemoteAddr is empty or "@" there, and
// could be anything.
func peerOf(r *http.Request) peer {
	switch local := r.Context().Value(http.LocalAddrContextKey).(type) {
	case nil, *net.TCPAddr:
	case TransportAddr:
		return transportPeer(local)
	case net.Addr:
		if local.Network() == "unix" {
			return peer{unix: true}
		}
	}
	addr, port, ok := hostport.ParseAddr(r.RemoteAddr)
	if !ok && strings.Contains(r.RemoteAddr, "%") {
		return oddPeer(r.RemoteAddr)
	}
	return peer{addr: addr, port: port, bad: !ok || port == 0}
}

// oddPeer accepts what only the operating system writes: zones like
// "Ethernet 2".
func oddPeer(remote string) peer {
	ap, err := netip.ParseAddrPort(remote)
	return peer{addr: ap.Addr().Unmap(), port: ap.Port(), bad: err != nil || ap.Port() == 0}
}

func transportPeer(local TransportAddr) peer {
	p := peer{proxied: true, transport: local.Transport(), unix: local.Network() == "unix"}
	if from := p.transport.Peer; from.IsValid() {
		p.addr, p.port = from.Addr().Unmap(), from.Port()
	}
	p.bad = !p.addr.IsValid() && !p.unix
	return p
}

// matches reports whether the peer, or later an address from a header, is
// one that the hop connects from. It does not look at the hop's secret.
func (n *node) matches(addr netip.Addr, unix bool) bool {
	if unix {
		return n.from.Unix()
	}
	return n.from.Has(addr)
}
