package albtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// accept takes the clients of a listener, and gives each a node, in turn.
func (s *Server) accept(l *listener) {
	for i := 0; ; i++ {
		c, err := l.socket.Accept()
		if err != nil {
			return // closed
		}
		node := s.env.nodes[i%len(s.env.nodes)]
		if !s.track(c) {
			_ = c.Close()
			return
		}
		s.work.Go(func() {
			defer s.forget(c)
			s.front(c, origin{listener: l, node: node})
		})
	}
}

// front serves one connection of a client.
func (s *Server) front(c net.Conn, o origin) {
	defer c.Close()
	if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		o.client = at.AddrPort()
	}
	since := time.Now()
	if o.listener.tls == nil {
		s.frontHTTP1(c, o, since)
		return
	}
	secure := tls.Server(c, o.listener.tls)
	ctx, cancel := context.WithTimeout(s.ctx, connectTimeout)
	err := secure.HandshakeContext(ctx)
	cancel()
	if err != nil {
		s.plainOnTLS(c, o, err)
		return
	}
	state := secure.ConnectionState()
	o.tls = &state
	if state.NegotiatedProtocol == "h2" {
		s.frontHTTP2(secure, o, since)
		return
	}
	s.frontHTTP1(secure, o, since)
}

// plainOnTLS answers clients who speak plain HTTP to an HTTPS listener.
func (s *Server) plainOnTLS(c net.Conn, o origin, err error) {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || header.RecordHeader[0] < 'A' || header.RecordHeader[0] > 'Z' {
		return
	}
	x := &exchange{s: s, m: &message{origin: o, version: "HTTP/1.1"}, last: true}
	x.client = newHTTP1(&idleConn{Conn: c, idle: s.idleTimeout()}, bufio.NewReader(c), x.m)
	x.entry = newEntry(x.m, time.Now())
	x.refuse(refusal{http.StatusBadRequest, "PlainOnTLS", "the client speaks plain HTTP to an HTTPS listener"})
	linger(c)
}

// frontHTTP1 serves the requests of one connection, one after the other.
func (s *Server) frontHTTP1(c net.Conn, o origin, since time.Time) {
	conn := &idleConn{Conn: c, idle: s.idleTimeout()}
	r := bufio.NewReader(conn)
	for {
		if _, err := r.Peek(1); err != nil {
			return // nobody asks for anything
		}
		m, err := readRequest(r, s.cfg.Unknowns.RejectBareLF)
		m.origin = o
		client := newHTTP1(conn, r, m)
		if err != nil {
			s.refuseHead(m, client, err)
			linger(c)
			return
		}
		client.payload = bodyOf(r, m.fields)
		s.serve(m, client, time.Since(since) > s.clientKeepAlive())
		client.unwatch()
		if !client.rest() || client.last {
			linger(c)
			return
		}
	}
}

func newHTTP1(conn *idleConn, r *bufio.Reader, m *message) *http1 {
	return &http1{conn: conn, r: r, w: bufio.NewWriter(conn), m: m, gone: make(chan struct{})}
}

// refuseHead answers for a head that could not be read.
func (s *Server) refuseHead(m *message, c *http1, err error) {
	why, ok := refuseHead(err)
	m.version = "HTTP/1.1"
	x := &exchange{s: s, m: m, client: c, entry: newEntry(m, time.Now()), last: true}
	if !ok {
		x.entry.ELBStatusCode, x.entry.ErrorReason = Status(why.status), why.word
		x.nobody(why.why)
		return
	}
	x.refuse(why)
}

// What of a client's body is read for the next request's sake, when nobody
// wanted it, and how long a connection that ends waits for its client to.
const (
	maxDiscard = 64 << 10
	lingering  = time.Second
)

// long reports whether the body is better cut off than read for nothing.
func (s *payload) long(m *message) bool {
	return !s.ended && (s.chunks || s.left > maxDiscard || m.fields.has("Expect", "100-continue"))
}

// rest reads what is left of the body, and reports whether it was all.
func (c *http1) rest() bool {
	if c.payload == nil || c.payload.ended {
		return true
	}
	if c.last {
		return false
	}
	_, err := io.CopyN(io.Discard, c.payload, maxDiscard+1)
	return errors.Is(err, io.EOF) && c.payload.ended
}

// linger ends a connection on which the client may still be sending: closed at
// once, it would be reset, and the answer lost on the way.
func linger(c net.Conn) {
	if h, ok := c.(halfCloser); ok {
		_ = h.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(lingering))
	_, _ = io.CopyN(io.Discard, c, 1<<20)
}

// publicAddr is where clients believe the balancer to be.
var publicAddr = netip.MustParseAddr("192.0.2.80")
