package proxyproto_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// A wrapped socket can do what the socket could.
func TestNothingOfATCPConnectionIsLost(t *testing.T) {
	l := loopback(t, proxyproto.Config{})
	theirs := dial(t, l, line+"hello")
	conn := accept(t, l)
	_ = conn.(interface {
		io.ReaderFrom
		io.WriterTo
		syscall.Conn
		CloseRead() error
		CloseWrite() error
		File() (*os.File, error)
		SetKeepAliveConfig(net.KeepAliveConfig) error
		SetLinger(int) error
		SetNoDelay(bool) error
	})
	assert.IsType(t, &net.TCPConn{}, conn.(interface{ NetConn() net.Conn }).NetConn())

	// Whoever copies finds what follows the header, in either direction.
	var got bytes.Buffer
	require.NoError(t, theirs.(*net.TCPConn).CloseWrite())
	n, err := io.Copy(&got, conn)
	require.NoError(t, err)
	assert.Equal(t, int64(5), n)
	assert.Equal(t, "hello", got.String())
	file, err := os.Open("conn_test.go")
	require.NoError(t, err)
	defer file.Close()
	sent, err := io.Copy(conn, file)
	require.NoError(t, err)
	require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
	back, err := io.ReadAll(theirs)
	require.NoError(t, err)
	assert.Len(t, back, int(sent))
}

// A unix socket's peer has no address: the list says "unix", and package
// forwarded is told so, although the client behind it has one.
func TestUnixSocket(t *testing.T) {
	for _, c := range []struct {
		from    string
		trusted bool
	}{{"unix", true}, {"127.0.0.1", false}} {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Skip("no unix sockets here:", err)
		}
		l := listen(t, ln, proxyproto.Config{From: []string{c.from}, Logger: slog.New(slog.DiscardHandler)})
		for header, want := range map[string]forwarded.Transport{
			block:               {Source: ap(client), Destination: ap(target)},
			"PROXY UNKNOWN\r\n": {},
			local:               {Local: true},
		} {
			theirs := dial(t, l, header+"x")
			conn := accept(t, l)
			if !c.trusted {
				assert.IsType(t, &net.UnixConn{}, conn)
				continue
			}
			assert.Equal(t, want, transportOf(t, conn))
			assert.Equal(t, "unix", conn.LocalAddr().Network())
			assert.Equal(t, path, conn.LocalAddr().String())
			if want.Source.IsValid() {
				assert.Equal(t, client, conn.RemoteAddr().String())
			} else {
				assert.Equal(t, "unix", conn.RemoteAddr().Network())
			}
			_ = conn.(interface {
				syscall.Conn
				CloseRead() error
				CloseWrite() error
				File() (*os.File, error)
			})
			assert.IsType(t, &net.UnixConn{}, conn.(interface{ NetConn() net.Conn }).NetConn())
			buf := make([]byte, 2)
			n, err := conn.Read(buf)
			assert.NoError(t, err)
			assert.Equal(t, "x", string(buf[:n]))
			require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
			requireEnded(t, theirs)
		}
	}
}

// A cleverConn is somebody's own connection type, with abilities of its own.
type cleverConn struct {
	*pipeConn
	did []string
}

func (c *cleverConn) CloseWrite() error { c.did = append(c.did, "CloseWrite"); return nil }

func (c *cleverConn) ReadFrom(r io.Reader) (int64, error) {
	c.did = append(c.did, "ReadFrom")
	return io.Copy(c.pipeConn, r)
}

func (c *cleverConn) WriteTo(w io.Writer) (int64, error) {
	c.did = append(c.did, "WriteTo")
	return io.Copy(w, c.pipeConn)
}

func (c *cleverConn) SyscallConn() (syscall.RawConn, error) {
	c.did = append(c.did, "SyscallConn")
	return nil, nil
}

// The abilities of connections that are no sockets are handed through, and one
// that is not there is said to be missing.
func TestOtherConnections(t *testing.T) {
	ln := newFake()
	l := listen(t, ln, quiet())
	hand := func(wrap func(*pipeConn) net.Conn) (theirs, conn, inner net.Conn) {
		theirs, end := net.Pipe()
		inner = wrap(&pipeConn{Conn: end, local: tcpAddr(target), remote: tcpAddr(balancer)})
		ln.results <- inner
		say(theirs, block+"in")
		return theirs, accept(t, l), inner
	}
	type able interface {
		net.Conn
		io.ReaderFrom
		io.WriterTo
		syscall.Conn
		CloseWrite() error
		NetConn() net.Conn
	}

	theirs, conn, inner := hand(func(c *pipeConn) net.Conn { return &cleverConn{pipeConn: c} })
	c := conn.(able)
	assert.Same(t, inner, c.NetConn())
	assert.NoError(t, c.CloseWrite())
	_, err := c.SyscallConn()
	assert.NoError(t, err)
	go func() { _, _ = io.ReadFull(theirs, make([]byte, 3)); _ = theirs.Close() }() // ends with the pipe
	n, err := c.ReadFrom(io.LimitReader(bytes.NewReader([]byte("out")), 3))
	assert.NoError(t, err)
	assert.Equal(t, int64(3), n)
	n, err = c.WriteTo(onlyWriter{io.Discard})
	assert.NoError(t, err)
	assert.LessOrEqual(t, n, int64(2), "what the other end had said before it closed")
	assert.Equal(t, []string{"CloseWrite", "SyscallConn", "ReadFrom", "WriteTo"}, inner.(*cleverConn).did)

	_, conn, _ = hand(func(c *pipeConn) net.Conn { return c })
	c = conn.(able)
	assert.ErrorIs(t, c.CloseWrite(), errors.ErrUnsupported)
	_, err = c.SyscallConn()
	assert.ErrorIs(t, err, errors.ErrUnsupported)
}

type onlyWriter struct{ io.Writer }

// A server that does not speak HTTP asks the address itself.
func TestHeaderFromLocalAddr(t *testing.T) {
	l := loopback(t, proxyproto.Config{})
	dial(t, l, block)
	addr, ok := accept(t, l).LocalAddr().(interface{ Header() proxyproto.Header })
	require.True(t, ok)
	assert.Equal(t, ap(target), addr.Header().Destination)
	assert.Equal(t, 2, addr.Header().Version)
}
