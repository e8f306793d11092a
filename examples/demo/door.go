package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// visitor is who everybody appears to be that comes from outside of the chain:
// an address for documentation (RFC 5737). The real one, 127.0.0.1, is that of
// the parts of the chain as well.
var visitor = netip.MustParseAddr("203.0.113.10")

// free listens on a free port of 127.0.0.1.
func free() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// listen opens a port, or a free one where it cannot be had; note then says so.
func listen(port uint) (ln net.Listener, note string, err error) {
	ln, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err == nil {
		return ln, "", nil
	}
	why := err
	if ln, err = free(); err != nil {
		return nil, "", err
	}
	return ln, fmt.Sprintf("port %d cannot be had (%v); the page is at another", port, why), nil
}

// A visitorsDoor is a listener whose connections come from the visitor.
type visitorsDoor struct{ net.Listener }

// Accept waits for the next one.
func (d visitorsDoor) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return visitorsConn{c}, nil
}

type visitorsConn struct{ net.Conn }

// RemoteAddr is the visitor's address, with the port that is really there.
func (c visitorsConn) RemoteAddr() net.Addr {
	port := c.Conn.RemoteAddr().(*net.TCPAddr).AddrPort().Port()
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(visitor, port))
}

// urlOf is where a listener on 127.0.0.1 is reached.
func urlOf(ln net.Listener) string { return "http://" + ln.Addr().String() }
