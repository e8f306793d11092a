package proxy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/knownhops/knownhops/forwarded"
)

// An exchange is one request on its way to an upstream and back.
type exchange struct {
	p    *Proxy
	w    http.ResponseWriter
	r    *http.Request // its context ends the exchange
	rc   *http.ResponseController
	info forwarded.Info

	out      http.Header    // what the upstream gets
	body     *clientBody    // nil: none
	whole    []byte         // the body, if it is short enough to be kept
	kept     *buffer        // where whole stands
	pumps    sync.WaitGroup // goroutines that read the body
	upgrade  string         // the protocol that the client asks for, if this proxy takes part
	expect   bool           // the client waits for "100 Continue"
	attempt  int
	up       *upstream
	fresh    bool     // not on a connection that was used before
	started  bool     // the head of the answer went to the client
	patience deadline // for the client to take what is written
}

// run takes the request to an upstream, more than once if need be, and passes
// the answer on.
func (x *exchange) run() *Error {
	if reason := judge(x.r, &x.p.cfg.Limits, &x.p.cfg.Headers); reason != ReasonNone {
		return &Error{Stage: StageRequest, reason: reason}
	}
	if x.upgrade = asksFor(x.r); x.upgrade != "" && !reaches(x.w, canHijack) {
		return &Error{Stage: StageUpgrade, reason: ReasonNoHijacker}
	}
	if e := x.open(); e != nil {
		return e
	}
	x.out = make(http.Header, len(x.r.Header)+8)
	outgoing(x.out, x.r, x.info, &x.p.cfg.Headers)
	x.p.budget.request()
	return x.attempts()
}

func (x *exchange) attempts() *Error {
	var e *Error
	var avoid *upstream
	for {
		up, reason := x.p.fleet.pick(&x.info, avoid)
		if up == nil && e != nil {
			return e
		}
		if up == nil {
			return &Error{Stage: StageSelect, reason: reason}
		}
		x.up = up
		x.attempt++
		if e = x.try(); e == nil || !x.again(e) {
			return e
		}
		if avoid = up; e.stale {
			avoid = nil // nothing is wrong with it
		}
	}
}

// try makes one attempt.
func (x *exchange) try() *Error {
	var a answer
	settled := false
	defer func() {
		if !settled { // somebody's code has panicked
			x.end(false)
			if a != nil {
				a.close()
			}
			x.up.done(verdictNone)
		}
	}()
	a, e := x.up.carrier.send(x)
	if e == nil {
		if e = x.pass(a); e == nil {
			x.end(true) // before the answer is closed: a transport waits for whoever reads the body
		}
		e.count(a)
		a.close()
	}
	settled = true
	x.up.done(verdictOf(e))
	if e != nil {
		e.Upstream, e.Attempt = x.up.name, x.attempt
	}
	return e
}

func verdictOf(e *Error) verdict {
	switch {
	case e == nil:
		return verdictGood
	case e.stale || e.excused || e.reason == ReasonHeadTooLarge || !e.Stage.upstreamAtFault(): // an application that echoes can be made to exceed it
		return verdictNone
	}
	return verdictBad
}

// again reports whether the request is to be sent once more.
func (x *exchange) again(e *Error) bool {
	if x.started || x.attempt >= x.p.cfg.Retry.Attempts || x.r.Context().Err() != nil || !x.repeatable(e) {
		return false
	}
	if !e.stale && !x.p.budget.retry() {
		return false // a stale connection says nothing of the upstream, and costs it nothing
	}
	x.fresh = true
	x.p.retries.Add(1)
	return true
}

// repeatable reports whether sending the request again can do no harm: nothing
// of it was sent, or it is idempotent, complete in memory and the connection was
// lost before anything came back.
func (x *exchange) repeatable(e *Error) bool {
	if e.Stage == StageDial || e.Stage == StageTLS {
		return len(x.p.fleet.ups) > 1 // the same one would say the same
	}
	if e.unsent && x.bodyUntouched() {
		return true
	}
	return e.reason == ReasonConnectionLost && e.Received == 0 && x.bodyUntouched() && x.upgrade == "" && idempotent(x.r.Method, x.out)
}

func (x *exchange) bodyUntouched() bool { return x.body == nil || x.whole != nil }

// open prepares the client's body. A short one is read as a whole: it can be
// sent again, and no upstream has to wait for a slow client.
func (x *exchange) open() *Error {
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0 {
		return nil
	}
	x.expect = x.r.ProtoMajor == 1 && x.r.Header["Expect"] != nil
	x.body = &clientBody{src: x.r.Body, rc: x.rc, limit: x.p.cfg.Limits.RequestBody, idle: x.p.cfg.Timeouts.Idle, lingers: x.r.ProtoMajor == 1, asked: x.expect, total: x.patience.limit}
	if n := x.r.ContentLength; n > 0 && n <= x.p.cfg.Retry.MaxBody && !x.expect && len(x.r.Trailer) == 0 {
		return x.keep(int(n))
	}
	if x.r.ProtoMajor == 1 {
		x.rc.EnableFullDuplex() // not supported: the answer waits for the body
	}
	return nil
}

func (x *exchange) keep(n int) *Error {
	x.kept = getBuffer()
	if n > len(x.kept.bytes) {
		x.kept.bytes = make([]byte, n)
	}
	_, err := io.ReadFull(x.body, x.kept.bytes[:n])
	if err == nil && !x.body.whole.Load() {
		err = x.endsHere()
	}
	if e := x.body.failed.Load(); e != nil {
		return e.clone()
	}
	if err != nil { // it ended early, or goes on
		return &Error{Stage: StageClientBody, Err: errLength, reason: ReasonMalformedBody}
	}
	x.whole = x.kept.bytes[:n]
	return nil
}

// endsHere reads the end of a body of which everything announced was read.
func (x *exchange) endsHere() error {
	var more [1]byte
	if n, err := x.body.Read(more[:]); n > 0 || err != io.EOF {
		return errLength
	}
	return nil
}

// end is called when the exchange needs no more of the client's body. Nobody
// reads it afterwards.
func (x *exchange) end(answered bool) {
	if x.body != nil && x.whole == nil {
		x.body.finish(answered && x.r.ProtoMajor == 1)
	}
}

// bodyFailure returns what was wrong with the client's body, or nil.
func (x *exchange) bodyFailure() *Error {
	if x.body == nil {
		return nil
	}
	if e := x.body.failed.Load(); e != nil || x.r.Context().Err() == nil {
		return e.clone()
	}
	return x.body.failure()
}

// release gives back what the exchange has borrowed.
func (x *exchange) release() {
	x.pumps.Wait()
	if x.kept != nil {
		putBuffer(x.kept)
	}
}

func (x *exchange) host() string {
	if x.p.cfg.RewriteHost || x.r.Host == "" {
		return x.up.host
	}
	return x.r.Host
}

// asksFor returns "websocket" if the client asks to switch to it, with a key
// whose echo can be checked (RFC 6455 §4.1). Nothing else is ever switched to:
// h2c would carry requests past this proxy (RFC 9113 removed it), and of other
// protocols this proxy knows nothing.
func asksFor(r *http.Request) string {
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor < 1 || !hasToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	if lines := r.Header["Upgrade"]; len(lines) == 1 && strings.EqualFold(lines[0], "websocket") && len(r.Header["Sec-Websocket-Key"]) == 1 {
		return "websocket"
	}
	return ""
}

// withTotal bounds the whole exchange.
func (p *Proxy) withTotal(r *http.Request) (*http.Request, context.CancelFunc) {
	if p.cfg.Timeouts.Total <= 0 {
		return r, func() {}
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), p.cfg.Timeouts.Total, errTotal)
	return r.WithContext(ctx), cancel
}
