package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newTripper is a transport for tests; its connections are closed at the end.
func newTripper(t testing.TB, cfg TransportConfig) *transport {
	rt := NewTransport(cfg).(*transport)
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	return r
}

// fetched is the body of a GET, which must succeed.
func fetched(t testing.TB, rt http.RoundTripper, url string) string {
	t.Helper()
	resp, err := rt.RoundTrip(request(t, "GET", url, nil))
	require.NoError(t, err)
	return whole(t, resp)
}

func whole(t testing.TB, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	return e
}

func TestRoundTripBodies(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 20_000)
	for name, answer := range map[string]string{
		"by length":      fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(large), large),
		"chunked":        fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n1\r\n%s\r\n0\r\n\r\n", len(large)-1, large[:len(large)-1], large[len(large)-1:]),
		"up to the end":  "HTTP/1.1 200 OK\r\n\r\n" + large,
		"of HTTP/1.0":    "HTTP/1.0 200 OK\r\n\r\n" + large,
		"in odd headers": "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 320000\r\n\r\n" + large,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(c *backendConn) {
				for r := c.next(); r != nil; r = c.next() {
					assert.Equal(t, "/x?y", r.RequestURI)
					c.say(answer)
					if !strings.Contains(strings.ToLower(answer), "content-length") && !strings.Contains(answer, "chunked") {
						return
					}
				}
			})
			rt := newTripper(t, TransportConfig{})
			for range 2 {
				assert.True(t, fetched(t, rt, b.url()+"/x?y") == large)
			}
		})
	}
}

func TestRoundTripConnections(t *testing.T) {
	for name, row := range map[string]struct {
		answer string
		method string
		dials  int32
	}{
		"kept":                        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", 1},
		"kept without a body":         {"HTTP/1.1 204 No Content\r\n\r\n", "GET", 1},
		"kept after HEAD":             {"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", "HEAD", 1},
		"kept with HTTP/1.0":          {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", "GET", 1},
		"closed if so asked":          {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "GET", 3},
		"closed with two framings":    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "GET", 3},
		"closed with bytes behind it": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", "GET", 3},
		"closed with a body of HEAD":  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HEAD", 3},
		"closed with a body of 204":   {"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", "GET", 3},
		"closed with HTTP/1.0":        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(c *backendConn) {
				for c.next() != nil {
					c.say(row.answer)
				}
			})
			rt := newTripper(t, TransportConfig{})
			for range 3 {
				resp, err := rt.RoundTrip(request(t, row.method, b.url(), nil))
				require.NoError(t, err)
				whole(t, resp)
			}
			assert.Equal(t, row.dials, b.dials.Load())
		})
	}
}

func TestRoundTripResponse(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		c.next()
		c.say("HTTP/1.1 404 Nothing Here\r\nServer: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Late\r\nA: 1\r\nA: 2\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Length: 7\r\n\r\n")
		c.gone()
	})
	r := request(t, "GET", b.url(), nil)
	resp, err := newTripper(t, TransportConfig{}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, "404 Not Found", resp.Status)
	assert.Equal(t, 404, resp.StatusCode)
	assert.Equal(t, "HTTP/1.1", resp.Proto)
	assert.EqualValues(t, -1, resp.ContentLength)
	assert.Equal(t, []string{"chunked"}, resp.TransferEncoding)
	assert.Equal(t, http.Header{"Server": {"x"}, "A": {"1", "2"}}, resp.Header)
	assert.Equal(t, http.Header{"X-Sum": nil, "X-Late": nil}, resp.Trailer)
	assert.Same(t, r, resp.Request)
	assert.Equal(t, "ok", whole(t, resp))
	assert.Equal(t, http.Header{"X-Sum": {"9"}}, resp.Trailer, "the client's address is not told by a trailer, and no framing")
}

// What is written is what net/http would write.
func TestRoundTripRequest(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"plain":    {func(r *http.Request) {}, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n"},
		"host":     {func(r *http.Request) { r.Host = "www.example.com" }, "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"},
		"method":   {func(r *http.Request) { r.Method = "" }, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n"},
		"no agent": {func(r *http.Request) { r.Header.Set("User-Agent", "") }, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n"},
		"header":   {func(r *http.Request) { r.Header = nil }, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n"},
		"ours": {func(r *http.Request) {
			r.Header = http.Header{"Content-Length": {"7"}, "Transfer-Encoding": {"chunked"}, "Connection": {"x"}, "Host": {"y"}, "Trailer": {"z"}}
		}, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n"},
		"empty body": {func(r *http.Request) { r.Method, r.Body = "POST", http.NoBody }, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n"},
		"unknown length": {func(r *http.Request) { r.Method, r.Body = "POST", io.NopCloser(strings.NewReader("hello")) },
			"POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		"length": {func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("hello")), 5
		}, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\nhello"},
		"trailer": {func(r *http.Request) {
			r.Method, r.Body, r.ContentLength, r.Trailer = "POST", io.NopCloser(strings.NewReader("hello")), 5, http.Header{"X-Sum": {"1"}}
		}, "POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			b := newBackend(t, func(c *backendConn) {
				var text bytes.Buffer
				c.r = bufio.NewReader(io.TeeReader(c.Conn, &text))
				c.next()
				got <- text.String()
				c.reply("")
			})
			r := request(t, "GET", b.url()+"/", nil)
			row.change(r)
			resp, err := newTripper(t, TransportConfig{}).RoundTrip(r)
			require.NoError(t, err)
			whole(t, resp)
			want := row.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, b.addr())
			}
			assert.Equal(t, want, <-got)
		})
	}
}

// What net/http's Transport refuses is no request here, either.
func TestRoundTripRefuses(t *testing.T) {
	dialled := func(_ context.Context, network, addr string) (net.Conn, error) {
		t.Errorf("%s %s was dialled", network, addr)
		return nil, errors.New("not here")
	}
	for name, r := range map[string]*http.Request{
		"no URL":     {Method: "GET", Header: http.Header{}},
		"no scheme":  {Method: "GET", Header: http.Header{}, URL: &url.URL{Host: "h", Path: "/"}},
		"ftp":        {Method: "GET", Header: http.Header{}, URL: &url.URL{Scheme: "ftp", Host: "h", Path: "/"}},
		"no host":    {Method: "GET", Header: http.Header{}, URL: &url.URL{Scheme: "http", Path: "/"}},
		"bad method": {Method: "G T", Header: http.Header{}, URL: &url.URL{Scheme: "http", Host: "h", Path: "/"}},
	} {
		t.Run(name, func(t *testing.T) {
			body := &closing{Reader: strings.NewReader("x")}
			r.Body = body
			resp, err := newTripper(t, TransportConfig{Dial: dialled}).RoundTrip(r)
			assert.Error(t, err)
			assert.Nil(t, resp)
			assert.True(t, body.closed.Load(), "the body is closed, always")
		})
	}
}

// A closing body knows that it was closed.
type closing struct {
	io.Reader
	closed atomic.Bool
}

func (c *closing) Close() error {
	c.closed.Store(true)
	return nil
}

func TestRoundTripClosesTheRequestBody(t *testing.T) {
	b := newBackend(t, serving)
	rt := newTripper(t, TransportConfig{})
	good, bad := &closing{Reader: strings.NewReader("x")}, &closing{Reader: strings.NewReader("x")}
	resp, err := rt.RoundTrip(request(t, "POST", b.url()+"/", good))
	require.NoError(t, err)
	assert.Equal(t, "POST /", whole(t, resp))
	assert.True(t, good.closed.Load())
	b.stop()
	_, err = rt.RoundTrip(request(t, "POST", b.url()+"/", bad))
	assert.Error(t, err)
	assert.True(t, bad.closed.Load())
}

// A body that cannot be read is the caller's error, with the caller's words.
func TestRoundTripBrokenRequestBody(t *testing.T) {
	own := errors.New("the disk is gone")
	b := newBackend(t, func(c *backendConn) { assert.Nil(t, c.next(), "half a request is none") })
	body := io.MultiReader(strings.NewReader("half"), tripReader(func([]byte) (int, error) { return 0, own }))
	_, err := newTripper(t, TransportConfig{}).RoundTrip(request(t, "POST", b.url(), body))
	assert.ErrorIs(t, err, own)
	assert.Equal(t, StageClientBody, asError(t, err).Stage)
}

type tripReader func(p []byte) (int, error)

func (f tripReader) Read(p []byte) (int, error) { return f(p) }

// Close ends a read that another goroutine waits in, at any time.
func TestRoundTripCloseAtAnyTime(t *testing.T) {
	for name, start := range map[string]string{
		"by length":     "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome",
		"chunked":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n9\r\nm",
		"up to the end": "HTTP/1.1 200 OK\r\n\r\nsome",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(c *backendConn) {
				c.next()
				c.say(start)
				c.gone()
			})
			rt := newTripper(t, TransportConfig{})
			for _, reading := range []bool{true, false} {
				resp, err := rt.RoundTrip(request(t, "GET", b.url(), nil))
				require.NoError(t, err)
				ended := make(signal)
				if reading {
					_, err = io.ReadFull(resp.Body, make([]byte, 4))
					require.NoError(t, err)
				}
				go func() {
					defer close(ended)
					n, err := io.Copy(io.Discard, resp.Body)
					assert.Error(t, err, "an end that was not reached is not told as one")
					assert.LessOrEqual(t, n, int64(5))
				}()
				assert.NoError(t, resp.Body.Close())
				ended.wait(t, "the end of the read")
				_, err = resp.Body.Read(make([]byte, 1))
				assert.Error(t, err)
				assert.NoError(t, resp.Body.Close(), "again")
			}
			eventually(t, "the end of the connections", func() bool { return b.open.Load() == 0 })
		})
	}
}

// Many at once, to find races.
func TestRoundTripConcurrently(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for r := c.next(); r != nil; r = c.next() {
			c.reply(r.RequestURI + strings.Repeat("x", 100))
		}
	})
	rt := newTripper(t, TransportConfig{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				path := fmt.Sprintf("/%d/%d", i, j)
				resp, err := rt.RoundTrip(request(t, "GET", b.url()+path, nil))
				if !assert.NoError(t, err) {
					return
				}
				if j%4 == 0 {
					go resp.Body.Close()
				}
				body, err := io.ReadAll(resp.Body)
				if j%4 != 0 {
					assert.NoError(t, err)
					assert.True(t, strings.HasPrefix(string(body), path+"x"), "no answer goes to another")
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
}

func TestRoundTripContext(t *testing.T) {
	arrived, late := make(signal, 3), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
	b := newBackend(t, func(c *backendConn) {
		r := c.next()
		if r.URL.Path == "/body" {
			c.say(late)
		}
		arrived <- struct{}{}
		c.gone()
	})
	rt := newTripper(t, TransportConfig{})
	t.Run("in the head", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		_, err := rt.RoundTrip(request(t, "GET", b.url()+"/head", nil).WithContext(ctx))
		assert.ErrorIs(t, err, context.Canceled)
		assert.Positive(t, asError(t, err).Sent)
	})
	t.Run("in the body", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		resp, err := rt.RoundTrip(request(t, "GET", b.url()+"/body", nil).WithContext(ctx))
		require.NoError(t, err)
		own := errors.New("enough")
		cancel(own)
		_, err = io.ReadAll(resp.Body)
		assert.ErrorIs(t, err, own)
		resp.Body.Close()
	})
	t.Run("before anything", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := rt.RoundTrip(request(t, "GET", b.url()+"/never", nil).WithContext(ctx))
		assert.ErrorIs(t, err, context.Canceled)
	})
	t.Run("in time", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := (&http.Client{Transport: rt}).Do(request(t, "GET", b.url()+"/head", nil).WithContext(ctx))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		var timeout net.Error
		assert.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
	})
	eventually(t, "the end of the connections", func() bool { return b.open.Load() == 0 })
}

func TestRoundTripInformational(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		c.next()
		c.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
		c.reply("ok")
		c.gone()
	})
	var seen []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		seen = append(seen, fmt.Sprint(code, h["Link"]))
		return nil
	}}
	r := request(t, "GET", b.url(), nil)
	rt := newTripper(t, TransportConfig{})
	resp, err := rt.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	require.NoError(t, err)
	assert.Equal(t, "ok", whole(t, resp))
	assert.Equal(t, []string{"103 [</a>]", "102 []"}, seen)

	enough := errors.New("enough")
	trace.Got1xxResponse = func(int, textproto.MIMEHeader) error { return enough }
	_, err = newTripper(t, TransportConfig{}).RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	assert.ErrorIs(t, err, enough)
}

func TestRoundTripExpect(t *testing.T) {
	t.Run("wanted", func(t *testing.T) {
		b := newBackend(t, func(c *backendConn) {
			r, err := http.ReadRequest(c.r)
			require.NoError(t, err)
			assert.Equal(t, "100-continue", r.Header.Get("Expect"))
			assert.Zero(t, c.r.Buffered(), "the body waits")
			c.say("HTTP/1.1 100 Continue\r\n\r\n")
			body, _ := io.ReadAll(r.Body)
			c.reply(string(body))
		})
		r := request(t, "POST", b.url(), strings.NewReader("hello"))
		r.Header.Set("Expect", "100-continue")
		resp, err := newTripper(t, TransportConfig{}).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, "hello", whole(t, resp))
	})
	t.Run("not wanted", func(t *testing.T) {
		b := newBackend(t, func(c *backendConn) {
			http.ReadRequest(c.r)
			c.say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
			n, _ := io.Copy(io.Discard, c.r)
			assert.Zero(t, n, "the body is never sent, and nothing else goes over the connection")
		})
		rt := newTripper(t, TransportConfig{})
		for range 2 {
			r := request(t, "POST", b.url(), strings.NewReader("hello"))
			r.Header.Set("Expect", "100-continue")
			resp, err := rt.RoundTrip(r)
			require.NoError(t, err)
			assert.Equal(t, 417, resp.StatusCode)
			whole(t, resp)
		}
		assert.EqualValues(t, 2, b.dials.Load())
	})
}

// A connection may be closed by the upstream just when it is used again. Then
// the request is sent once more, if that can do no harm.
func TestRoundTripStale(t *testing.T) {
	for _, row := range []struct {
		method, body string
		again        bool
	}{{"GET", "", true}, {"PUT", "hello", true}, {"DELETE", "", true}, {"POST", "hello", false}, {"POST", "", false}, {"PATCH", "hello", false}} {
		t.Run(row.method+row.body, func(t *testing.T) {
			b := newBackend(t, func(c *backendConn) {
				r := c.next()
				c.reply("ok")
				if r != nil && c.n == 1 {
					c.next() // taken, and not answered
					return
				}
				c.gone()
			})
			rt := newTripper(t, TransportConfig{})
			fetched(t, rt, b.url())
			resp, err := rt.RoundTrip(request(t, row.method, b.url(), strings.NewReader(row.body)))
			if !row.again {
				assert.Equal(t, ReasonConnectionLost, asError(t, err).Reason())
				assert.EqualValues(t, 1, b.dials.Load(), "never twice")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "ok", whole(t, resp))
			assert.EqualValues(t, 2, b.dials.Load())
		})
	}
}

// A body that can be had only once is sent only once.
func TestRoundTripStaleWithoutGetBody(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		if c.next() != nil {
			c.reply("ok")
		}
		c.next()
	})
	rt := newTripper(t, TransportConfig{})
	fetched(t, rt, b.url())
	r := request(t, "PUT", b.url(), io.NopCloser(strings.NewReader("hello")))
	require.Nil(t, r.GetBody)
	_, err := rt.RoundTrip(r)
	assert.Equal(t, ReasonConnectionLost, asError(t, err).Reason())
	assert.EqualValues(t, 1, b.dials.Load())
}

// A lost connection that was new is no stale one: the request may have killed
// the upstream, and is not sent again.
func TestRoundTripLostAtOnce(t *testing.T) {
	b := newBackend(t, func(c *backendConn) { c.next() })
	_, err := newTripper(t, TransportConfig{}).RoundTrip(request(t, "GET", b.url(), nil))
	e := asError(t, err)
	assert.Equal(t, ReasonConnectionLost, e.Reason())
	assert.Equal(t, b.addr(), e.Upstream)
	assert.EqualValues(t, 1, b.dials.Load())
}

// Bytes that come while nobody has asked are not the next one's answer: a 408
// on an idle connection is common, a planted answer is an attack.
func TestUnaskedBytesAreNoAnswer(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			more := make(chan bool)
			b := newBackend(t, func(c *backendConn) {
				c.next()
				c.reply("ok")
				if c.n == 1 {
					<-more
					c.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil")
					more <- true
				}
				c.gone()
			})
			rt := newTripper(t, TransportConfig{})
			assert.Equal(t, "ok", fetched(t, rt, b.url()))
			more <- true
			<-more
			p := rt.client("tcp", b.addr()).pool
			eventually(t, "the bytes", func() bool { return p.idle() == 1 && p.conns[0].dead() })
			resp, err := rt.RoundTrip(request(t, method, b.url(), nil))
			require.NoError(t, err)
			assert.Equal(t, 200, resp.StatusCode)
			assert.Equal(t, "ok", whole(t, resp))
			assert.EqualValues(t, 2, b.dials.Load())
		})
	}
}

// A connection on which a read was allowed less time than it then stayed
// unused is still a good one.
func TestReuseAfterAShortTimeout(t *testing.T) {
	b := newBackend(t, serving)
	rt := newTripper(t, TransportConfig{Timeouts: Timeouts{Head: 200 * time.Millisecond, Idle: 200 * time.Millisecond}})
	for range 2 {
		resp, err := rt.RoundTrip(request(t, "POST", b.url()+"/", nil))
		require.NoError(t, err)
		assert.Equal(t, "POST /", whole(t, resp))
		time.Sleep(250 * time.Millisecond)
	}
	assert.EqualValues(t, 1, b.dials.Load())
}

func TestCloseIdleConnections(t *testing.T) {
	b := newBackend(t, serving)
	rt := newTripper(t, TransportConfig{})
	c := http.Client{Transport: rt}
	get := func() {
		resp, err := c.Get(b.url() + "/")
		require.NoError(t, err)
		assert.Equal(t, "GET /", whole(t, resp))
	}
	get()
	c.CloseIdleConnections()
	eventually(t, "the end of the connection", func() bool { return b.open.Load() == 0 })
	get()
	get()
	assert.EqualValues(t, 2, b.dials.Load(), "a transport goes on afterwards, and keeps connections again")
}

func TestRoundTripSwitches(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		r := c.next()
		assert.Equal(t, "Upgrade", r.Header.Get("Connection"))
		assert.Equal(t, "echo", r.Header.Get("Upgrade"))
		c.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
		io.Copy(c, c.r)
	})
	r := request(t, "GET", b.url(), nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	resp, err := newTripper(t, TransportConfig{}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, 101, resp.StatusCode)
	conn := resp.Body.(io.ReadWriteCloser)
	io.WriteString(conn, "hello")
	conn.(interface{ CloseWrite() error }).CloseWrite()
	assert.Equal(t, "early hello", whole(t, resp))
}

// A RoundTripper may read a request's body after it has returned, until it
// closes it. What it reads then must not be another client's.
func TestKeptBodyIsNotReused(t *testing.T) {
	var late []io.ReadCloser
	var mu sync.Mutex
	rt := tripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		late = append(late, r.Body)
		return &http.Response{StatusCode: 200, Body: http.NoBody, ContentLength: 0, Header: http.Header{}}, nil
	})
	p, err := New(Config{Upstreams: []string{"http://h"}, Transport: rt})
	require.NoError(t, err)
	const n = 50
	body := func(i int) string { return strings.Repeat(string(rune('A'+i)), 1000) }
	for i := range n {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(body(i))))
		require.Equal(t, 200, w.Code)
	}
	for i, b := range late {
		got, err := io.ReadAll(b)
		assert.True(t, err != nil || string(got) == body(i), "request %d reads %.1s", i, got)
		b.Close()
	}
}

// https and h2c go through net/http, without compression.
func TestRoundTripOtherSchemes(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %q", r.Proto, r.Header.Get("Accept-Encoding"))
	})
	tls := httptest.NewUnstartedServer(h)
	tls.EnableHTTP2 = true
	tls.StartTLS()
	defer tls.Close()
	plain := httptest.NewUnstartedServer(h)
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	defer plain.Close()

	rt := newTripper(t, TransportConfig{TLS: tls.Client().Transport.(*http.Transport).TLSClientConfig})
	assert.Equal(t, `HTTP/2.0 ""`, fetched(t, rt, tls.URL))
	assert.Equal(t, `HTTP/2.0 ""`, fetched(t, rt, strings.Replace(plain.URL, "http:", "h2c:", 1)))
	rt.CloseIdleConnections()
}

// A village is an upstream without a network, in a bubble of its own time. It
// answers every request with the header that is set, and counts connections.
type village struct {
	field       atomic.Value
	dials, open atomic.Int32
}

func (v *village) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	v.dials.Add(1)
	v.open.Add(1)
	go func() {
		defer v.open.Add(-1)
		defer far.Close()
		r := bufio.NewReader(far)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\nok", v.field.Load())
		}
	}()
	return near, nil
}

func inVillage(t *testing.T, own time.Duration, field string, test func(t *testing.T, v *village, get func())) {
	synctest.Test(t, func(t *testing.T) {
		v := new(village)
		v.field.Store(field)
		rt := NewTransport(TransportConfig{Dial: v.dial, Timeouts: Timeouts{UpstreamIdle: own}}).(*transport)
		defer rt.CloseIdleConnections()
		test(t, v, func() {
			assert.Equal(t, "ok", fetched(t, rt, "http://village/"))
			synctest.Wait()
		})
	})
}

// This side closes first, to the nanosecond, as the upstream's own word or the
// default says.
func TestKeepAliveIsLearned(t *testing.T) {
	for _, row := range []struct {
		own   time.Duration
		field string
		lives time.Duration
	}{
		{0, "", 55 * time.Second},
		{0, "Keep-Alive: timeout=5, max=100\r\n", 4 * time.Second},
		{0, "Keep-Alive: timeout=75\r\n", 55 * time.Second},
		{2 * time.Second, "Keep-Alive: timeout=5\r\n", 2 * time.Second},
		{0, "Keep-Alive: timeout=2\r\n", time.Second},
		{-1, "Keep-Alive: timeout=600\r\n", 599 * time.Second},
	} {
		inVillage(t, row.own, row.field, func(t *testing.T, v *village, get func()) {
			get()
			for range 3 {
				time.Sleep(row.lives - 1)
				get()
			}
			assert.EqualValues(t, 1, v.dials.Load(), "used again until then: %v", row)
			time.Sleep(row.lives - 1)
			synctest.Wait()
			assert.EqualValues(t, 1, v.open.Load(), "%v", row)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			assert.Zero(t, v.open.Load(), "closed: %v", row)
			get()
			assert.EqualValues(t, 2, v.dials.Load())
		})
	}
}

// An upstream that keeps no connection for a second is not believed to.
func TestKeepAliveTooShort(t *testing.T) {
	for _, field := range []string{"Keep-Alive: timeout=1\r\n", "Keep-Alive: timeout=0\r\n"} {
		inVillage(t, 0, field, func(t *testing.T, v *village, get func()) {
			get()
			assert.Zero(t, v.open.Load())
			get()
			assert.EqualValues(t, 2, v.dials.Load())
		})
	}
}

// The last word counts.
func TestKeepAliveChanges(t *testing.T) {
	inVillage(t, 0, "Keep-Alive: timeout=30\r\n", func(t *testing.T, v *village, get func()) {
		get()
		v.field.Store("Keep-Alive: timeout=5\r\n")
		get()
		time.Sleep(4 * time.Second)
		get()
		assert.EqualValues(t, 2, v.dials.Load())
	})
}

func TestRoundTripHeadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				io.Copy(io.Discard, far)
				far.Close()
			}()
			return near, nil
		}
		rt := newTripper(t, TransportConfig{Dial: dial, Timeouts: Timeouts{Head: 8 * time.Second}})
		start := time.Now()
		_, err := rt.RoundTrip(request(t, "GET", "http://h/", nil))
		e := asError(t, err)
		assert.Equal(t, ReasonAnswerTimeout, e.Reason())
		assert.Equal(t, StageReadHead, e.Stage)
		assert.GreaterOrEqual(t, time.Since(start), 8*time.Second)
		assert.LessOrEqual(t, time.Since(start), 9*time.Second)
	})
}

func TestRoundTripDialTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		_, err := newTripper(t, TransportConfig{Dial: dial}).RoundTrip(request(t, "GET", "http://h/", nil))
		e := asError(t, err)
		assert.Equal(t, ReasonConnectTimeout, e.Reason())
		assert.Equal(t, StageDial, e.Stage)
		assert.Zero(t, e.Sent)
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}
