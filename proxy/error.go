package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Error says at which stage an exchange with an upstream failed, where, on
// which attempt and after how many bytes. It is what OnError gets and what is
// logged; clients see only its Status.
type Error struct {
	Stage    Stage
	Upstream string // as in Config.Upstreams; "": none was chosen
	Attempt  int    // 1 is the first; 0: none was made
	Sent     int64  // bytes of the request written to the upstream, head included
	Received int64  // bytes of the answer read from it, head included
	Err      error  // the cause; may be nil where the stage says all

	reason  Reason
	unsent  bool // not a byte of the request went out
	excused bool // the upstream had its reasons
	stale   bool // a connection that had been used before was lost: it may just have been closed for being unused
}

// Error is one line for logs: reason, upstream, stage and cause.
func (e *Error) Error() string {
	s := "proxy: " + e.reason.String()
	if e.Upstream != "" {
		s += " at " + e.Upstream
	}
	s += fmt.Sprintf(" (%s, attempt %d, %d bytes sent, %d received)", e.Stage, e.Attempt, e.Sent, e.Received)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Timeout reports whether the cause is a time-out, as net.Error does.
func (e *Error) Timeout() bool { return e.Err != nil && isTimeout(e.Err) }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reason is the stable word for what happened.
func (e *Error) Reason() Reason { return e.reason }

// Status is what the client gets, or would get if it were still there (499) or
// the head had not been sent yet.
func (e *Error) Status() int { return e.reason.info().status }

// Hint says what to check, for the person who reads the log.
func (e *Error) Hint() string { return e.reason.info().hint }

// Stage is the part of an exchange in which it failed.
type Stage uint8

// The stages, in the order in which an exchange goes through them. The last
// three are the client's: they never count against an upstream.
const (
	StageNone        Stage = iota
	StageSelect            // choosing an upstream
	StageDial              // connecting to it
	StageTLS               // the handshake with it
	StageWriteHead         // sending the request's head
	StageWriteBody         // sending its body
	StageReadHead          // waiting for the answer's head
	StageReadBody          // reading the answer's body
	StageUpgrade           // switching to WebSocket
	StageRequest           // judging the request, before anything was sent
	StageClientBody        // reading the client's body
	StageClientGone        // the client left
	StageClientWrite       // sending the answer to the client
)

var stageNames = [...]string{"none", "select", "dial", "tls", "write_head", "write_body", "read_head", "read_body",
	"upgrade", "request", "client_body", "client_gone", "client_write"}

// String is the stage as one snake_case word.
func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return "invalid"
}

// upstreamAtFault reports whether a failure in this stage counts against the
// upstream's health.
func (s Stage) upstreamAtFault() bool {
	switch s {
	case StageDial, StageTLS, StageWriteHead, StageWriteBody, StageReadHead, StageReadBody:
		return true
	}
	return false
}

// causeOf names what a connection's error means: first what it says itself,
// then what it means in this stage.
func causeOf(stage Stage, err error) Reason {
	var dns *net.DNSError
	switch {
	case errors.Is(err, errHeadTooLarge):
		return ReasonHeadTooLarge
	case errors.Is(err, errMalformed):
		return ReasonMalformedAnswer
	case errors.As(err, &dns):
		return ReasonDNS
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return ReasonConnectionRefused
	case isTimeout(err):
		return timeoutIn(stage)
	case stage == StageTLS:
		return ReasonTLS
	case stage == StageDial:
		return ReasonUnreachable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return closedIn(stage)
	}
	return ReasonBroken
}

func timeoutIn(stage Stage) Reason {
	switch stage {
	case StageDial, StageTLS:
		return ReasonConnectTimeout
	case StageReadBody:
		return ReasonBodyTimeout
	case StageWriteHead, StageWriteBody:
		return ReasonWriteTimeout
	}
	return ReasonAnswerTimeout
}

func closedIn(stage Stage) Reason {
	if stage == StageReadBody {
		return ReasonTruncated
	}
	return ReasonConnectionLost
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// statusClientGone is nginx's number for a client that left: logged, not sent.
const statusClientGone = 499

// count fills in how many bytes went each way, as far as the answer knows.
func (e *Error) count(a answer) {
	if e == nil {
		return
	}
	e.Received = a.received()
	if k, ok := a.(*call); ok {
		e.Sent = k.sent
		if k.pump != nil {
			e.Sent += k.pump.sent.Load()
		}
	}
}

// clone is for a failure that is reported again, with other counts.
func (e *Error) clone() *Error {
	if e == nil {
		return nil
	}
	copied := *e
	return &copied
}
