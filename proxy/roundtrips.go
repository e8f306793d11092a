package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// roundTrips is the carrier over an http.RoundTripper: for https and h2c, and
// for a transport that is not ours.
type roundTrips struct {
	rt     http.RoundTripper
	scheme string // for the URL; empty: the upstream's
	up     *upstream
}

func (c *roundTrips) idle() int { return 0 } // net/http does not say

// send implements carrier.
func (c *roundTrips) send(x *exchange) (answer, *Error) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	trip := &trip{x: x, stage: StageReadHead}
	dog := &watchdog{head: x.p.cfg.Timeouts.Head, idle: x.p.cfg.Timeouts.Idle, cancel: cancel}
	dog.wait()
	resp, err := c.rt.RoundTrip(c.request(ctx, x, trip, dog))
	dog.stop()
	if panicked := trip.over(); panicked != nil {
		cancel(nil)
		panic(panicked)
	}
	if err != nil {
		cancel(nil)
		return nil, trip.failure(x, err, context.Cause(ctx))
	}
	return newResponse(resp, x.p.cfg.Timeouts.Idle, cancel), nil
}

// request is the exchange's request as net/http wants it. Header and body are
// copies, since a transport may look at them after it has returned.
func (c *roundTrips) request(ctx context.Context, x *exchange, t *trip, dog *watchdog) *http.Request {
	out := &http.Request{
		Method: x.r.Method, URL: c.url(x), Host: x.host(), Header: maps.Clone(x.out), ContentLength: x.r.ContentLength,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if _, ok := x.out["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // none, instead of net/http's own
	}
	if x.upgrade != "" && c.up.scheme != "h2c" { // HTTP/2 has no such switch, so the upstream gives its own answer
		out.Header["Connection"], out.Header["Upgrade"] = []string{"Upgrade"}, []string{x.upgrade}
	}
	switch {
	case x.whole != nil:
		whole := bytes.Clone(x.whole)
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(whole)), nil }
		out.Body, _ = out.GetBody()
	case x.body != nil:
		out.Trailer = trailerNames(slices.Collect(maps.Keys(x.r.Trailer)))
		out.Body = &trailedBody{clientBody: x.body, from: x.r.Trailer, to: out.Trailer, dog: dog}
		if x.expect {
			out.Header["Expect"] = []string{"100-continue"}
		}
	}
	return out.WithContext(httptrace.WithClientTrace(ctx, t.hooks()))
}

func (c *roundTrips) url(x *exchange) *url.URL {
	u := *x.r.URL
	u.Scheme, u.Host, u.User, u.Fragment, u.RawFragment = c.up.scheme, c.up.addr, nil, "", ""
	if c.scheme != "" {
		u.Scheme = c.scheme
	}
	if u.RawPath = escapedPath(x.r.URL); u.Path == "" {
		u.Path, u.RawPath = "/", ""
	}
	u.RawQuery = string(appendQuery(nil, u.RawQuery))
	return &u
}

// A trip follows one RoundTrip, whose hooks run in net/http's goroutines.
type trip struct {
	mu               sync.Mutex
	x                *exchange // nil: the trip is over
	stage            Stage
	reused, answered bool
	panicked         any
}

func (t *trip) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:              func(string) { t.reached(StageReadHead, StageDial) },
		TLSHandshakeStart:    func() { t.reached(StageDial, StageTLS) },
		GotConn:              t.connected,
		GotFirstResponseByte: t.heard,
		Got1xxResponse:       t.inform,
	}
}

// reached notes that the trip goes from one stage to the next. A transport that
// tells nothing of its connections counts as having sent the request.
func (t *trip) reached(from, to Stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stage == from {
		t.stage = to
	}
}

// connected notes that the request is about to be sent.
func (t *trip) connected(info httptrace.GotConnInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stage, t.reused = StageReadHead, info.Reused
}

// heard notes that something of an answer came.
func (t *trip) heard() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answered = true
}

// inform relays an informational answer. A panic of somebody's handler must not
// end the program: send panics with it again where the handler is.
func (t *trip) inform(status int, header textproto.MIMEHeader) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.x == nil || status == http.StatusContinue {
		return nil
	}
	defer func() {
		if t.panicked = recover(); t.panicked != nil {
			err = errPanicked
		}
	}()
	return t.x.inform(&head{status: status, header: http.Header(header).Clone()})
}

var errPanicked = errors.New("a handler has panicked")

// over ends the hooks' access to the exchange, and returns with what one of
// them has panicked.
func (t *trip) over() any {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.x = nil
	return t.panicked
}

// failure says what an error of RoundTrip means.
func (t *trip) failure(x *exchange, err, cause error) *Error {
	if e := x.bodyFailure(); e != nil {
		return e
	}
	if ctx := x.r.Context(); ctx.Err() != nil {
		e := ended(ctx)
		e.excused = x.body != nil && !x.body.whole.Load()
		return e
	}
	switch cause {
	case errAnswerLate:
		return &Error{Stage: StageReadHead, Err: cause, reason: ReasonAnswerTimeout}
	case errWriteLate:
		return &Error{Stage: StageWriteBody, Err: cause, reason: ReasonWriteTimeout}
	}
	if reason := refusedBefore(err); reason != ReasonNone {
		return &Error{Stage: StageRequest, Err: err, reason: reason}
	}
	stage := t.stage
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
		stage = StageDial
	}
	reason := causeOfRoundTrip(stage, err)
	stale := t.reused && !t.answered && reason == ReasonConnectionLost
	excused := wasCancelled(err) || reason == ReasonConnectionLost && x.body != nil && !x.body.whole.Load()
	return &Error{Stage: stage, Err: err, reason: reason, excused: excused, stale: stale}
}

// refusedBefore says why net/http would not send a request at all: then neither
// side of the connection has done anything wrong but the client.
func refusedBefore(err error) Reason {
	text := err.Error()
	switch {
	case strings.Contains(text, "request header list larger than peer's advertised limit"), strings.Contains(text, "ErrCode=COMPRESSION_ERROR"):
		return ReasonHeaderTooLarge
	case strings.HasPrefix(text, "net/http: invalid "), strings.HasPrefix(text, "http2: invalid "):
		return ReasonBadRequest
	}
	return ReasonNone
}

// A streamError is net/http's own, which cannot be named but converted.
type streamError struct {
	StreamID, Code uint32
	Cause          error
}

func (streamError) Error() string { return "an HTTP/2 stream was reset" }

// wasCancelled reports whether an HTTP/2 upstream has cancelled the exchange
// itself, as gRPC servers do when the client's own deadline is over.
func wasCancelled(err error) bool {
	const cancel = 8 // RFC 9113 §7
	var reset streamError
	return errors.As(err, &reset) && reset.Code == cancel
}

// A response is the answer of a RoundTripper.
type response struct {
	*http.Response
	buf    *buffer
	got    int64
	cancel context.CancelCauseFunc
	idle   time.Duration // between two pieces; not positive: none
	timer  *time.Timer   // ends a read that takes longer
}

func newResponse(resp *http.Response, idle time.Duration, cancel context.CancelCauseFunc) *response {
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	return &response{Response: resp, buf: getBuffer(), idle: idle, cancel: cancel}
}

func (r *response) status() int          { return r.StatusCode }
func (r *response) header() http.Header  { return r.Header }
func (r *response) length() int64        { return r.ContentLength }
func (r *response) trailer() http.Header { return r.Trailer }
func (r *response) received() int64      { return r.got }

// next implements answer. What is there without waiting cannot be known, so a
// body whose length is known is waited for, and a stream is not.
func (r *response) next(wait bool) ([]byte, error) {
	if r.Body == http.NoBody {
		return nil, io.EOF
	}
	if !wait && r.ContentLength < 0 {
		return nil, nil
	}
	r.watch()
	n, err := r.Body.Read(r.buf.bytes)
	r.got += int64(n)
	if n > 0 && err != io.EOF {
		err = nil // comes again with the next call
	}
	if r.idle > 0 && !r.timer.Stop() && err != io.EOF {
		err = errIdle
	}
	return r.buf.bytes[:n], err
}

var errIdle = &timeoutError{"the body stopped"}

type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }
func (e *timeoutError) Timeout() bool { return true }

// watch gives the next read its time.
func (r *response) watch() {
	switch {
	case r.idle <= 0:
	case r.timer == nil:
		r.timer = time.AfterFunc(r.idle, func() { r.cancel(errIdle) })
	default:
		r.timer.Reset(r.idle)
	}
}

var errNoTunnel = errors.New("the transport does not hand over its connection")

func (r *response) upgraded() (tunnelEnd, error) {
	conn, ok := r.Body.(io.ReadWriteCloser)
	if !ok {
		return tunnelEnd{}, errNoTunnel
	}
	r.Body = http.NoBody // closing it is the tunnel's business now
	return tunnelEnd{ReadWriteCloser: conn}, nil
}

func (r *response) close() {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.cancel(nil)
	r.Body.Close()
	putBuffer(r.buf)
}
