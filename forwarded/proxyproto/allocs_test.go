package proxyproto

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A canned connection has its bytes ready. It costs nothing to accept twice.
type canned struct {
	net.Conn
	bytes.Reader
	text  []byte
	addrs [2]net.Addr
}

func newCanned(text []byte, peer string) *canned {
	return &canned{text: text, addrs: [2]net.Addr{net.TCPAddrFromAddrPort(ap("10.0.0.2:8080")), net.TCPAddrFromAddrPort(ap(peer))}}
}

func (c *canned) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c *canned) WriteTo(io.Writer) (int64, error) { return 0, io.ErrUnexpectedEOF }
func (c *canned) Close() error                     { return nil }
func (c *canned) LocalAddr() net.Addr              { return c.addrs[0] }
func (c *canned) RemoteAddr() net.Addr             { return c.addrs[1] }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }

// A cannedListener accepts the same connection again and again, once for each
// token.
type cannedListener struct {
	conn   *canned
	tokens chan struct{}
}

func (l *cannedListener) Accept() (net.Conn, error) {
	if _, ok := <-l.tokens; !ok {
		return nil, net.ErrClosed
	}
	l.conn.Reset(l.conn.text)
	return l.conn, nil
}

func (l *cannedListener) Close() error   { close(l.tokens); return nil }
func (l *cannedListener) Addr() net.Addr { return l.conn.addrs[0] }

// cannedAccept returns a function that accepts once.
func cannedAccept(tb testing.TB, text []byte, peer string) func() net.Conn {
	ln := &cannedListener{conn: newCanned(text, peer), tokens: make(chan struct{})}
	l, err := Listen(ln, Config{From: []string{"10.0.16.0/20"}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = l.Close() })
	return func() net.Conn {
		ln.tokens <- struct{}{}
		conn, err := l.Accept()
		if err != nil {
			tb.Fatal(err)
		}
		return conn
	}
}

const trustedPeer, strangePeer = "10.0.16.5:40000", "198.51.100.9:40000"

// A trusted connection costs one object, its goroutine included; a header of
// version 1 one more for its text, and extensions of unusual length one for
// theirs. A stranger's costs nothing.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		name, peer string
		text       []byte
		want       float64
	}{
		{"v2 TCP4", trustedPeer, v2(0x21, 0x11, tcp4), 1},
		{"v2 TCP6", trustedPeer, v2(0x21, 0x21, tcp6), 1},
		{"v2 LOCAL", trustedPeer, v2(0x20, 0x00), 1},
		{"v2 UNIX", trustedPeer, v2(0x21, 0x31, named("/a", "/b")), 1},
		{"AWS PrivateLink", trustedPeer, hexBytes(t, awsPrivateLink), 1},
		{"AWS health check", trustedPeer, hexBytes(t, awsHealthCheck), 1},
		{"v2, 256 bytes", trustedPeer, v2(0x21, 0x11, tcp4, tlv(0x04, strings.Repeat("\x00", 256-16-12-3))), 1},
		{"v2, 2048 bytes", trustedPeer, v2(0x21, 0x11, tcp4, tlv(0x04, strings.Repeat("\x00", 2048-16-12-3))), 2},
		{"v1 TCP4", trustedPeer, []byte("PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\r\n"), 2},
		{"v1 TCP6", trustedPeer, []byte("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), 2},
		{"a stranger", strangePeer, v2(0x21, 0x11, tcp4), 0},
	} {
		accept := cannedAccept(t, c.text, c.peer)
		accept() // the goroutines that stay are there now
		got := testing.AllocsPerRun(200, func() { accept() })
		assert.LessOrEqual(t, got, c.want, c.name)
	}
}

// What is looked at for each request is free.
func TestAddressesAllocateNothing(t *testing.T) {
	conn := cannedAccept(t, hexBytes(t, awsPrivateLink), trustedPeer)()
	addr := conn.LocalAddr().(*localAddr)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, _, _, _ = conn.RemoteAddr(), conn.LocalAddr(), addr.Transport(), addr.Header()
	}))
}
