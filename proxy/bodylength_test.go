package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// behind puts a handler in front of the proxy; call it before the first request.
func (g *gate) behind(wrap func(http.Handler) http.Handler) {
	g.server.Config.Handler = wrap(g.Proxy)
}

// exchangingBody is a handler in front that puts another body in the place of
// the one that came, and leaves its length as it was.
func exchangingBody(other func(io.Reader) io.Reader) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Body != http.NoBody {
				r.Body = io.NopCloser(other(r.Body))
			}
			next.ServeHTTP(w, r)
		})
	}
}

// smuggled is what nobody has asked for.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n"

// What comes behind the announced end of a body would be a request of its own,
// with whatever it says of its client.
func TestBodyLongerThanItsLength(t *testing.T) {
	for _, size := range []int{10, bufferSize, 100_000, 1 << 20} {
		targets := make(chan string, 8)
		b := newBackend(t, func(c *backendConn) {
			for r := c.next(); r != nil; r = c.next() {
				targets <- r.RequestURI
				c.reply(r.RequestURI)
			}
		})
		g := newGate(t, Config{Upstreams: []string{b.url()}})
		g.behind(exchangingBody(func(r io.Reader) io.Reader { return io.MultiReader(r, strings.NewReader(smuggled)) }))
		v := g.visit(t, fmt.Sprintf("POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)))
		v.answer("POST")
		_, text := g.ask(t, "GET", "/victim", "")
		assert.Equal(t, "/victim", text, size)
		b.stop()
		close(targets)
		for target := range targets {
			assert.Contains(t, []string{"/post", "/victim"}, target, size)
		}
		assert.Zero(t, g.Status().Upstreams[0].Failures, "a handler of this program's did it")
		for _, e := range g.failures() {
			assert.Equal(t, ReasonMalformedBody, e.Reason(), size)
		}
	}
}

// With too short a body the next request on the connection would be the rest
// of it, also when the upstream has answered already.
func TestBodyShorterThanItsLength(t *testing.T) {
	b := newBackend(t, answeringEarly)
	g := newGate(t, Config{Upstreams: []string{b.url()}, Retry: Retry{MaxBody: -1}, Timeouts: Timeouts{Head: 2 * time.Second}})
	g.behind(exchangingBody(func(io.Reader) io.Reader { return strings.NewReader("short") }))
	v := g.visit(t, "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 60\r\n\r\n"+strings.Repeat("x", 60))
	v.answer("POST")
	status, text := g.ask(t, "GET", "/victim-whose-request-line-is-longer-than-what-is-left-of-the-body", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "/victim-whose-request-line-is-longer-than-what-is-left-of-the-body", text)
	assert.EqualValues(t, 2, b.dials.Load(), "the first connection is of no more use")
	assert.Zero(t, g.Status().Upstreams[0].Failures)
}

// answeringEarly answers when five bytes of a body have come, and reads the rest.
func answeringEarly(c *backendConn) {
	for {
		r, err := http.ReadRequest(c.r)
		if err != nil {
			return
		}
		io.CopyN(io.Discard, r.Body, 5)
		time.Sleep(10 * time.Millisecond) // in which the sender comes to the end of what it has
		c.reply(r.RequestURI)
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
	}
}

func TestRoundTripOfABodyOfAnotherLength(t *testing.T) {
	for name, body := range map[string]string{"short": "short", "long": strings.Repeat("x", 60) + smuggled} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, answeringEarly)
			rt := newTripper(t, TransportConfig{Timeouts: Timeouts{Head: 2 * time.Second}})
			r := request(t, "POST", b.url()+"/post", nil)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), 60
			if resp, err := rt.RoundTrip(r); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			} else {
				assert.ErrorIs(t, err, errLength)
				assert.Equal(t, StageClientBody, asError(t, err).Stage)
			}
			assert.Equal(t, "/victim", fetched(t, rt, b.url()+"/victim"))
			assert.EqualValues(t, 2, b.dials.Load())
		})
	}
}

// A handler in front may read the body and put it back, whatever kind of reader
// it uses for it: the client's connection lives on.
func TestBodyPutBack(t *testing.T) {
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"as a string":     func(r io.Reader) io.Reader { return r },
		"byte by byte":    iotest.OneByteReader,
		"end at once":     iotest.DataErrReader,
		"by halves":       iotest.HalfReader,
		"with a long end": func(r io.Reader) io.Reader { return io.MultiReader(r, strings.NewReader(""), strings.NewReader("")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(c *backendConn) {
				for r := c.next(); r != nil; r = c.next() {
					c.reply(r.body)
				}
			})
			g := newGate(t, Config{Upstreams: []string{b.url()}})
			g.behind(exchangingBody(func(src io.Reader) io.Reader {
				all, err := io.ReadAll(src)
				assert.NoError(t, err)
				return reader(strings.NewReader(string(all)))
			}))
			const post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
			v := g.visit(t, post+post)
			for range 2 {
				resp, text, err := v.answer("POST")
				require.NoError(t, err)
				assert.Equal(t, "hello", text)
				assert.False(t, resp.Close)
			}
			assert.Empty(t, g.failures())
		})
	}
}

// A body of which everything announced was sent needs no look at its end:
// http.Client's readers say it only when they are asked once more.
func TestConnectionAfterAWholeBody(t *testing.T) {
	b := newBackend(t, serving)
	rt := newTripper(t, TransportConfig{})
	for range 20 { // the answer may overtake the note that all was sent, but not every time
		r := request(t, "POST", b.url(), nil)
		ended := make(chan struct{})
		r.Body, r.ContentLength = &openEnded{Reader: bytes.NewReader([]byte("hello")), ended: ended}, 5
		resp, err := rt.RoundTrip(r)
		require.NoError(t, err)
		whole(t, resp)
		close(ended)
	}
	assert.Less(t, b.dials.Load(), int32(20))
}

// openEnded has data, and no end until it is closed.
type openEnded struct {
	*bytes.Reader
	ended chan struct{}
}

func (b *openEnded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		<-b.ended
	}
	return n, err
}

func (b *openEnded) Close() error { return nil }
