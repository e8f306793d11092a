package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knownhops/knownhops/proxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onEachFront runs a test behind HTTP/1.1 and behind HTTP/2.
func onEachFront(t *testing.T, run func(*testing.T, frontOption)) {
	t.Run("http1", func(t *testing.T) { t.Parallel(); run(t, func(*httptest.Server) {}) })
	t.Run("http2", func(t *testing.T) { t.Parallel(); run(t, overHTTP2) })
}

// request is a client's request to f that ends with the test, or when cancel is
// called.
func (f *front) request(t *testing.T, method, target string, body io.Reader) (*http.Request, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, f.URL+target, body)
	require.NoError(t, err)
	r.Host = "good.test"
	return r, cancel
}

// upload is a POST whose body is written while it is under way. The pipe ends
// with the request: net/http's client would wait for it.
func (f *front) upload(t *testing.T, target string) (*http.Request, *io.PipeWriter, context.CancelFunc) {
	t.Helper()
	body, w := io.Pipe()
	r, cancel := f.request(t, "POST", target, body)
	context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
	return r, w, cancel
}

// do sends a request and wants an answer, whichever.
func (f *front) do(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	res, err := f.Client().Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// text reads a body that must be complete.
func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(b)
}

// soon waits for a signal.
func soon(t *testing.T, signal <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(patience):
		require.Fail(t, "in vain: "+what)
	}
}

// reasons are the words for the failures so far.
func (f *front) reasons() []string {
	var all []string
	for _, e := range f.failed() {
		all = append(all, e.Reason().String())
	}
	return all
}

// fails wants exactly one failure, with this reason; it may be reported after
// the client has noticed.
func (f *front) fails(t *testing.T, reason proxy.Reason) {
	t.Helper()
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, []string{reason.String()}, f.reasons(), f.failed())
	}, patience, 5*time.Millisecond)
}

// count is how often a request with this target came.
func (b *rawBackend) count(target string) int {
	n := 0
	for _, r := range b.got() {
		if r.target() == target {
			n++
		}
	}
	return n
}

// TestStaleConnection is the classical 502: the upstream closes an idle
// connection in the moment in which the next request is written to it.
func TestStaleConnection(t *testing.T) {
	for _, hangUp := range []struct {
		name string
		do   func(*rawConn)
	}{{"fin", func(c *rawConn) { c.Close() }}, {"rst", (*rawConn).reset}} {
		for method, want := range map[string]int{"GET": 200, "PUT": 200, "DELETE": 200, "OPTIONS": 200, "POST": 502, "PATCH": 502} {
			t.Run(method+" "+hangUp.name, func(t *testing.T) {
				onEachFront(t, func(t *testing.T, over frontOption) {
					backend := newRawBackend(t, func(c *rawConn) {
						if r, err := c.next(); err == nil {
							c.ok(r)
							_, _ = c.next()
							hangUp.do(c)
						}
					})
					f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
					warm, _ := f.request(t, "GET", "/warm", nil)
					require.Equal(t, "ok", text(t, f.do(t, warm)))
					var body io.Reader
					if strings.HasPrefix(method, "P") {
						body = strings.NewReader("hello")
					}
					r, _ := f.request(t, method, "/p", body)
					assert.Equal(t, want, f.do(t, r).StatusCode)
					assert.Equal(t, want == 200, backend.count("/p") == 2, "a request that is safe to repeat comes twice, another once")
				})
			})
		}
	}
}

// TestConnectionClosedMeanwhile is the harmless relative: the end is there
// before the next request, so that even a POST finds another connection.
func TestConnectionClosedMeanwhile(t *testing.T) {
	closed := make(chan struct{}, 2)
	backend := newRawBackend(t, func(c *rawConn) {
		if r, err := c.next(); err == nil {
			c.ok(r)
			c.Close()
			closed <- struct{}{}
		}
	})
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	for range 2 {
		r, _ := f.request(t, "POST", "/p", strings.NewReader("hello"))
		res := f.do(t, r)
		assert.Equal(t, 200, res.StatusCode)
		assert.Equal(t, "ok", text(t, res))
		soon(t, closed, "the upstream closes")
	}
	assert.Equal(t, 2, backend.count("/p"))
}

// TestNoRequestTwice lets many clients meet stale connections all the time: what
// may be repeated never fails, and what may not be never comes twice.
func TestNoRequestTwice(t *testing.T) {
	backend := newRawBackend(t, func(c *rawConn) {
		for n := 0; ; n++ {
			r, err := c.next()
			if err != nil || n == 3 {
				return
			}
			c.ok(r)
		}
	})
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}, Retry: proxy.Retry{Budget: 1, Burst: 1000}})
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			for n := range 24 {
				method := []string{"GET", "PUT", "DELETE", "POST"}[n%4]
				r, _ := f.request(t, method, fmt.Sprintf("/%s/%d/%d", method, client, n), strings.NewReader("hello"))
				res, err := f.Client().Do(r)
				if !assert.NoError(t, err) {
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				assert.NoError(t, err)
				if method != "POST" {
					assert.Equal(t, 200, res.StatusCode, r.URL.Path)
				}
			}
		})
	}
	clients.Wait()
	for _, r := range backend.got() {
		if strings.HasPrefix(r.line, "POST") {
			assert.Equal(t, 1, backend.count(r.target()), r.line)
		}
	}
}

// TestEarlyAnswer is an upload that the upstream refuses as soon as it has seen
// the head. The client must get that answer and not a broken connection.
func TestEarlyAnswer(t *testing.T) {
	for _, size := range []int64{200 << 10, 20 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			onEachFront(t, func(t *testing.T, over frontOption) {
				backend := newRawBackend(t, refuseUpload)
				f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
				if f.EnableHTTP2 {
					r, _ := f.request(t, "POST", "/p", io.LimitReader(zeros{}, size))
					r.ContentLength = size
					assert.Equal(t, 413, f.do(t, r).StatusCode)
					return
				}
				c := f.dial(t)
				var upload sync.WaitGroup
				upload.Go(func() {
					c.send(post("", fmt.Sprint("Content-Length: ", size)))
					_, _ = io.CopyN(c.TCPConn, zeros{}, size)
				})
				a, err := c.read()
				c.Close()
				upload.Wait()
				require.NoError(t, err)
				assert.Equal(t, 413, a.StatusCode)
				assert.Equal(t, "too large", a.body)
			})
		})
	}
}

// refuseUpload answers, reads a little more and leaves with the rest unread,
// which resets the connection.
func refuseUpload(c *rawConn) {
	if _, err := c.head(); err != nil {
		return
	}
	c.write("HTTP/1.1 413 Content Too Large\r\n" + header("Connection: close", "Content-Length: 9") + "too large")
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, c.in, 64<<10)
	time.Sleep(20 * time.Millisecond) // a real server lingers, too
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestFirstPieceAtOnce lets the upstream wait for the client to have got the
// first piece before it sends the next: whoever gathers pieces hangs.
func TestFirstPieceAtOnce(t *testing.T) {
	for name, rows := range map[string][]string{
		"events": {ok200 + header(chunked, "Content-Type: text/event-stream") + "9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n0\r\n\r\n"},
		"length": {ok200 + header("Content-Length: 18", "Content-Type: application/json") + "data: 1\n\n", "data: 2\n\n"},
		"eof":    {ok200 + header("Connection: close") + "data: 1\n\n", "data: 2\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			onEachFront(t, func(t *testing.T, over frontOption) {
				arrived := make(chan struct{})
				backend := newRawBackend(t, func(c *rawConn) {
					if _, err := c.next(); err == nil {
						c.write(rows[0])
						<-arrived
						c.write(rows[1])
					}
				})
				f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
				r, _ := f.request(t, "GET", "/", nil)
				defer sync.OnceFunc(func() { close(arrived) })()
				res := f.do(t, r)
				first := make([]byte, 9)
				_, err := io.ReadFull(res.Body, first)
				require.NoError(t, err)
				assert.Equal(t, "data: 1\n\n", string(first))
				arrived <- struct{}{}
				assert.Equal(t, "data: 2\n\n", text(t, res))
			})
		})
	}
}

// TestClientGone wants the upstream to learn of it, at whatever stage.
func TestClientGone(t *testing.T) {
	for _, stage := range []struct {
		name   string
		upload bool
		answer string
	}{{"before the answer", false, ""}, {"amid the answer", false, ok200 + header("Content-Length: 1000000000") + "first"}, {"amid the upload", true, ""}} {
		t.Run(stage.name, func(t *testing.T) {
			onEachFront(t, func(t *testing.T, over frontOption) {
				arrived, gone := make(chan struct{}), make(chan struct{})
				backend := newRawBackend(t, func(c *rawConn) {
					defer close(gone)
					if _, err := c.head(); err == nil {
						c.write(stage.answer)
						close(arrived)
						c.drain()
					}
				})
				f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
				r, cancel := f.request(t, "GET", "/", nil)
				if stage.upload {
					r, _, cancel = f.upload(t, "/")
				}
				var client sync.WaitGroup
				client.Go(func() {
					if res, err := f.Client().Do(r); err == nil {
						_, _ = io.Copy(io.Discard, res.Body)
						res.Body.Close()
					}
				})
				soon(t, arrived, "the request comes")
				cancel()
				soon(t, gone, "the upstream's connection ends")
				client.Wait()
				f.fails(t, proxy.ReasonClientGone)
			})
		})
	}
}

// TestClientsGoneAtOnce has clients leave at the very moment in which their
// requests are being sent on, which each time is another one. The backend's end
// of the test wants no connection to be left.
func TestClientsGoneAtOnce(t *testing.T) {
	backend := newRawBackend(t, func(c *rawConn) {
		_, _ = c.head()
		c.drain()
	})
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() {
			for i := range 50 {
				c := f.dial(t)
				c.send(get("/p"))
				time.Sleep(time.Duration(i*n) * 10 * time.Microsecond)
				c.Close()
			}
		})
	}
	clients.Wait()
	assert.Eventually(t, func() bool { return f.proxy.Status().InFlight == 0 }, patience, 5*time.Millisecond, "requests of clients that have left")
}

// TestTruncatedAnswer wants an answer that breaks off to look like one.
func TestTruncatedAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"length":           ok200 + header("Content-Length: 10") + "first",
		"between chunks":   ok200 + header(chunked) + "5\r\nfirst\r\n",
		"amid a chunk":     ok200 + header(chunked) + "a\r\nfirst",
		"before a trailer": ok200 + header(chunked) + "5\r\nfirst\r\n0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, hangUp := range []func(*rawConn){func(*rawConn) {}, (*rawConn).reset} {
				onEachFront(t, func(t *testing.T, over frontOption) {
					arrived := make(chan struct{})
					backend := newRawBackend(t, func(c *rawConn) {
						if _, err := c.next(); err == nil {
							c.write(answer)
							<-arrived
							hangUp(c)
						}
					})
					f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
					r, _ := f.request(t, "GET", "/", nil)
					defer sync.OnceFunc(func() { close(arrived) })()
					res := f.do(t, r)
					_, err := io.ReadFull(res.Body, make([]byte, 5))
					require.NoError(t, err)
					arrived <- struct{}{}
					_, err = io.ReadAll(res.Body)
					assert.Error(t, err, "a broken answer looks complete")
					f.fails(t, proxy.ReasonTruncated)
				})
			}
		})
	}
}

func TestAnswerTrailers(t *testing.T) {
	for name, lines := range map[string][]string{"announced": {chunked, "Trailer: Grpc-Status, X-T"}, "not announced": {chunked}} {
		t.Run(name, func(t *testing.T) {
			onEachFront(t, func(t *testing.T, over frontOption) {
				backend := newRawBackend(t, func(c *rawConn) {
					for {
						if _, err := c.next(); err != nil {
							return
						}
						c.write(ok200 + header(lines...) + "2\r\nok\r\n0\r\nGrpc-Status: 0\r\nX-T: t\r\n\r\n")
					}
				})
				f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
				r, _ := f.request(t, "GET", "/", nil)
				res := f.do(t, r)
				assert.Equal(t, "ok", text(t, res))
				assert.Equal(t, http.Header{"Grpc-Status": {"0"}, "X-T": {"t"}}, res.Trailer)
			})
		})
	}
}

// TestRequestTrailers has both ways to an upstream: that of https and h2c is
// net/http's.
func TestRequestTrailers(t *testing.T) {
	for name, transport := range map[string]http.RoundTripper{"own": nil, "net/http": &http.Transport{}} {
		t.Run(name, func(t *testing.T) {
			onEachFront(t, func(t *testing.T, over frontOption) {
				backend := newRawBackend(t, serveOK)
				f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}, Transport: transport}, over)
				r, _ := f.request(t, "POST", "/p", struct{ io.Reader }{strings.NewReader("hello")})
				r.Trailer = http.Header{"X-T": {"t"}, "X-Forwarded-For": {"6.6.6.6"}, "X_forwarded_for": {"6.6.6.6"}, "Forwarded": {"for=6.6.6.6"}, "X-Real-Ip": {"6.6.6.6"}}
				require.Equal(t, "ok", text(t, f.do(t, r)))
				got := backend.got()
				require.Len(t, got, 1)
				assert.Equal(t, "hello", got[0].body)
				assert.Equal(t, []string{"X-T"}, got[0].values("Trailer"))
				assert.Equal(t, []string{"X-T: t"}, texts(got[0].trailer))
			})
		})
	}
}

// TestEarlyHints lets the upstream wait until the client has the interim answer.
func TestEarlyHints(t *testing.T) {
	onEachFront(t, func(t *testing.T, over frontOption) {
		arrived := make(chan struct{})
		backend := newRawBackend(t, func(c *rawConn) {
			if r, err := c.next(); err == nil {
				c.write("HTTP/1.1 103 Early Hints\r\n" + header("Link: </a.css>", "Connection: X-Secret", "X-Secret: s"))
				<-arrived
				c.ok(r)
			}
		})
		f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
		r, _ := f.request(t, "GET", "/", nil)
		hint := sync.OnceFunc(func() { close(arrived) })
		defer hint()
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				assert.Equal(t, 103, code)
				assert.Equal(t, textproto.MIMEHeader{"Link": {"</a.css>"}}, h)
				hint()
				return nil
			}}))
		res := f.do(t, r)
		assert.Equal(t, "ok", text(t, res))
		assert.Empty(t, res.Header["Link"], "what belongs to the interim answer stays there")
	})
}

// TestExpectContinue wants the upstream's word to be the only one: a proxy that
// says 100 by itself invites a body that nobody may want.
func TestExpectContinue(t *testing.T) {
	t.Run("relayed", func(t *testing.T) {
		backend := newRawBackend(t, serveCorpus)
		f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
		c := f.dial(t)
		c.send(post("", "Content-Length: 5", "Expect: 100-continue"))
		a, err := c.read()
		require.NoError(t, err)
		require.Equal(t, 100, a.StatusCode)
		c.send("hello")
		a, err = c.read()
		require.NoError(t, err)
		assert.Equal(t, 200, a.StatusCode)
		require.Len(t, backend.got(), 1)
		assert.Equal(t, "hello", backend.got()[0].body)
	})
	t.Run("refused", func(t *testing.T) {
		surplus := make(chan int64, 1)
		backend := newRawBackend(t, func(c *rawConn) {
			if _, err := c.head(); err == nil {
				c.write("HTTP/1.1 403 Forbidden\r\n" + header("Content-Length: 2") + "no")
				surplus <- c.drain()
			}
		})
		f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
		c := f.dial(t)
		c.send(post("", "Content-Length: 5", "Expect: 100-continue"))
		a, err := c.read()
		require.NoError(t, err)
		assert.Equal(t, 403, a.StatusCode, "and no 100 before it")
		assert.Equal(t, "no", a.body)
		select {
		case n := <-surplus:
			assert.Zero(t, n, "sent although nobody asked for it")
		case <-time.After(patience):
			require.Fail(t, "a connection is kept whose request was never completed")
		}
	})
}

func TestRequestBodies(t *testing.T) {
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(size, known), func(t *testing.T) {
				onEachFront(t, func(t *testing.T, over frontOption) {
					backend := newRawBackend(t, serveOK)
					f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
					body := noise(size)
					r, _ := f.request(t, "POST", "/p", bytes.NewReader(body))
					if !known {
						r, _ = f.request(t, "POST", "/p", struct{ io.Reader }{bytes.NewReader(body)})
					}
					require.Equal(t, "ok", text(t, f.do(t, r)))
					got := backend.got()
					require.Len(t, got, 1)
					assert.True(t, string(body) == got[0].body, "another body")
					if known {
						assert.Equal(t, []string{fmt.Sprint(size)}, got[0].values("Content-Length"))
					}
				})
			})
		}
	}
}

// noise is n bytes without a pattern that a wrong offset could hide behind.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// TestFullDuplex talks in turns within one exchange: each piece is sent only
// after the echo of the one before.
func TestFullDuplex(t *testing.T) {
	onEachFront(t, func(t *testing.T, over frontOption) {
		backend := newRawBackend(t, func(c *rawConn) {
			r, err := c.head()
			if err != nil {
				return
			}
			c.write(ok200 + header(chunked))
			for {
				r.body = ""
				n, err := c.chunk(r)
				if err != nil || n == 0 {
					break
				}
				c.write(fmt.Sprintf("%x\r\n%s\r\n", n, r.body))
			}
			c.write("0\r\n\r\n")
		})
		f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}}, over)
		r, w, _ := f.upload(t, "/echo")
		converse(t, f.do(t, r), w)
	})
}

// converse says something, hears it back, and says the next thing.
func converse(t *testing.T, res *http.Response, w io.WriteCloser) {
	t.Helper()
	for _, word := range []string{"one", "two", "three"} {
		_, err := io.WriteString(w, word)
		require.NoError(t, err)
		heard := make([]byte, len(word))
		_, err = io.ReadFull(res.Body, heard)
		require.NoError(t, err)
		assert.Equal(t, word, string(heard))
	}
	require.NoError(t, w.Close())
	assert.Empty(t, text(t, res))
}

// TestSlowBody stops in the middle of a body.
func TestSlowBody(t *testing.T) {
	for name, raw := range map[string]string{"length": post("he", "Content-Length: 5"), "chunked": post("5\r\nhe", chunked), "large": post("he", "Content-Length: 1000000")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := newRawBackend(t, serveOK)
			f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}, Timeouts: proxy.Timeouts{Idle: 100 * time.Millisecond}})
			heard := exchange(t, f, raw)
			assert.Equal(t, "408", heard.outcome(len(backend.got())))
			f.fails(t, proxy.ReasonClientSlow)
			for _, e := range f.failed() {
				assert.Equal(t, proxy.StageClientBody, e.Stage)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	for size, want := range map[int]int{10: 200, 11: 413, 1 << 20: 413} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(size, known), func(t *testing.T) {
				onEachFront(t, func(t *testing.T, over frontOption) {
					backend := newRawBackend(t, serveOK)
					f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}, Limits: proxy.Limits{RequestBody: 10}}, over)
					r, _ := f.request(t, "POST", "/p", bytes.NewReader(noise(size)))
					if !known {
						r, _ = f.request(t, "POST", "/p", struct{ io.Reader }{bytes.NewReader(noise(size))})
					}
					assert.Equal(t, want, f.do(t, r).StatusCode)
					assert.Equal(t, want == 200, len(backend.got()) == 1, "a refused request does not arrive whole, an accepted one does")
					if want != 200 {
						f.fails(t, proxy.ReasonBodyTooLarge)
					}
				})
			})
		}
	}
}

func TestUnixSocketUpstream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	backend := newRawBackendOn(t, l, "unix:"+path, serveOK)
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	for range 2 {
		r, _ := f.request(t, "POST", "/p", strings.NewReader("hello"))
		assert.Equal(t, "ok", text(t, f.do(t, r)))
	}
	got := backend.got()
	require.Len(t, got, 2)
	assert.Equal(t, got[0].conn, got[1].conn, "connections to a socket are kept, too")
	checkHop(t, got[0], "good.test")
}

// TestH2CUpstream is gRPC without gRPC: both directions at once, trailers, and
// TE: trailers, without which a gRPC server refuses to answer.
func TestH2CUpstream(t *testing.T) {
	onEachFront(t, func(t *testing.T, over frontOption) {
		upstream := startUpstream(t, func(s *httptest.Server) {
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
		}, echoLikeGRPC)
		f := startProxy(t, proxy.Config{Upstreams: []string{"h2c://" + upstream.Listener.Addr().String()}}, over)
		r, w, _ := f.upload(t, "/svc/Method")
		r.Header.Set("Te", "trailers")
		res := f.do(t, r)
		assert.Equal(t, "HTTP/2.0 127.0.0.1 trailers", res.Header.Get("X-Seen"))
		converse(t, res, w)
		assert.Equal(t, http.Header{"Grpc-Status": {"0"}, "Grpc-Message": {""}}, res.Trailer)
	})
}

func echoLikeGRPC(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "Grpc-Status")
	w.Header().Set("X-Seen", strings.Join([]string{r.Proto, r.Header.Get("X-Forwarded-For"), r.Header.Get("Te")}, " "))
	flow := http.NewResponseController(w)
	_ = flow.Flush()
	for b := make([]byte, 100); ; {
		n, err := r.Body.Read(b)
		_, _ = w.Write(b[:n])
		_ = flow.Flush()
		if err != nil {
			break
		}
	}
	w.Header().Set("Grpc-Status", "0")
	w.Header().Set(http.TrailerPrefix+"Grpc-Message", "")
}

// startUpstream serves a handler for as long as the test lasts.
func startUpstream(t *testing.T, option frontOption, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	option(s)
	if s.EnableHTTP2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func TestHTTPSUpstream(t *testing.T) {
	upstream := startUpstream(t, overHTTP2, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.Proto+" "+r.Host+" "+r.Header.Get("X-Forwarded-Proto"))
	})
	t.Run("known", func(t *testing.T) {
		f := startProxy(t, proxy.Config{Upstreams: []string{upstream.URL}, Transport: upstream.Client().Transport})
		r, _ := f.request(t, "GET", "/", nil)
		res := f.do(t, r)
		assert.Equal(t, 200, res.StatusCode)
		assert.Equal(t, "HTTP/2.0 good.test http", res.Header.Get("X-Seen"))
	})
	t.Run("of an unknown authority", func(t *testing.T) {
		f := startProxy(t, proxy.Config{Upstreams: []string{upstream.URL}})
		r, _ := f.request(t, "GET", "/", nil)
		assert.Equal(t, 502, f.do(t, r).StatusCode)
		f.fails(t, proxy.ReasonTLS)
	})
}

// The handshake of RFC 6455 §1.3.
const (
	wsKey    = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	wsAccept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	switched = "HTTP/1.1 101 Switching Protocols\r\n"
)

// wsRequest asks for a WebSocket.
func wsRequest() string {
	return get("/ws", "Connection: keep-alive, Upgrade", websocket, "Sec-WebSocket-Version: 13", wsKey)
}

// TestWebSocket is a tunnel: bytes in both directions, those that came with the
// heads included, and each direction ends on its own.
func TestWebSocket(t *testing.T) {
	backend := newRawBackend(t, func(c *rawConn) {
		if _, err := c.next(); err != nil {
			return
		}
		c.write(switched + header("Connection: Upgrade, X-Secret", websocket, wsAccept, "X-Secret: s", "Keep-Alive: timeout=5", "X-A: 1") + "early")
		_, _ = io.Copy(c.Conn, c.in)
		c.write("bye")
	})
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	c := f.dial(t)
	c.send(wsRequest() + "eager")
	a, err := c.read()
	require.NoError(t, err)
	require.Equal(t, 101, a.StatusCode)
	assert.Equal(t, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, "X-A": {"1"}}, a.Header)

	sent := noise(1 << 20)
	var client sync.WaitGroup
	client.Go(func() {
		c.send(string(sent))
		_ = c.CloseWrite()
	})
	heard, err := io.ReadAll(c.in)
	client.Wait()
	require.NoError(t, err)
	assert.True(t, "earlyeager"+string(sent)+"bye" == string(heard), "other bytes, or others than all")

	got := backend.got()
	require.Len(t, got, 1)
	checkHop(t, got[0], "good.test")
	assert.Equal(t, []string{"Connection: Upgrade", "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Version: 13", "Upgrade: websocket"}, endToEnd(got[0]))
}

// TestWebSocketHalfClosed lets the upstream end its direction first.
func TestWebSocketHalfClosed(t *testing.T) {
	heard := make(chan string, 1)
	backend := newRawBackend(t, func(c *rawConn) {
		if _, err := c.next(); err == nil {
			c.write(switched + header("Connection: Upgrade", websocket, wsAccept) + "bye")
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			rest, _ := io.ReadAll(c.in)
			heard <- string(rest)
		}
	})
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	c := f.dial(t)
	c.send(wsRequest())
	_, err := c.read()
	require.NoError(t, err)
	last, err := io.ReadAll(c.in)
	require.NoError(t, err)
	assert.Equal(t, "bye", string(last))
	c.send("and another thing")
	require.NoError(t, c.CloseWrite())
	select {
	case rest := <-heard:
		assert.Equal(t, "and another thing", rest)
	case <-time.After(patience):
		require.Fail(t, "in vain: the client's last words")
	}
}

func TestWebSocketIdle(t *testing.T) {
	backend := newRawBackend(t, func(c *rawConn) {
		if _, err := c.next(); err == nil {
			c.write(switched + header("Connection: Upgrade", websocket, wsAccept))
			c.drain()
		}
	})
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}, Timeouts: proxy.Timeouts{Tunnel: 50 * time.Millisecond}})
	c := f.dial(t)
	c.send(wsRequest())
	_, err := c.read()
	require.NoError(t, err)
	_, err = c.in.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
}

// TestWebSocketRefused has upstreams that do something else than to switch as
// they were asked to. Whatever they send, no byte of it may reach the client as
// the content of a tunnel, and their connection serves nobody else.
func TestWebSocketRefused(t *testing.T) {
	for _, row := range []struct{ name, request, answer, want string }{
		{"wrong accept", wsRequest(), switched + header("Connection: Upgrade", websocket, "Sec-WebSocket-Accept: AAAA") + "evil", "502"},
		{"no accept", wsRequest(), switched + header("Connection: Upgrade", websocket) + "evil", "502"},
		{"another protocol", wsRequest(), switched + header("Connection: Upgrade", "Upgrade: h2c", wsAccept) + "evil", "502"},
		{"no protocol", wsRequest(), switched + header("Connection: Upgrade", wsAccept) + "evil", "502"},
		{"two protocols", wsRequest(), switched + header("Connection: Upgrade", "Upgrade: websocket, h2c", wsAccept) + "evil", "502"},
		{"nobody asked", get("/ws"), switched + header("Connection: Upgrade", websocket, wsAccept) + "evil", "502"},
		{"nobody gave a key", get("/ws", "Connection: Upgrade", websocket), switched + header("Connection: Upgrade", websocket) + "evil", "400|502"},
		{"two keys", get("/ws", "Connection: Upgrade", websocket, wsKey, wsKey), switched + header("Connection: Upgrade", websocket) + "evil", "400|502"},
		{"not found", wsRequest(), "HTTP/1.1 404 Not Found\r\n" + header("Content-Length: 0"), "404"},
		{"an answer instead", wsRequest(), ok200 + header("Connection: Upgrade", websocket, wsAccept, "Content-Length: 0"), "200"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ac := answerCase{answer: row.answer}
			backend := newRawBackend(t, ac.serve)
			f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
			heard := exchange(t, f, row.request)
			require.NotEmpty(t, heard.answers)
			assert.Contains(t, strings.Split(row.want, "|"), fmt.Sprint(heard.answers[0].StatusCode))
			assert.NotContains(t, heard.answers[0].body, "evil")
			assert.Empty(t, heard.answers[0].Header["Upgrade"])
			if heard.open {
				backend.freshForProbe(t)
			}
		})
	}
}
