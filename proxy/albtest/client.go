package albtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
)

// client is the other end of one request, as the forwarding sees it. Its
// methods are called by one goroutine, but for stopBody and left.
type client interface {
	// inform passes an interim answer on.
	inform(a *answer) error
	// begin sends the head of the answer. last says that the connection ends
	// after it.
	begin(a *answer, last bool) error
	// write sends a part of its body, at once.
	write(p []byte) error
	// end completes the answer.
	end(trailers fields) error
	// abort breaks the answer off so that the client can tell.
	abort()
	// body is what the request has after its head; nil: nothing.
	body() requestBody
	// stopBody ends a read of the body that waits.
	stopBody()
	// watch starts to look whether the client leaves, once the body was read.
	watch()
	// left is closed when it did.
	left() <-chan struct{}
	// tunnel takes the connection over; nil: this client has none of its own.
	tunnel() (*idleConn, *bufio.Reader)
}

// requestBody ends with io.EOF, and has its trailers then.
type requestBody interface {
	io.Reader
	after() fields
	long(m *message) bool
}

// after is the fields behind the body.
func (s *payload) after() fields { return s.trailers }

// http1 is a client that speaks HTTP/1.1, during one request.
type http1 struct {
	conn    *idleConn
	r       *bufio.Reader
	w       *bufio.Writer
	m       *message
	payload *payload // nil: the request has no body

	last    bool // the connection ends after this answer
	chunks  bool
	gone    chan struct{}
	watcher chan struct{} // closed when the watcher is gone; nil: none runs
}

func (c *http1) body() requestBody {
	if c.payload == nil {
		return nil
	}
	return c.payload
}

func (c *http1) stopBody()             { c.conn.interrupt() }
func (c *http1) left() <-chan struct{} { return c.gone }

// watch looks for the end of the connection. A byte is the next request, and
// ends the watch.
func (c *http1) watch() {
	c.conn.wait(true)
	c.watcher = make(chan struct{})
	go func() {
		defer close(c.watcher)
		if _, err := c.r.Peek(1); err != nil && !isTimeout(err) {
			close(c.gone)
		}
	}()
}

// unwatch ends the watch.
func (c *http1) unwatch() {
	c.conn.interrupt()
	if c.watcher != nil {
		<-c.watcher
		c.watcher = nil
	}
	c.conn.wait(false)
	c.conn.resume()
}

func (c *http1) tunnel() (*idleConn, *bufio.Reader) {
	c.unwatch()
	c.last = true
	return c.conn, c.r
}

func (c *http1) inform(a *answer) error {
	if c.m.version == "HTTP/1.0" && a.status != 101 {
		return nil // RFC 9110, section 15.2
	}
	c.head(a, a.fields)
	return c.w.Flush()
}

// head writes a status line and header lines.
func (c *http1) head(a *answer, lines fields) {
	_, _ = c.w.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + a.reason + "\r\n" + lines.text() + "\r\n")
}

func (c *http1) begin(a *answer, last bool) error {
	lines := a.fields.without("Connection", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection")
	if a.length < 0 && !a.empty {
		lines = lines.without("Content-Length")
		c.chunks = c.m.version != "HTTP/1.0"
		last = last || !c.chunks
		if c.chunks {
			lines = append(lines, field{name: "Transfer-Encoding", value: "chunked"})
		}
	}
	c.last = last
	c.head(a, withConnection(lines, last))
	if a.body != "" && c.m.method != "HEAD" {
		_, _ = c.w.WriteString(a.body) // a bufio.Writer keeps its error
	}
	if a.length >= 0 || a.empty {
		return nil // what follows goes out with it
	}
	return c.w.Flush()
}

// withConnection says whether the connection stays. The line stands behind
// Content-Length, as captured.
func withConnection(lines fields, last bool) fields {
	says := field{name: "Connection", value: "keep-alive"}
	if last {
		says.value = "close"
	}
	for i, f := range lines {
		if f.is("Content-Length") {
			return append(lines[:i+1:i+1], append(fields{says}, lines[i+1:]...)...)
		}
	}
	return append(lines, says)
}

func (c *http1) write(p []byte) error {
	var err error
	if c.chunks {
		_, err = chunkWriter{c.w}.Write(p)
	} else {
		_, err = c.w.Write(p)
	}
	if err != nil {
		return err
	}
	return c.w.Flush()
}

func (c *http1) end(trailers fields) error {
	if c.chunks {
		if err := (chunkWriter{c.w}).end(trailers); err != nil {
			return err
		}
	}
	return c.w.Flush()
}

func (c *http1) abort() {
	c.last = true
	_ = abort(c.raw())
}

// raw is the connection below TLS, where an abort is a reset.
func (c *http1) raw() net.Conn {
	if secure, ok := c.conn.Conn.(interface{ NetConn() net.Conn }); ok {
		return secure.NetConn()
	}
	return c.conn.Conn
}

// isTimeout reports whether a deadline passed.
func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
