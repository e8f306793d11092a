package proxy

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// wrapping makes connections that the system's calls do not reach.
func wrapping(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return struct{ net.Conn }{conn}, err
}

// What an upstream says unasked is nobody's answer, and neither is the end of a
// connection: also where that can be found out only by reading.
func TestUnaskedBytesAreNobodysAnswer(t *testing.T) {
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){"TCP": nil, "wrapped": wrapping} {
		t.Run(name, func(t *testing.T) {
			said := make(signal, 2)
			b := newBackend(t, func(c *backendConn) {
				for r := c.next(); r != nil; r = c.next() {
					c.reply(r.RequestURI)
					switch r.RequestURI {
					case "/unasked":
						time.Sleep(20 * time.Millisecond)
						c.reply("poison")
						said <- struct{}{}
					case "/end":
						c.Close()
						said <- struct{}{}
					}
				}
			})
			rt := newTripper(t, TransportConfig{Dial: dial})
			for _, path := range []string{"/a", "/b"} {
				assert.Equal(t, path, fetched(t, rt, b.url()+path))
			}
			assert.EqualValues(t, 1, b.dials.Load(), "it is used again if all is well")
			for _, path := range []string{"/unasked", "/end"} {
				assert.Equal(t, path, fetched(t, rt, b.url()+path))
				said.wait(t, path)
				time.Sleep(5 * time.Millisecond)
				assert.Equal(t, "/victim", fetched(t, rt, b.url()+"/victim"))
			}
			assert.EqualValues(t, 3, b.dials.Load())
		})
	}
}

// A client that leaves takes its connection with it: what was still to come on
// it is nobody else's.
func TestConnectionOfAClientThatLeft(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for r := c.next(); r != nil; r = c.next() {
			if r.RequestURI == "/long" {
				c.say("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
				io.Copy(c, io.LimitReader(zeroes{}, 10_000_000))
				continue
			}
			c.reply(r.RequestURI)
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	v := g.visit(t, "GET /long HTTP/1.1\r\nHost: h\r\n\r\n")
	io.ReadFull(v.r, make([]byte, 1000))
	v.Close()
	g.failure(t)
	_, text := g.ask(t, "GET", "/victim", "")
	assert.Equal(t, "/victim", text)
	assert.EqualValues(t, 2, b.dials.Load())
	assert.Zero(t, g.Status().Upstreams[0].Failures)
}

// Interim answers and trailers belong to one exchange, and end with it.
func TestConnectionAfterAllOfAnAnswer(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for r := c.next(); r != nil; r = c.next() {
			c.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
				"2\r\nok\r\n0\r\nX-Sum: " + strings.TrimPrefix(r.RequestURI, "/") + "\r\n\r\n")
		}
	})
	rt := newTripper(t, TransportConfig{})
	for _, sum := range []string{"1", "2", "3"} {
		resp, err := rt.RoundTrip(request(t, "GET", b.url()+"/"+sum, nil))
		assert.NoError(t, err)
		assert.Equal(t, "ok", whole(t, resp))
		assert.Equal(t, sum, resp.Trailer.Get("X-Sum"))
	}
	assert.EqualValues(t, 1, b.dials.Load())
}
