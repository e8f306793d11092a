package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A plainServer is an upstream that answers every request with the same bytes
// and allocates nothing for it, so that what is measured is the proxy.
type plainServer struct {
	net.Listener
	answer []byte
	wg     sync.WaitGroup
}

func newPlainServer(t testing.TB, answer string) *plainServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &plainServer{Listener: l, answer: []byte(answer)}
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.wg.Wait()
	})
	return s
}

// serve takes whatever ends in an empty line, or in what benchPost ends in, for
// a request.
func (s *plainServer) serve(conn net.Conn) {
	defer conn.Close()
	buf, n := make([]byte, 256<<10), 0
	for {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return
		}
		n += m
		if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) && !bytes.HasPrefix(buf, []byte("POST")) || bytes.HasSuffix(buf[:n], []byte(postEnd)) {
			n = 0
			if _, err := conn.Write(s.answer); err != nil {
				return
			}
		}
	}
}

// What benchPost ends in.
const postEnd = "the end of a body"

var benchPost = "POST /path HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024-len(postEnd)) + postEnd

// A caller sends the same bytes again and again over one connection, and knows
// how much comes back.
type caller struct {
	conn     net.Conn
	request  []byte
	expected int
	buf      []byte
}

func (c *caller) call(t testing.TB) {
	if _, err := c.conn.Write(c.request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c.conn, c.buf[:c.expected]); err != nil {
		t.Fatal(err)
	}
}

// newCaller asks once, to learn how long the answers are, which are alike.
func newCaller(t testing.TB, addr, request string, body int) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	c := &caller{conn: conn, request: []byte(request), buf: make([]byte, 1<<20)}
	_, err = conn.Write(c.request)
	require.NoError(t, err)
	for end := -1; end < 0 || c.expected < end+body; end = headEnd(c.buf[:c.expected]) {
		n, err := conn.Read(c.buf[c.expected:])
		require.NoError(t, err)
		c.expected += n
	}
	return c
}

// bench is a proxy behind net/http's server, in front of a plainServer that
// answers with a body of that size, and a caller.
func bench(t testing.TB, request string, size int) *caller {
	t.Helper()
	noLeaks(t)
	body := strings.Repeat("x", size)
	up := newPlainServer(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: plain\r\nContent-Length: %d\r\n\r\n%s", size, body))
	p, err := New(Config{Upstreams: []string{"http://" + up.Addr().String()}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: p}
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		wg.Wait()
		p.Shutdown(context.Background())
	})
	return newCaller(t, l.Addr().String(), request, size)
}

func benchmark(b *testing.B, request string, size int) {
	c := bench(b, request, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		c.call(b)
	}
}

const benchGet = "GET /path?query=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n"

func BenchmarkGet1KiB(b *testing.B)  { benchmark(b, benchGet, 1<<10) }
func BenchmarkGet64KiB(b *testing.B) { benchmark(b, benchGet, 64<<10) }

func BenchmarkPost(b *testing.B) { benchmark(b, benchPost, 1<<10) }

// hostileGet makes the proxy look at as much as it may: the whole family in
// many lines and odd spellings, and everything nominated as hop-by-hop.
func hostileGet() string {
	var b strings.Builder
	b.WriteString("GET /path HTTP/1.1\r\nHost: www.example.com\r\n")
	for i := range 100 {
		fmt.Fprintf(&b, "X-Forwarded-For: 192.0.2.%d, 198.51.100.1, unknown, \"[2001:db8::%d]:80\"\r\n", i, i)
		fmt.Fprintf(&b, "Forwarded: for=192.0.2.%d;proto=https;by=\"_x\", for=unknown\r\n", i)
		fmt.Fprintf(&b, "X_Forwarded_Host_%d: evil.example\r\nConnection: x-nominated-%d, x-forwarded-for, close-not\r\nX-Nominated-%d: x\r\n", i, i, i)
	}
	b.WriteString("\r\n")
	return b.String()
}

func BenchmarkHostileHeaders(b *testing.B) { benchmark(b, hostileGet(), 1<<10) }
