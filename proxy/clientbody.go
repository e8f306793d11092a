package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A clientBody is the body of one request. It counts, enforces the limit and
// the time-out of idle clients, and remembers what went wrong: a failure to
// read it is the client's fault, wherever it comes to light.
type clientBody struct {
	src     io.ReadCloser
	rc      *http.ResponseController
	limit   int64         // bytes; negative: none
	idle    time.Duration // between two pieces; not positive: none
	lingers bool          // HTTP/1: the answer is lost if the connection is closed with something unread
	asked   bool          // the client waits for "100 Continue", which net/http sends with the first Read

	mu     sync.Mutex // held while reading
	n      int64
	until  time.Time // the read deadline in force
	total  time.Time // the end of the whole exchange; zero: none
	err    error     // what ended the body
	ours   bool      // it was interrupt
	failed atomic.Pointer[Error]
	whole  atomic.Bool  // the end was reached
	last   atomic.Int64 // the deadline that finish has set, in Unix nanoseconds; 0: not called
}

var (
	errStopped      = errors.New("the exchange is over")
	errBodyTooLarge = errors.New("the body is larger than allowed")
)

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.last.Load() != 0 {
		return 0, errStopped
	}
	b.extend()
	n, err := b.src.Read(p)
	b.n += int64(n)
	if b.limit >= 0 && b.n > b.limit {
		err = errBodyTooLarge
	}
	if err != nil {
		b.end(err)
	}
	return n, err
}

// extend moves the deadline of the client's connection, not more often than is
// worth its cost.
func (b *clientBody) extend() {
	now, until := time.Now(), b.total
	if b.idle > 0 {
		if until = now.Add(b.idle + b.idle/8); !b.total.IsZero() && until.After(b.total) {
			until = b.total
		}
	}
	if until.Equal(b.until) || b.idle > 0 && b.until.Sub(now) >= b.idle {
		return
	}
	b.until = until
	b.rc.SetReadDeadline(b.until) // not supported: the server's own time-outs hold
	if last := b.last.Load(); last != 0 {
		b.rc.SetReadDeadline(time.Unix(0, last)) // finish was a moment faster
	}
}

// end notes how the body ended. The deadline goes with it: net/http goes on
// reading, to notice that the client left.
func (b *clientBody) end(err error) {
	b.err = err
	if err == io.EOF {
		b.whole.Store(true)
		if !b.until.IsZero() {
			b.rc.SetReadDeadline(time.Time{})
		}
		return
	}
	b.ours = b.last.Load() != 0 && isTimeout(err) && time.Now().Before(b.until)
	if b.ours || err == errStopped {
		return
	}
	e := clientError(err)
	if e.reason == ReasonClientSlow && !b.total.IsZero() && !time.Now().Before(b.total) {
		e.Err, e.reason = errTotal, ReasonTotalTimeout
	}
	b.failed.Store(e)
}

// failure ends the reading and returns what was wrong with the body, or nil.
// net/http ends a request's context whenever reading from the client fails,
// before the reader itself gets to know why.
func (b *clientBody) failure() *Error {
	b.finish(false)
	if e := b.failed.Load(); e != nil {
		return e.clone()
	}
	return nil
}

// clientError says what a failure to read the client's body means.
func clientError(err error) *Error {
	e := &Error{Stage: StageClientBody, Err: err, reason: ReasonMalformedBody}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errBodyTooLarge), errors.As(err, &tooLarge):
		e.reason = ReasonBodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.reason = ReasonClientSlow
	case isGone(err):
		e.Stage, e.reason = StageClientGone, ReasonClientGone
	}
	return e
}

// isGone reports whether an error of the client's connection means that nobody
// is there any more. net/http's HTTP/2 server has words of its own for that.
func isGone(err error) bool {
	var op *net.OpError
	text := err.Error()
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) || text == "client disconnected" || strings.HasPrefix(text, "stream error: ")
}

// interrupt ends the reading, and does not wait for it.
func (b *clientBody) interrupt() {
	last := past
	if b.lingers {
		last = time.Now().Add(lingerTime) // a chunked body that was once cut short cannot be read on
	}
	if !b.whole.Load() && b.last.CompareAndSwap(0, last.UnixNano()) {
		b.rc.SetReadDeadline(last)
		b.spare()
	}
}

// spare takes the deadline back if the body has ended meanwhile: net/http goes
// on reading, and would take the time-out for the client's leaving.
func (b *clientBody) spare() {
	if b.whole.Load() {
		b.rc.SetReadDeadline(time.Time{})
	}
}

// lingerTime is how long a client that is still sending may go on after it has
// got its answer. Closing at once would reset the connection, and the answer
// could be lost with it.
const lingerTime = time.Second

// finish ends the reading, by whichever goroutine, and returns when nobody
// reads any more. To linger is to take what the client still sends, for a while.
func (b *clientBody) finish(linger bool) {
	if b.whole.Load() {
		return
	}
	last := past
	if linger {
		last = time.Now().Add(lingerTime)
	}
	b.last.Store(last.UnixNano())
	err := b.rc.SetReadDeadline(last)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spare()
	if linger && (b.err == nil || b.ours) && err == nil && (b.n > 0 || !b.asked) {
		io.Copy(io.Discard, b.src)
	}
}
