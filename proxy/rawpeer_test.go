package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knownhops/knownhops/proxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds every wait of these tests. Nothing waits that long unless it
// is broken, so that a busy machine makes no difference.
const patience = 5 * time.Second

// A rawRequest is a request as it arrived at a rawBackend.
type rawRequest struct {
	conn    int    // on which of the backend's connections, counted from 1
	line    string // the request line
	fields  []rawField
	body    string
	trailer []rawField
}

// A rawField is a header or trailer line, its name spelled as it came.
type rawField struct{ name, value string }

func (f rawField) String() string { return http.CanonicalHeaderKey(f.name) + ": " + f.value }

// target is what stands between the method and the version.
func (r *rawRequest) target() string { return strings.Split(r.line, " ")[1] }

// values are the values of a header, in order, whatever its letters' case.
func (r *rawRequest) values(name string) []string {
	var all []string
	for _, f := range r.fields {
		if strings.EqualFold(f.name, name) {
			all = append(all, f.value)
		}
	}
	return all
}

// A rawBackend is an upstream that is read and written byte by byte. It refuses
// whatever a careful server might understand in two ways, and keeps the rest.
type rawBackend struct {
	url string

	mu        sync.Mutex
	requests  []*rawRequest // complete ones
	partial   int           // requests that broke off
	malformed []error       // what RFC 9112 does not allow a client to send
	conns     []*rawConn
	wg        sync.WaitGroup
}

// newRawBackend serves each connection with the script until that returns. At
// the end of the test it wants nothing malformed to have come, and every
// connection closed by the proxy's Shutdown.
func newRawBackend(t *testing.T, script func(*rawConn)) *rawBackend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return newRawBackendOn(t, l, "http://"+l.Addr().String(), script)
}

func newRawBackendOn(t *testing.T, l net.Listener, url string, script func(*rawConn)) *rawBackend {
	b := &rawBackend{url: url}
	b.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			rc := b.add(c)
			b.wg.Go(func() {
				defer c.Close()
				script(rc)
			})
		}
	})
	t.Cleanup(func() { b.close(t, l) })
	return b
}

func (b *rawBackend) add(c net.Conn) *rawConn {
	b.mu.Lock()
	defer b.mu.Unlock()
	rc := &rawConn{Conn: c, in: bufio.NewReader(c), n: len(b.conns) + 1, backend: b}
	b.conns = append(b.conns, rc)
	return rc
}

func (b *rawBackend) close(t *testing.T, l net.Listener) {
	l.Close()
	done := make(chan struct{})
	go func() { b.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("connections to the upstream outlive the proxy's Shutdown")
		b.hangUp()
		<-done
	}
	assert.Empty(t, b.malformed, "sent to the upstream")
}

func (b *rawBackend) hangUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.Close()
	}
}

// got are the complete requests so far, those of exchange's probes left out.
func (b *rawBackend) got() []*rawRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*rawRequest
	for _, r := range b.requests {
		if r.target() != probeTarget {
			all = append(all, r)
		}
	}
	return all
}

// A rawConn is one connection to a rawBackend.
type rawConn struct {
	net.Conn
	in      *bufio.Reader
	n       int // which of the backend's connections, from 1
	backend *rawBackend
}

// next reads a whole request and keeps it.
func (c *rawConn) next() (*rawRequest, error) {
	r, err := c.head()
	if err != nil {
		return nil, err
	}
	return r, c.rest(r)
}

// head reads a request up to the empty line.
func (c *rawConn) head() (*rawRequest, error) {
	if _, err := c.in.Peek(1); err != nil {
		return nil, io.EOF // between requests, where a connection may end
	}
	r := &rawRequest{conn: c.n}
	var err error
	if r.line, err = c.line(); err == nil && !validRequestLine(r.line) {
		err = fmt.Errorf("request line %q", r.line)
	}
	if err == nil {
		r.fields, err = c.readFields()
	}
	return r, c.note(err)
}

// rest reads the body of a request whose head has been read, and keeps it.
func (c *rawConn) rest(r *rawRequest) error {
	err := c.note(c.readBody(r))
	if err == nil {
		c.backend.mu.Lock()
		defer c.backend.mu.Unlock()
		c.backend.requests = append(c.backend.requests, r)
	}
	return err
}

// note counts what is not a whole and valid request.
func (c *rawConn) note(err error) error {
	c.backend.mu.Lock()
	defer c.backend.mu.Unlock()
	var broken net.Error
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &broken), errors.Is(err, net.ErrClosed):
		c.backend.partial++
	default:
		c.backend.malformed = append(c.backend.malformed, err)
	}
	return err
}

// line reads to CRLF; a CR, LF or NUL anywhere else is an error.
func (c *rawConn) line() (string, error) {
	s, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line, ok := strings.CutSuffix(s, "\r\n")
	if !ok || strings.ContainsAny(line, "\r\n\x00") {
		return "", fmt.Errorf("line %q", s)
	}
	return line, nil
}

func (c *rawConn) readFields() ([]rawField, error) {
	var all []rawField
	for {
		line, err := c.line()
		if err != nil || line == "" {
			return all, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return nil, fmt.Errorf("header line %q", line)
		}
		all = append(all, rawField{name, strings.Trim(value, " \t")})
	}
}

// readBody knows two framings and no mixture of them (RFC 9112 §6).
func (c *rawConn) readBody(r *rawRequest) error {
	length, coding := r.values("Content-Length"), r.values("Transfer-Encoding")
	switch {
	case len(length)+len(coding) == 0:
		return nil
	case len(length)+len(coding) > 1:
		return fmt.Errorf("Content-Length %q beside Transfer-Encoding %q", length, coding)
	case len(coding) == 1 && coding[0] != "chunked":
		return fmt.Errorf("Transfer-Encoding %q", coding)
	case len(coding) == 1:
		return c.readChunks(r)
	}
	n, err := strconv.ParseUint(length[0], 10, 31)
	if err != nil {
		return err
	}
	return c.readPiece(r, n)
}

func (c *rawConn) readPiece(r *rawRequest, n uint64) error {
	piece := make([]byte, n)
	_, err := io.ReadFull(c.in, piece)
	r.body += string(piece)
	return err
}

// readChunks takes no chunk extensions: a proxy has no reason to pass them on.
func (c *rawConn) readChunks(r *rawRequest) error {
	for {
		n, err := c.chunk(r)
		if err != nil {
			return err
		}
		if n == 0 {
			r.trailer, err = c.readFields()
			return err
		}
	}
}

// chunk reads one chunk into the body; of the last one only the size.
func (c *rawConn) chunk(r *rawRequest) (uint64, error) {
	size, err := c.line()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(size, 16, 31)
	if err != nil || n == 0 {
		return 0, err
	}
	if err := c.readPiece(r, n); err != nil {
		return 0, err
	}
	end, err := c.line()
	if err == nil && end != "" {
		err = fmt.Errorf("%q after a chunk", end)
	}
	return n, err
}

// write sends s; that the proxy may have left is the test's business to notice.
func (c *rawConn) write(s string) { _, _ = io.WriteString(c.Conn, s) }

// ok answers a request, and tells the client which one that was.
func (c *rawConn) ok(r *rawRequest) {
	c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nX-Target: " + r.target() + "\r\n\r\nok")
}

// reset closes the connection with a RST, so that the peer loses what it sent.
func (c *rawConn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// drain reads until the peer closes, and says how many bytes came.
func (c *rawConn) drain() int64 {
	n, _ := io.Copy(io.Discard, c.in)
	return n
}

// serveOK answers every request.
func serveOK(c *rawConn) {
	for {
		r, err := c.next()
		if err != nil {
			return
		}
		c.ok(r)
	}
}

func validRequestLine(s string) bool {
	method, rest, _ := strings.Cut(s, " ")
	target, version, _ := strings.Cut(rest, " ")
	return isToken(method) && target != "" && !strings.ContainsFunc(target, notVisible) && version == "HTTP/1.1"
}

func notVisible(r rune) bool { return r <= ' ' || r > '~' }

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return notVisible(r) || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// A front is a proxy behind an ordinary server of net/http.
type front struct {
	*httptest.Server
	proxy *proxy.Proxy

	mu       sync.Mutex
	failures []*proxy.Error // what OnError got
}

// A frontOption changes the server before it starts.
type frontOption func(*httptest.Server)

// overHTTP2 is TLS with HTTP/2; the server's Client speaks it.
func overHTTP2(s *httptest.Server) { s.EnableHTTP2 = true }

// behind puts middleware in front of the proxy.
func behind(wrap func(http.Handler) http.Handler) frontOption {
	return func(s *httptest.Server) { s.Config.Handler = wrap(s.Config.Handler) }
}

// startProxy serves a proxy on a port of its own until the end of the test, and
// then wants Shutdown to find nothing that hangs.
func startProxy(t *testing.T, cfg proxy.Config, options ...frontOption) *front {
	t.Helper()
	f := &front{}
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.OnError = func(_ *http.Request, e *proxy.Error) { f.fail(e) }
	var err error
	f.proxy, err = proxy.New(cfg)
	require.NoError(t, err)
	f.Server = httptest.NewUnstartedServer(f.proxy)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, option := range options {
		option(f.Server)
	}
	if f.EnableHTTP2 {
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(func() { f.stop(t) })
	return f
}

func (f *front) stop(t *testing.T) {
	f.CloseClientConnections()
	f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	assert.NoError(t, f.proxy.Shutdown(ctx))
}

func (f *front) fail(e *proxy.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures = append(f.failures, e)
}

// failed are the failures reported so far.
func (f *front) failed() []*proxy.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*proxy.Error(nil), f.failures...)
}

// dial opens a client's connection that lasts as long as the test.
func (f *front) dial(t *testing.T) *rawClient {
	t.Helper()
	c, err := net.Dial("tcp", f.Listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { c.Close() })
	return &rawClient{c.(*net.TCPConn), bufio.NewReader(c)}
}

// A rawClient sends bytes and reads answers.
type rawClient struct {
	*net.TCPConn
	in *bufio.Reader
}

// send writes s. An error is no matter: a proxy may refuse before it has read all.
func (c *rawClient) send(s string) { _, _ = io.WriteString(c.TCPConn, s) }

// A rawAnswer is an answer as the client got it.
type rawAnswer struct {
	*http.Response
	body string
	cut  error // why the body is not complete
}

// read waits for the next answer, interim ones included.
func (c *rawClient) read() (*rawAnswer, error) {
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	return &rawAnswer{res, string(body), err}, nil
}
