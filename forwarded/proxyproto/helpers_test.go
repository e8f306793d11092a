package proxyproto_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// What the tests send: a line, and a block with the same addresses.
const (
	line   = "PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\r\n"
	block  = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x09\x0a\x00\x00\x01\x03\xe8\x01\xbb"
	local  = "\r\n\r\n\x00\r\nQUIT\n\x20\x11\x00\x0c\xc0\x00\x02\x09\x0a\x00\x00\x01\x03\xe8\x01\xbb"
	unspec = "\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00"

	balancer = "10.0.16.5:40000"
	stranger = "198.51.100.9:40000"
	client   = "192.0.2.9:1000"
	target   = "10.0.0.1:443"

	soonEnough = 20 * time.Second // on a busy machine
)

// A fakeListener hands out what a test puts into it.
type fakeListener struct {
	results chan any // a net.Conn or an error
	closed  chan struct{}
	once    sync.Once
}

func newFake() *fakeListener {
	return &fakeListener{results: make(chan any), closed: make(chan struct{})}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case r := <-l.results:
		if err, ok := r.(error); ok {
			return nil, err
		}
		return r.(net.Conn), nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *fakeListener) Addr() net.Addr { return tcpAddr("10.0.0.2:8080") }

func ap(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func tcpAddr(text string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)) }

// A pipeConn is one end of a pipe with addresses.
type pipeConn struct {
	net.Conn
	local, remote net.Addr
}

func (c *pipeConn) LocalAddr() net.Addr  { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

// connect lets somebody at an address connect, and returns both ends.
func (l *fakeListener) connect(from string) (theirs net.Conn, ours *pipeConn) {
	theirs, end := net.Pipe()
	ours = &pipeConn{Conn: end, local: tcpAddr("10.0.0.2:8080"), remote: tcpAddr(from)}
	l.results <- ours
	return theirs, ours
}

// quiet trusts the balancers' subnet and logs nowhere.
func quiet() proxyproto.Config {
	return proxyproto.Config{From: []string{"10.0.16.0/20"}, Logger: slog.New(slog.DiscardHandler)}
}

// listen closes the listener at the end of the test.
func listen(t testing.TB, ln net.Listener, cfg proxyproto.Config) *proxyproto.Listener {
	t.Helper()
	l, err := proxyproto.Listen(ln, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// loopback is a real listener that trusts 127.0.0.1 unless cfg says otherwise.
func loopback(t testing.TB, cfg proxyproto.Config) *proxyproto.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if cfg.From == nil && !cfg.DangerouslyAnyPeer {
		cfg.From = []string{"127.0.0.1"}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return listen(t, ln, cfg)
}

// dial connects to l and sends text. The connection ends with the test.
func dial(t testing.TB, l net.Listener, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(soonEnough)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return conn
}

// accept returns what l accepts next. It ends with the test.
func accept(t testing.TB, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func transportOf(t testing.TB, conn net.Conn) forwarded.Transport {
	t.Helper()
	addr, ok := conn.LocalAddr().(forwarded.TransportAddr)
	require.True(t, ok, "%T", conn.LocalAddr())
	return addr.Transport()
}

// requireEnded requires that the other end is closed: a read fails, and not
// because its own time has run out.
func requireEnded(t testing.TB, conn net.Conn) {
	t.Helper()
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	var late net.Error
	require.False(t, asError(err, &late) && late.Timeout(), "still open")
}

func asError(err error, target *net.Error) bool {
	e, ok := err.(net.Error)
	if ok {
		*target = e
	}
	return ok
}

// A journal keeps what was logged.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

// logger logs everything from level on, without times.
func (j *journal) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Split(strings.TrimSuffix(j.buf.String(), "\n"), "\n")
}

// within runs f and fails if it takes longer than anything here should.
func within(t testing.TB, f func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soonEnough)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("takes too long")
	}
}

// requireNoMore waits until no more than n goroutines run: those of a test's own
// may still be ending.
func requireNoMore(t testing.TB, n int) {
	t.Helper()
	for end := time.Now().Add(soonEnough); runtime.NumGoroutine() > n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left of %d:\n%s", runtime.NumGoroutine(), n, buf[:runtime.Stack(buf, true)])
		}
	}
}
