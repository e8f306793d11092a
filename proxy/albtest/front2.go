package albtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The limits of HTTP/2 towards clients.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html
const (
	maxStreams  = 128
	maxRequests = 10000 // of one connection
)

// frontHTTP2 serves a connection of HTTP/2 with net/http's server: its frames
// leave nothing to be misread.
func (s *Server) frontHTTP2(c *tls.Conn, o origin, since time.Time) {
	var handlers handlers
	done := make(chan struct{})
	srv := &http.Server{
		IdleTimeout:    s.idleTimeout(),
		MaxHeaderBytes: maxRequestHead,
		ErrorLog:       log.New(io.Discard, "", 0),
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		Protocols:      new(http.Protocols),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				close(done)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served := handlers.enter()
			defer handlers.running.Done()
			s.serveHTTP2(w, r, o, served >= maxRequests || time.Since(since) > s.clientKeepAlive())
		}),
	}
	srv.Protocols.SetHTTP2(true)
	_ = srv.Serve(&oneConn{conn: c, done: done}) // ends with the connection
	handlers.wait()
}

// handlers counts the requests of a connection. The zero value has none.
type handlers struct {
	mu      sync.Mutex
	served  int
	over    bool
	running sync.WaitGroup
}

// enter counts one, unless the connection is over: then it ends the handler.
func (h *handlers) enter() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		panic(http.ErrAbortHandler)
	}
	h.running.Add(1)
	h.served++
	return h.served
}

// wait lets nobody in any more, and returns when nobody is left.
func (h *handlers) wait() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.running.Wait()
}

// oneConn is a listener with a single connection, which ends with it.
type oneConn struct {
	conn net.Conn
	done chan struct{}
	used bool
}

// Accept returns the connection, and an end when that was closed.
func (l *oneConn) Accept() (net.Conn, error) {
	if !l.used {
		l.used = true
		return l.conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

// Close leaves the connection to the server.
func (l *oneConn) Close() error { return nil }

// Addr is the connection's.
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

func (s *Server) serveHTTP2(w http.ResponseWriter, r *http.Request, o origin, last bool) {
	m := &message{
		origin: o, method: r.Method, target: r.RequestURI, version: "HTTP/2.0", http2: true,
		fields: http2Fields(r),
	}
	m.head = m.method + " " + m.target + " HTTP/2.0\r\n" + m.fields.text() + "\r\n"
	c := &http2{w: w, r: r}
	s.serve(m, c, last)
	if c.broken {
		panic(http.ErrAbortHandler)
	}
}

// http2Fields is the header of a request as one in HTTP/1.1 would have it:
// names in lower case but for Host, which is :authority.
func http2Fields(r *http.Request) fields {
	list := fields{{name: "Host", value: r.Host}}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			if !strings.EqualFold(name, "Content-Length") {
				list = append(list, field{name: strings.ToLower(name), value: value})
			}
		}
	}
	switch {
	case r.ContentLength > 0 || r.ContentLength == 0 && r.Header.Get("Content-Length") != "":
		list = append(list, field{name: "content-length", value: strconv.FormatInt(r.ContentLength, 10)})
	case r.ContentLength < 0:
		list = append(list, field{name: "Transfer-Encoding", value: "chunked"})
	}
	return list
}

// http2 is a client that speaks HTTP/2, during one request.
type http2 struct {
	w      http.ResponseWriter
	r      *http.Request
	broken bool
}

func (c *http2) body() requestBody {
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return nil
	}
	return http2Body{c.r}
}

func (c *http2) stopBody()                          { _ = c.r.Body.Close() }
func (c *http2) watch()                             {}
func (c *http2) left() <-chan struct{}              { return c.r.Context().Done() }
func (c *http2) tunnel() (*idleConn, *bufio.Reader) { return nil, nil }
func (c *http2) abort()                             { c.broken = true }

// http2Body is the body of a request.
type http2Body struct{ r *http.Request }

// Read reads the body.
func (b http2Body) Read(p []byte) (int, error) { return b.r.Body.Read(p) }
func (b http2Body) long(*message) bool         { return false }
func (b http2Body) after() fields              { return listFields(b.r.Trailer) }

// listFields makes lines of a map.
func listFields(h http.Header) (list fields) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			list = append(list, field{name: name, value: value})
		}
	}
	return list
}

// set copies header lines into the map of the response.
func (c *http2) set(lines fields) {
	clear(c.w.Header())
	for _, f := range lines.without("Connection", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection", "Upgrade") {
		c.w.Header().Add(f.name, f.value)
	}
}

func (c *http2) inform(a *answer) error {
	if a.status != http.StatusContinue { // net/http has sent it
		c.set(a.fields)
		c.w.WriteHeader(a.status)
	}
	return c.r.Context().Err()
}

func (c *http2) begin(a *answer, last bool) error {
	c.set(a.fields)
	for _, name := range []string{"Date", "Content-Type"} {
		if c.w.Header()[name] == nil {
			c.w.Header()[name] = nil // net/http is not to add it
		}
	}
	if last {
		c.w.Header().Set("Connection", "close") // net/http sends GOAWAY
	}
	c.w.WriteHeader(a.status)
	if a.body != "" {
		_, _ = c.w.Write([]byte(a.body)) // a client that left shows in the context
	}
	if a.length < 0 && !a.empty {
		c.flush()
	}
	return c.gone()
}

// gone says whether there is still somebody to write to.
func (c *http2) gone() error { return context.Cause(c.r.Context()) }

func (c *http2) flush() {
	if f, ok := c.w.(http.Flusher); ok {
		f.Flush()
	}
}

func (c *http2) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := c.w.Write(p); err != nil {
		return err
	}
	c.flush()
	return nil
}

func (c *http2) end(trailers fields) error {
	for _, f := range trailers {
		c.w.Header().Add(http.TrailerPrefix+f.name, f.value)
	}
	return c.gone()
}
