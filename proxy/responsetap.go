package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A responseTap stands between a handler and its ResponseWriter and notes what
// goes through. Like a ResponseWriter it serves one request, one call at a
// time. Handlers get what writer returns, so that they find exactly the
// abilities that the server's own ResponseWriter has.
type responseTap struct {
	http.ResponseWriter

	before func()   // called before every head, those of 1xx included; nil: nothing
	status int      // of the final head; 101 for a connection taken over without one; 0: none yet
	bytes  int64    // of the body, as far as the server took them
	conn   net.Conn // the connection, once a handler has taken it over
}

// writer returns t with those of Flush and Hijack that work here. Whether they
// do is asked of the whole chain of wrappers: a ResponseController inside would
// find them there, and go around t.
func (t *responseTap) writer() http.ResponseWriter {
	flush, hijack := reaches(t.ResponseWriter, canFlush), reaches(t.ResponseWriter, canHijack)
	switch {
	case flush && hijack:
		return fullTap{flushingTap{t}}
	case flush:
		return flushingTap{t}
	case hijack:
		return hijackingTap{t}
	}
	return t
}

// WriteHeader notes the status once it is accepted: net/http panics for some.
func (t *responseTap) WriteHeader(status int) {
	if t.status == 0 && t.before != nil {
		t.before()
	}
	t.ResponseWriter.WriteHeader(status)
	if t.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		t.status = status
	}
}

// begin is the head that the first byte or flush sends by itself.
func (t *responseTap) begin() {
	if t.status != 0 {
		return
	}
	if t.before != nil {
		t.before()
	}
	t.status = http.StatusOK
}

// Write counts what the server took.
func (t *responseTap) Write(p []byte) (int, error) {
	t.begin()
	n, err := t.ResponseWriter.Write(p)
	t.bytes += int64(n)
	return n, err
}

// WriteString spares io.WriteString a copy.
func (t *responseTap) WriteString(s string) (int, error) {
	t.begin()
	n, err := io.WriteString(t.ResponseWriter, s)
	t.bytes += int64(n)
	return n, err
}

// sniffed is how much net/http itself reads of a source before it starts an
// answer: a source that fails at once must leave room for an error status.
const sniffed = 512

// ReadFrom keeps the server's own way of sending files (sendfile, splice).
func (t *responseTap) ReadFrom(src io.Reader) (int64, error) {
	to, ok := t.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(onlyWriter{t}, src)
	}
	if t.status == 0 {
		n, err := io.Copy(onlyWriter{t}, io.LimitReader(src, sniffed))
		if err != nil || n < sniffed {
			return n, err
		}
		rest, err := t.readFrom(to, src)
		return n + rest, err
	}
	return t.readFrom(to, src)
}

func (t *responseTap) readFrom(to io.ReaderFrom, src io.Reader) (int64, error) {
	n, err := to.ReadFrom(src)
	t.bytes += n
	return n, err
}

// onlyWriter hides ReadFrom from io.Copy.
type onlyWriter struct{ io.Writer }

// Push returns http.ErrNotSupported where there is no server push.
func (t *responseTap) Push(target string, opts *http.PushOptions) error {
	if p, ok := t.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// Unwrap is for http.ResponseController: deadlines and full duplex.
func (t *responseTap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *responseTap) flush() error {
	t.begin()
	return http.NewResponseController(t.ResponseWriter).Flush()
}

func (t *responseTap) hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err == nil {
		t.conn = conn
		if t.status == 0 {
			t.status = http.StatusSwitchingProtocols
		}
	}
	return conn, rw, err
}

// The shapes of a tap, each no larger than a pointer.
type (
	flushingTap  struct{ *responseTap }
	hijackingTap struct{ *responseTap }
	fullTap      struct{ flushingTap }
)

func (t flushingTap) Flush()            { _ = t.flush() } // http.Flusher has no way to tell
func (t flushingTap) FlushError() error { return t.flush() }

func (t hijackingTap) Hijack() (net.Conn, *bufio.ReadWriter, error) { return t.hijack() }
func (t fullTap) Hijack() (net.Conn, *bufio.ReadWriter, error)      { return t.hijack() }

// reaches reports whether able holds for w or for what it wraps.
func reaches(w http.ResponseWriter, able func(http.ResponseWriter) bool) bool {
	for !able(w) {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
	return true
}

func canFlush(w http.ResponseWriter) bool {
	switch w.(type) {
	case http.Flusher, interface{ FlushError() error }:
		return true
	}
	return false
}

func canHijack(w http.ResponseWriter) bool {
	_, ok := w.(http.Hijacker)
	return ok
}
