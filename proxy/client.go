package proxy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// A client is the carrier for plain HTTP/1.1: the request's own goroutine
// writes the request and reads the answer, on a pooled connection.
type client struct {
	pool    *pool
	wait    time.Duration // for an answer
	pause   time.Duration // between two pieces
	maxHead int           // bytes of an answer's head; negative: none
}

// A call is one request on one connection, and its answer.
type call struct {
	client  *client
	conn    *conn
	req     *http.Request
	unwatch func() bool

	buf  *buffer
	r, w int // what was read and not yet looked at stands in buf[r:w]

	sent, got int64
	pump      *pump // sends the body; nil: the head was all, or the body went with it
	onInfo    func(*head) error
	upgrade   string // asked for: such a connection is never used again

	h      head
	chunks chunkDecoder
	left   int64 // of a body by length
	ended  bool  // the whole body was read
	broken error // what ended it otherwise
	tail   http.Header
	ending sync.Mutex
	over   bool // the connection is somebody else's now
}

// An outbound is a request as it goes to one upstream.
type outbound struct {
	req     *http.Request // method, URL, Trailer; its context ends the exchange
	host    string
	header  http.Header
	body    io.Reader // nil: none
	whole   []byte    // the body, if it is complete in memory
	length  int64     // of the body; -1: unknown
	upgrade string
	expect  bool // the body waits for "100 Continue"
	fresh   bool // on a new connection
	check   bool // look first whether a reused connection is alive
	onInfo  func(*head) error
	pumps   *sync.WaitGroup // counts the goroutines that send the body; nil: nobody waits for them
}

func (o *outbound) framing() framing {
	switch {
	case o.whole != nil || o.body != nil && o.length >= 0 && len(o.req.Trailer) == 0:
		return byLength
	case o.body != nil:
		return byChunks
	case o.req.Method == http.MethodPost || o.req.Method == http.MethodPut || o.req.Method == http.MethodPatch:
		return byLength
	}
	return noBody
}

// do sends a request and waits for the head of its answer. Failures say how far
// it came; the call is over then.
func (c *client) do(o *outbound) (*call, *Error) {
	ctx := o.req.Context()
	conn, err := c.pool.get(ctx, o.fresh, o.check)
	if err != nil {
		return nil, dialError(ctx, err)
	}
	k := &call{client: c, conn: conn, req: o.req, buf: getBuffer(), onInfo: o.onInfo, upgrade: o.upgrade}
	k.unwatch = conn.watch(ctx)
	if e := k.write(o); e != nil {
		return nil, k.fail(e)
	}
	if e := k.readHead(); e != nil {
		return nil, k.fail(e)
	}
	return k, nil
}

func dialError(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	stage := dialStage(err)
	return &Error{Stage: stage, Err: err, reason: causeOf(stage, err)}
}

// ended is the failure of an exchange whose context has ended.
func ended(ctx context.Context) *Error {
	if errors.Is(context.Cause(ctx), errTotal) {
		return &Error{Stage: StageReadHead, Err: errTotal, reason: ReasonTotalTimeout}
	}
	return &Error{Stage: StageClientGone, Err: context.Cause(ctx), reason: ReasonClientGone}
}

var errTotal = errors.New("the exchange took too long")

// write sends the head, with the body if that is in memory, or starts sending
// the body.
func (k *call) write(o *outbound) *Error {
	framing := o.framing()
	length := o.length
	if o.whole != nil {
		length = int64(len(o.whole))
	}
	b, err := appendRequest(k.buf.bytes[:0], o.req, o.host, o.header, framing, max(length, 0), o.upgrade)
	if err != nil {
		return &Error{Stage: StageRequest, Err: err, reason: ReasonBadRequest}
	}
	if o.expect {
		b = append(b[:len(b)-2], "Expect: 100-continue\r\n\r\n"...)
	}
	k.conn.write.in(k.client.pause)
	n, err := k.writeAll(append(b, o.whole...))
	k.sent = n
	if err != nil {
		return k.failure(StageWriteHead, err)
	}
	if o.body != nil && o.whole == nil {
		k.pump = startPump(k, o, framing)
	}
	return nil
}

func (k *call) writeAll(b []byte) (int64, error) {
	n, err := k.conn.Write(b)
	return int64(n), err
}

// readHead waits for the answer's head. Informational ones are handed on.
func (k *call) readHead() *Error {
	for {
		if e := k.fillHead(); e != nil {
			return e
		}
		end := headEnd(k.buf.bytes[k.r:k.w])
		k.h = head{header: make(http.Header, 8)}
		if err := k.h.parse(k.buf.bytes[k.r:k.r+end], k.req.Method); err != nil {
			return k.failure(StageReadHead, err)
		}
		k.r += end
		if k.h.status >= 200 || k.h.status == http.StatusSwitchingProtocols {
			return k.begin()
		}
		if e := k.inform(); e != nil {
			return e
		}
	}
}

// begin prepares the reading of the body.
func (k *call) begin() *Error {
	k.pump.proceed(false)
	k.left = k.h.length
	if k.h.body == noBody {
		k.ended = true
	}
	return nil
}

// inform handles an informational answer: "100 Continue" lets the body go.
func (k *call) inform() *Error {
	if k.h.status == http.StatusContinue {
		k.pump.proceed(true)
		return nil
	}
	if k.onInfo != nil {
		if err := k.onInfo(&k.h); err != nil {
			return k.failure(StageReadHead, err)
		}
	}
	return nil
}

// fillHead reads until a whole head is in the buffer.
func (k *call) fillHead() *Error {
	k.conn.read.in(k.client.wait)
	for headEnd(k.buf.bytes[k.r:k.w]) < 0 {
		if err := k.makeRoom(); err != nil {
			return k.failure(StageReadHead, err)
		}
		n, err := k.conn.Read(k.buf.bytes[k.w:])
		k.w += n
		k.got += int64(n)
		if err != nil && n == 0 && !k.early(err) {
			return k.failure(StageReadHead, err)
		}
	}
	if k.client.maxHead >= 0 && headEnd(k.buf.bytes[k.r:k.w]) > k.client.maxHead {
		return k.failure(StageReadHead, errHeadTooLarge)
	}
	return nil
}

// early reports whether a time-out came while the body was still being sent,
// and sets another.
func (k *call) early(err error) bool {
	left := k.pump.patience(k.client.wait)
	if left <= 0 || !isTimeout(err) || k.conn.aborted.Load() {
		return false
	}
	k.conn.read.in(left)
	return true
}

// makeRoom makes the buffer large enough for a head of any allowed size.
func (k *call) makeRoom() error {
	if k.client.maxHead >= 0 && k.w-k.r > k.client.maxHead {
		return errHeadTooLarge
	}
	if k.w < len(k.buf.bytes) {
		return nil
	}
	k.w = copy(k.buf.bytes, k.buf.bytes[k.r:k.w])
	k.r = 0
	if k.w == len(k.buf.bytes) {
		k.buf.bytes = append(k.buf.bytes, make([]byte, len(k.buf.bytes))...)
	}
	return nil
}

// interrupt ends a read of the body that another goroutine waits in.
func (k *call) interrupt() {
	k.ending.Lock()
	defer k.ending.Unlock()
	if !k.over {
		k.conn.abort()
	}
}

// failure says what an error of the connection means. If the client's body
// was the cause, that is what counts, and if the context has ended, that.
func (k *call) failure(stage Stage, err error) *Error {
	if k.pump != nil {
		if e := k.pump.clientFailed(); e != nil {
			return e
		}
	}
	if k.conn.aborted.Load() {
		return ended(k.req.Context())
	}
	reason := causeOf(stage, err)
	stale := reason == ReasonConnectionLost && k.got == 0 && k.conn.reused()
	return &Error{Stage: stage, Err: err, reason: reason, stale: stale}
}

// fail ends the call and completes what is known of the failure. A pump ends
// with the connection and with the client's body.
func (k *call) fail(e *Error) *Error {
	k.conn.abort()
	if k.pump != nil {
		k.pump.proceed(false)
		k.sent += k.pump.sent.Load()
	}
	e.Sent, e.Received = k.sent, k.got
	k.release(false)
	return e
}

func (k *call) status() int          { return k.h.status }
func (k *call) header() http.Header  { return k.h.header }
func (k *call) length() int64        { return k.h.length }
func (k *call) trailer() http.Header { return k.tail }
func (k *call) received() int64      { return k.got }

// next implements answer.
func (k *call) next(wait bool) ([]byte, error) {
	switch {
	case k.broken != nil:
		return nil, k.broken
	case k.ended:
		return nil, io.EOF
	case k.h.body == byChunks:
		return k.nextChunked(wait)
	}
	return k.nextPlain(wait)
}

// nextPlain gathers a body by length, or up to the connection's end, in the
// buffer.
func (k *call) nextPlain(wait bool) ([]byte, error) {
	if k.r == k.w {
		k.r, k.w = 0, 0
	}
	limit := len(k.buf.bytes)
	if k.h.body == byLength {
		limit = int(min(int64(limit-k.r), k.left)) + k.r
	}
	err := k.gather(limit, wait && k.r == k.w)
	piece := k.buf.bytes[k.r:min(k.w, limit)]
	k.r += len(piece)
	if k.h.body == byLength {
		if k.left -= int64(len(piece)); k.left == 0 {
			k.ended = true
			return piece, io.EOF
		}
	}
	if err == io.EOF && k.h.body == untilClose {
		k.ended = true
		return piece, io.EOF
	}
	return k.hold(piece, err)
}

// hold returns a piece first and its error the next time.
func (k *call) hold(piece []byte, err error) ([]byte, error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	k.broken = err
	if len(piece) > 0 {
		err = nil
	}
	return piece, err
}

// gather reads into buf[w:limit]: what is there and, if wait is set, at least
// something.
func (k *call) gather(limit int, wait bool) error {
	if wait && k.w < limit {
		if err := k.await(limit); err != nil {
			return err
		}
	}
	for yielded := false; k.w < limit; {
		n, err := k.conn.nonblocking.read(k.buf.bytes[k.w:limit])
		k.advance(n)
		switch {
		case err != nil:
			return err
		case n > 0:
			yielded = false
		case yielded || k.h.body != byLength:
			return nil
		default:
			runtime.Gosched() // on a busy machine the rest is there the next time
			yielded = true
		}
	}
	return nil
}

func (k *call) await(limit int) error {
	k.conn.read.in(k.client.pause)
	n, err := k.conn.Read(k.buf.bytes[k.w:limit])
	k.advance(n)
	if n > 0 {
		return nil
	}
	return err
}

func (k *call) advance(n int) {
	k.w += n
	k.got += int64(n)
}

// nextChunked gathers decoded data at the start of the buffer, before what is
// still coded.
func (k *call) nextChunked(wait bool) ([]byte, error) {
	k.w = copy(k.buf.bytes, k.buf.bytes[k.r:k.w])
	k.r = 0
	written := 0
	var lost error // what ended the connection, behind what there is to decode
	for {
		consumed, n, err := k.chunks.decode(k.buf.bytes[written:], k.buf.bytes[k.r:k.w])
		written += n
		k.r, k.w = written, written+copy(k.buf.bytes[written:], k.buf.bytes[k.r+consumed:k.w])
		switch {
		case k.chunks.state == chunkDone:
			return k.endChunks(k.buf.bytes[:written])
		case err != nil || lost != nil:
			return k.hold(k.buf.bytes[:written], cmp.Or(err, lost))
		}
		before := k.w
		if lost = k.gather(len(k.buf.bytes), wait && written == 0); k.w == before {
			return k.hold(k.buf.bytes[:written], lost)
		}
	}
}

// endChunks reads the trailer and ends the body.
func (k *call) endChunks(piece []byte) ([]byte, error) {
	if len(k.chunks.tail) > 0 {
		k.tail = make(http.Header)
		if err := parseFields(k.tail, string(k.chunks.tail)); err != nil {
			return k.hold(piece, err)
		}
	}
	k.ended = true
	return piece, io.EOF
}

// upgraded implements answer.
func (k *call) upgraded() (tunnelEnd, error) {
	if !k.unwatch() {
		return tunnelEnd{}, ended(k.req.Context())
	}
	early := append([]byte(nil), k.buf.bytes[k.r:k.w]...)
	k.conn.read.never()
	k.conn.write.never()
	putBuffer(k.buf)
	k.buf, k.over = nil, true
	return tunnelEnd{ReadWriteCloser: k.conn.Conn, early: early}, nil
}

// close implements answer.
func (k *call) close() {
	if k.over {
		return
	}
	whole := k.ended && k.r == k.w && !k.h.close && k.upgrade == ""
	if k.pump != nil && !k.pump.finish() {
		whole = false
	}
	k.release(whole)
}

// release gives the connection back, if it is fit for another exchange.
func (k *call) release(whole bool) {
	k.ending.Lock()
	defer k.ending.Unlock()
	k.over = true
	if !k.unwatch() {
		whole = false
	}
	putBuffer(k.buf)
	k.buf = nil
	if !whole {
		k.conn.Close()
		return
	}
	if said, ok := k.h.keepAlive(); ok {
		k.conn.keep = learned(said, k.client.pool.idleTimeout)
	}
	k.client.pool.put(k.conn)
}

// learned is how long a connection is kept whose upstream names its own
// time-out: a second less, so that this side closes first.
func learned(said, own time.Duration) time.Duration {
	said -= time.Second
	switch {
	case said <= 0:
		return -1
	case own > 0:
		return min(said, own)
	}
	return said
}
