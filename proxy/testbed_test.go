package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// soonEnough is for what happens at once, on a machine that is busy.
const soonEnough = 20 * time.Second

// eventually waits for something that no channel tells.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, soonEnough, time.Millisecond, what)
}

// noLeaks fails the test if more goroutines run at its end than now. What is
// cleaned up after it was called is cleaned up before it looks.
func noLeaks(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for end := time.Now().Add(soonEnough); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines are left of %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
				return
			}
		}
	})
}

// A backend is an upstream on loopback that does with every connection what
// its script says.
type backend struct {
	net.Listener
	dials, open atomic.Int32
	requests    atomic.Int32  // read by next
	released    chan struct{} // closed by release, for scripts that wait for it
	release     func()

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// A backendConn is a connection to a backend, counted from 1.
type backendConn struct {
	net.Conn
	backend *backend
	r       *bufio.Reader
	n       int
}

func newBackend(t testing.TB, script func(c *backendConn)) *backend {
	t.Helper()
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &backend{Listener: l, released: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	b.release = sync.OnceFunc(func() { close(b.released) })
	b.wg.Go(func() { b.accept(script) })
	t.Cleanup(b.stop)
	return b
}

func (b *backend) accept(script func(c *backendConn)) {
	for {
		conn, err := b.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.conns[conn] = struct{}{}
		b.mu.Unlock()
		b.open.Add(1)
		c := &backendConn{Conn: conn, backend: b, r: bufio.NewReader(conn), n: int(b.dials.Add(1))}
		b.wg.Go(func() {
			defer b.open.Add(-1)
			defer conn.Close()
			script(c)
		})
	}
}

// stop ends the listener and every connection.
func (b *backend) stop() {
	b.Close()
	b.release()
	b.cut()
	b.wg.Wait()
}

// cut ends every connection.
func (b *backend) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.Close()
	}
	clear(b.conns)
}

func (b *backend) addr() string { return b.Addr().String() }
func (b *backend) url() string  { return "http://" + b.addr() }

// An asked is a request as a backend got it, body included.
type asked struct {
	*http.Request
	body string
}

// next reads a request; nil: the connection has ended.
func (c *backendConn) next() *asked {
	r, err := http.ReadRequest(c.r)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	c.backend.requests.Add(1)
	return &asked{r, string(body)}
}

func (c *backendConn) say(text string) { io.WriteString(c, text) }

// reply is a complete answer.
func (c *backendConn) reply(body string) {
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// gone waits until the other side has closed the connection.
func (c *backendConn) gone() { io.Copy(io.Discard, c.r) }

// reset closes the connection with a reset.
func (c *backendConn) reset() {
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// serving answers every request with the method and the target.
func serving(c *backendConn) {
	for r := c.next(); r != nil; r = c.next() {
		c.reply(r.Method + " " + r.RequestURI)
	}
}

// A journal holds the lines of a JSON log.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// entries returns what was written, and forgets it.
func (j *journal) entries(t testing.TB) (list []map[string]any) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.buf.String()) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		list = append(list, entry)
	}
	j.buf.Reset()
	return list
}

// A gate is a Proxy behind a real server, with what it logged and reported.
type gate struct {
	*Proxy
	server *httptest.Server
	client *http.Client
	book   journal

	mu   sync.Mutex
	errs []*Error
}

func newGate(t testing.TB, cfg Config) *gate {
	t.Helper()
	noLeaks(t)
	g := new(gate)
	if cfg.Logger == nil {
		cfg.Logger = g.book.logger()
	}
	cfg.OnError = g.note
	var err error
	g.Proxy, err = New(cfg)
	require.NoError(t, err)
	g.server = httptest.NewUnstartedServer(g.Proxy)
	g.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	g.server.Start()
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true} // what it leaves behind would look like a leak
	g.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		g.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), soonEnough)
		defer cancel()
		assert.NoError(t, g.Shutdown(ctx), "everything has ended")
	})
	return g
}

func (g *gate) note(_ *http.Request, e *Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, e)
}

// failures returns what OnError was told, and forgets it.
func (g *gate) failures() []*Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	errs := g.errs
	g.errs = nil
	return errs
}

// failure waits for the one failure there must be.
func (g *gate) failure(t testing.TB) *Error {
	t.Helper()
	var errs []*Error
	eventually(t, "OnError", func() bool { errs = append(errs, g.failures()...); return len(errs) > 0 })
	require.Len(t, errs, 1)
	return errs[0]
}

func (g *gate) addr() string { return g.server.Listener.Addr().String() }

// ask sends a request with a body, if it is not empty, and returns status and
// body of the answer.
func (g *gate) ask(t testing.TB, method, target, body string, header ...string) (int, string) {
	t.Helper()
	status, text, err := g.try(method, target, body, header...)
	require.NoError(t, err)
	return status, text
}

func (g *gate) try(method, target, body string, header ...string) (int, string, error) {
	var src io.Reader
	if body != "" {
		src = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, g.server.URL+target, src)
	if err != nil {
		return 0, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := g.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// A visitor is a client that writes bytes.
type visitor struct {
	*net.TCPConn
	r *bufio.Reader
}

// visit connects and sends text.
func (g *gate) visit(t testing.TB, text string) *visitor {
	t.Helper()
	conn, err := net.Dial("tcp", g.addr())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(soonEnough))
	v := &visitor{conn.(*net.TCPConn), bufio.NewReader(conn)}
	_, err = io.WriteString(v, text)
	require.NoError(t, err)
	return v
}

// answer reads an answer to a request with that method, body included.
func (v *visitor) answer(method string) (*http.Response, string, error) {
	resp, err := http.ReadResponse(v.r, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// closed reports whether the connection ends without another byte.
func (v *visitor) closed() bool {
	n, err := io.Copy(io.Discard, v.r)
	return n == 0 && !isTimeout(err)
}

// waiting is a script's word to the test, given once.
type signal chan struct{}

func (s signal) wait(t testing.TB, what string) {
	t.Helper()
	select {
	case <-s:
	case <-time.After(soonEnough):
		require.FailNow(t, "waited for "+what)
	}
}
