package proxy

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/handlers"

	"github.com/knownhops/knownhops/forwarded"
)

// AccessLog writes one line to w for every request, when it is over: the
// combined log format, then the scheme that the client used and the seconds
// that the request took.
//
//	203.0.113.7 - - [22/Nov/2026:10:00:00 +0000] "GET /a?b=1 HTTP/1.1" 200 512 "-" "curl/8" https 0.001234
//
// The address is the client's, from [forwarded.FromContext], and "-" when it is
// unknown. The Info is made by forwarded.Policy.Wrap, so AccessLog goes inside
// that; outside it, every line says "-" and "unknown". It goes outside Recover,
// or the 500 of a handler that panicked would look like a broken connection.
//
// The bytes are those of the body that the server took: 0 for HEAD, 204 and
// 304, "-" after a connection was taken over (WebSocket), which is logged with
// the status 101 unless a handler sent another. Interim answers (1xx) are not
// the status. A handler that panics, with http.ErrAbortHandler as well, still
// gets its line: the word "aborted" at the end says that the answer is not
// complete, and a status of "-" that it had not begun.
//
// The user is always "-": nobody here has checked who it is. User information
// is left out of request targets and Referer. What a client wrote cannot leave
// its field: quotes, backslashes and bytes outside of printable ASCII become
// \xHH, as nginx writes them, and so do spaces in the request line; each field
// is cut at 8 KiB. The query is logged: keep secrets out of it.
//
// Each line is one Write, and the Writes of one AccessLog never overlap. They
// happen before the request ends, so a slow w slows requests down; an error of
// w is ignored, and the line lost. A nil w panics here and now.
//
// Source: httpd.apache.org/docs/2.4/logs.html#combined and, for the escapes,
// nginx.org/en/docs/http/ngx_http_log_module.html#log_format.
func AccessLog(w io.Writer) func(http.Handler) http.Handler {
	if w == nil {
		panic("proxy: AccessLog of a nil io.Writer; give it os.Stdout")
	}
	out := &lineWriter{w: w}
	return func(next http.Handler) http.Handler {
		return &accessLog{out: out, next: next}
	}
}

type accessLog struct {
	out  io.Writer
	next http.Handler
}

// ServeHTTP lets gorilla's handler do everything but watch the answer, as it
// does not see ReadFrom and takes a 1xx for the status. It writes no line for a
// handler that panics either; that one is written here, without recovering, so
// that the stack stays what it was.
func (l *accessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &logEntry{tap: responseTap{ResponseWriter: w}}
	start := time.Now()
	defer func() {
		if !e.written {
			e.write(l.out, handlers.LogFormatterParams{Request: r, URL: *r.URL, TimeStamp: start})
		}
	}()
	watched := func(_ http.ResponseWriter, r *http.Request) {
		l.next.ServeHTTP(e.tap.writer(), r)
		e.returned = true
	}
	handlers.CustomLoggingHandler(l.out, http.HandlerFunc(watched), e.write).ServeHTTP(w, r)
}

// A logEntry is one request on its way to a line.
type logEntry struct {
	tap      responseTap
	returned bool // the handler did, instead of panicking
	written  bool
}

// write is a handlers.LogFormatter.
func (e *logEntry) write(out io.Writer, p handlers.LogFormatterParams) {
	e.written = true
	_, _ = out.Write(e.line(p)) // a log that cannot be written must not fail the request
}

func (e *logEntry) line(p handlers.LogFormatterParams) []byte {
	info := forwarded.From(p.Request)
	b := make([]byte, 0, 256)
	b = append(b, clientText(info)...)
	b = append(b, " - - ["...)
	b = p.TimeStamp.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendRequestLine(b, p)
	b = append(b, `" `...)
	b = e.appendOutcome(b, p.Request.Method)
	b = append(b, ` "`...)
	b = appendLogged(b, orDash(withoutUser(p.Request.Referer())), ' ')
	b = append(b, `" "`...)
	b = appendLogged(b, orDash(p.Request.UserAgent()), ' ')
	b = append(b, `" `...)
	b = append(b, info.Scheme.String()...)
	b = append(b, ' ')
	b = strconv.AppendFloat(b, time.Since(p.TimeStamp).Seconds(), 'f', 6, 64)
	if !e.returned {
		b = append(b, " aborted"...)
	}
	return append(b, '\n')
}

// appendRequestLine adds the request as the client sent it.
func appendRequestLine(b []byte, p handlers.LogFormatterParams) []byte {
	target := p.Request.RequestURI
	if target == "" { // a request that no server read
		target = p.URL.RequestURI()
	}
	b = appendLogged(b, p.Request.Method, '!')
	b = append(b, ' ')
	b = appendLogged(b, withoutUser(target), '!')
	b = append(b, ' ')
	return appendLogged(b, p.Request.Proto, '!')
}

// appendOutcome adds status and bytes.
func (e *logEntry) appendOutcome(b []byte, method string) []byte {
	status := e.tap.status
	switch {
	case status != 0:
		b = strconv.AppendInt(b, int64(status), 10)
	case e.returned: // net/http answers for a handler that said nothing
		b = append(b, "200"...)
	default:
		b = append(b, '-')
	}
	b = append(b, ' ')
	if e.tap.conn != nil {
		return append(b, '-')
	}
	if method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		return append(b, '0') // what a handler writes here is never sent (RFC 9110 §6.4.1)
	}
	return strconv.AppendInt(b, e.tap.bytes, 10)
}

// clientText drops the zone, which may hold any text when an Info is not
// forwarded's own.
func clientText(info forwarded.Info) string {
	if !info.Client.IsValid() {
		return "-"
	}
	return info.Client.WithZone("").String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// A lineWriter lets one Write through at a time.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
