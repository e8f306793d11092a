package proxyproto

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// An arrival is one connection from a trusted sender, from its acceptance to
// its end. All that it needs lies in this one object, which is a part of the
// net.Conn that is handed on.
type arrival struct {
	inner  net.Conn
	outer  net.Conn // what Accept returns
	remote net.Addr // what its RemoteAddr returns: the client, or the socket's own

	local    localAddr
	source   net.TCPAddr
	sourceIP [16]byte

	older, newer *arrival // its place in the queue
	queued       bool

	buf [256]byte // room for a header with the extensions that are in use
}

// newArrival wraps a connection so that nothing of it is lost: all methods of
// the operating system's own connections stay.
func newArrival(inner net.Conn) *arrival {
	var a *arrival
	switch c := inner.(type) {
	case *net.TCPConn:
		outer := &tcpConn{TCPConn: c}
		a, outer.a.outer = &outer.a, outer
	case *net.UnixConn:
		outer := &unixConn{UnixConn: c}
		a, outer.a.outer = &outer.a, outer
	default:
		outer := &otherConn{Conn: c}
		a, outer.a.outer = &outer.a, outer
	}
	a.inner = inner
	return a
}

// understood takes over what the header said.
func (a *arrival) understood(h Header) {
	h.Peer, _ = peerOf(a.inner)
	a.local = localAddr{header: h, socket: a.inner.LocalAddr()}
	a.remote = a.inner.RemoteAddr()
	if !h.Source.IsValid() {
		return
	}
	a.sourceIP = h.Source.Addr().As16()
	a.source = net.TCPAddr{IP: a.sourceIP[:], Port: int(h.Source.Port())}
	if h.Source.Addr().Is4() {
		a.source.IP = a.sourceIP[12:]
	}
	a.remote = &a.source
}

// The three kinds of connection differ in what they promote. A header is read
// to its last byte and no further, so nothing has to be put in front of what is
// read from them.
type (
	tcpConn struct {
		*net.TCPConn
		a arrival
	}
	unixConn struct {
		*net.UnixConn
		a arrival
	}
	otherConn struct {
		net.Conn
		a arrival
	}
)

func (c *tcpConn) LocalAddr() net.Addr   { return &c.a.local }
func (c *unixConn) LocalAddr() net.Addr  { return &c.a.local }
func (c *otherConn) LocalAddr() net.Addr { return &c.a.local }

func (c *tcpConn) RemoteAddr() net.Addr   { return c.a.remote }
func (c *unixConn) RemoteAddr() net.Addr  { return c.a.remote }
func (c *otherConn) RemoteAddr() net.Addr { return c.a.remote }

// NetConn returns the connection that the inner listener accepted, as that of
// crypto/tls does.
func (c *tcpConn) NetConn() net.Conn   { return c.TCPConn }
func (c *unixConn) NetConn() net.Conn  { return c.UnixConn }
func (c *otherConn) NetConn() net.Conn { return c.Conn }

// ReadFrom lets the connection inside choose how to copy.
func (c *otherConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// WriteTo does the same.
func (c *otherConn) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, c.Conn) }

// CloseWrite ends one direction, if the connection inside can.
func (c *otherConn) CloseWrite() error {
	if inner, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return inner.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn gives the descriptor, if the connection inside has one.
func (c *otherConn) SyscallConn() (syscall.RawConn, error) {
	if inner, ok := c.Conn.(syscall.Conn); ok {
		return inner.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
