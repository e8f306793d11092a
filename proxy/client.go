package proxy

import (
	"bytes"
	"context"
	"errors"
	"net/http"
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

// send implements carrier.
func (c *client) send(x *exchange) (answer, *Error) {
	o := &outbound{
		req: x.r, host: x.host(), header: x.out, length: x.r.ContentLength, whole: x.whole, upgrade: x.upgrade, expect: x.expect,
		fresh: x.fresh, onInfo: x.inform, pumps: &x.pumps,
	}
	if x.body != nil {
		o.body = x.body
	}
	k, e := c.do(o)
	if e != nil {
		return nil, e
	}
	return k, nil
}

func (c *client) idle() int { return c.pool.idle() }

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
	last      bool   // the connection is not to be used again
	upgrade   string // asked for: such a connection is never used again

	h      head
	chunks chunkDecoder
	left   int64 // of a body by length
	begun  bool  // a piece of it was asked for
	ended  bool  // the whole body was read
	broken error // what ended it otherwise
	tail   http.Header
	ending sync.Mutex
	over   bool // the connection is somebody else's now
}

// do sends a request and waits for the head of its answer. Failures say how far
// it came; the call is over then.
func (c *client) do(o *outbound) (*call, *Error) {
	ctx := o.req.Context()
	conn, err := c.pool.get(ctx, o.fresh)
	if err != nil {
		return nil, dialError(ctx, err)
	}
	k := &call{client: c, conn: conn, req: o.req, buf: getBuffer(), onInfo: o.onInfo, upgrade: o.upgrade, last: o.last}
	k.unwatch = conn.watch(ctx)
	settled := false
	defer func() {
		if !settled { // the hook for informational answers has panicked
			k.conn.abort()
			k.release(false)
		}
	}()
	e := k.write(o)
	if e == nil {
		e = k.readHead()
	}
	settled = true
	if e != nil {
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
	if o.last {
		b = append(b[:len(b)-2], "Connection: close\r\n\r\n"...)
	}
	if o.expect {
		b = append(b[:len(b)-2], "Expect: 100-continue\r\n\r\n"...)
	}
	k.conn.write.in(k.client.pause)
	body := o.body
	switch {
	case len(o.whole) > bufferSize: // too much to be sent while nobody reads the answer
		body = bytes.NewReader(o.whole)
	case o.whole != nil:
		b, body = append(b, o.whole...), nil
	}
	n, err := k.conn.Write(b)
	k.sent = int64(n)
	if err != nil {
		return k.failure(StageWriteHead, err)
	}
	if body != nil {
		k.pump = startPump(k, o, body, framing, length)
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
	aborted := k.conn.aborted.Load()
	if e := k.pump.clientFailed(aborted); e != nil {
		return e
	}
	if aborted {
		e := ended(k.req.Context())
		e.excused = k.got > 0 || k.pump != nil && k.pump.ended.Load() == 0 // the client took the time
		return e
	}
	if k.pump != nil && stage == StageReadHead && isTimeout(err) {
		if wrong := k.pump.wrong.Load(); wrong != nil {
			stage, err = StageWriteBody, *wrong
		}
	}
	reason := causeOf(stage, err)
	stale := reason == ReasonConnectionLost && k.got == 0 && k.conn.reused()
	owed := k.pump != nil && k.pump.ended.Load() == 0 // the client still owed its body, so the upstream may have lost patience
	return &Error{Stage: stage, Err: err, reason: reason, stale: stale, unsent: stale && k.sent == 0, excused: owed && reason == ReasonConnectionLost}
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
	whole := k.ended && k.r == k.w && !k.h.close && !k.last && k.upgrade == "" && k.h.status != http.StatusSwitchingProtocols
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
