package healthcheck

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// inBand tells the other side, in each answer, that the connection ends with
// it once the drain has begun: Connection: close over HTTP/1, which net/http
// turns into a GOAWAY over HTTP/2. A balancer then opens its next connection,
// and asks itself where to, while this server still answers whatever comes.
// Closing idle connections instead, as SetKeepAlivesEnabled(false) does, breaks
// off requests that are on their way.
//
// A GOAWAY drops the streams that are on their way, and not every client may
// send their requests again. So over HTTP/2 it waits for settled: until those who
// send requests here have been told to send them elsewhere.
//
// It costs nothing before the drain: only then is the ResponseWriter wrapped. An
// answer that was begun before keeps its connection for one more request.
//
// Source: RFC 9112, 9.6; RFC 9113, 6.8
func inBand(draining, settled <-chan struct{}, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := draining
		if r.ProtoMajor >= 2 {
			begun = settled
		}
		select {
		case <-begun:
			serveClosing(w, r, next)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// serveClosing hands on a writer with the abilities of the one that it wraps.
// A handler that writes nothing is answered for by net/http, past the wrapper.
func serveClosing(w http.ResponseWriter, r *http.Request, next http.Handler) {
	c := &closing{ResponseWriter: w}
	switch inner := w.(type) {
	case http.Hijacker:
		next.ServeHTTP(&closingHTTP1{closing: c, Hijacker: inner}, r)
	case http.Pusher:
		next.ServeHTTP(&closingHTTP2{closing: c, Pusher: inner}, r)
	default:
		next.ServeHTTP(c, r)
	}
	c.begin(http.StatusOK)
}

// closing is a ResponseWriter whose answer ends the connection. Unwrap gives
// [http.ResponseController] the rest.
type closing struct {
	http.ResponseWriter
	begun bool // the header is out, or the connection the handler's
}

// begin puts Connection: close on an answer, at the last moment, since some
// handlers write keep-alive there: event streams do. 1xx are not the answer, and
// 101 ends HTTP on the connection anyway.
func (c *closing) begin(status int) {
	if c.begun || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	c.begun = true
	if status != http.StatusSwitchingProtocols {
		c.Header().Set("Connection", "close")
	}
}

func (c *closing) WriteHeader(status int) {
	c.begin(status)
	c.ResponseWriter.WriteHeader(status)
}

func (c *closing) Write(p []byte) (int, error) {
	c.begin(http.StatusOK)
	return c.ResponseWriter.Write(p)
}

func (c *closing) WriteString(s string) (int, error) {
	c.begin(http.StatusOK)
	return io.WriteString(c.ResponseWriter, s)
}

func (c *closing) Flush() { _ = c.FlushError() }

func (c *closing) FlushError() error {
	c.begin(http.StatusOK)
	return http.NewResponseController(c.ResponseWriter).Flush()
}

func (c *closing) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// CloseNotify is there for old handlers that ask for it without a second
// look, since net/http's own writers have it.
func (c *closing) CloseNotify() <-chan bool {
	if w, ok := c.ResponseWriter.(interface{ CloseNotify() <-chan bool }); ok {
		return w.CloseNotify()
	}
	return make(chan bool)
}

// closingHTTP1 is one over HTTP/1: the connection can be taken over, and files
// go out without a copy.
type closingHTTP1 struct {
	*closing
	http.Hijacker
}

func (c *closingHTTP1) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := c.Hijacker.Hijack()
	if err == nil {
		c.begun = true
	}
	return conn, rw, err
}

func (c *closingHTTP1) ReadFrom(r io.Reader) (int64, error) {
	c.begin(http.StatusOK)
	return io.Copy(c.ResponseWriter, r)
}

// closingHTTP2 is one over HTTP/2.
type closingHTTP2 struct {
	*closing
	http.Pusher
}
