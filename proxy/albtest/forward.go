package albtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// The longest that the balancer waits for a connection to a target, and for
// its TLS.
const connectTimeout = 10 * time.Second

// Why a trip ends that the target did not end.
var (
	errClientLeft  = errors.New("the client left")
	errDelayPassed = errors.New("the deregistration delay passed")
	errFinished    = errors.New("the exchange is over")
)

// bodyError is a body that the client did not finish.
type bodyError struct{ error }

// connectError is a connection that did not come about.
type connectError struct{ error }

// Unwrap returns what the network said.
func (e connectError) Unwrap() error { return e.error }

// trip is an exchange with a target.
type trip struct {
	*exchange
	group *group
	lease *lease
	fault *Fault // nil: none
	head  fields

	ctx    context.Context // ends with the trip, for one of the reasons above
	cancel context.CancelCauseFunc
}

// forward sends the request to a target.
func (x *exchange) forward(to *turns, now time.Time) {
	name := to.next()
	g := x.s.groups[name]
	x.entry.Group = name
	if g == nil {
		x.refuse(refusal{http.StatusServiceUnavailable, "NoWeight", "no target group of the rule has any weight"})
		return
	}
	if why := mismatch(g.cfg.ProtocolVersion, x.m); why != "" {
		x.refuse(refusal{464, "ProtocolMismatch", why})
		return
	}
	l, err := g.pick(x.m.node)
	if err != nil {
		x.refuse(refusal{http.StatusServiceUnavailable, "NoTarget", err.Error()})
		return
	}
	defer l.release()
	x.entry.Target = l.target.id
	t := &trip{exchange: x, group: g, lease: l, fault: x.s.faults.take(name), head: x.s.rewriter.head(x.m, now)}
	x.entry.TraceID, _ = t.head.get(traceHeader)
	t.travel()
}

// mismatch says why a group cannot take the request; empty: it can.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html#http-464-issues
func mismatch(v ProtocolVersion, m *message) string {
	switch {
	case v != HTTP1 && !m.http2:
		return "the client speaks HTTP/1 and the target group's protocol version is " + v.String()
	case v == GRPC && m.method != http.MethodPost:
		return "the method is " + m.method + " and the target group's protocol version is GRPC"
	case v == HTTP1 && m.http2 && m.isGRPC():
		return "the request is a gRPC call and the target group's protocol version is HTTP1"
	}
	return ""
}

// travel makes the trip. Meanwhile a goroutine waits for what ends it from
// outside.
func (t *trip) travel() {
	t.ctx, t.cancel = context.WithCancelCause(t.s.ctx)
	guarded := make(chan struct{})
	go func() {
		defer close(guarded)
		select {
		case <-t.client.left():
			t.cancel(errClientLeft)
		case <-t.lease.cut:
			t.cancel(errDelayPassed)
		case <-t.ctx.Done():
		}
	}()
	if t.group.cfg.ProtocolVersion == HTTP1 {
		t.overHTTP1()
	} else {
		t.overHTTP2()
	}
	t.cancel(errFinished)
	<-guarded
}

// dial connects from the node of the request.
func (t *trip) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	switch {
	case t.is(Refuse):
		return nil, connectError{syscall.ECONNREFUSED}
	case t.is(Unreachable):
		<-ctx.Done()
		return nil, connectError{ctx.Err()}
	}
	c, err := t.s.env.network.dial(ctx, t.m.node, t.lease.target.addr)
	if err != nil {
		return nil, connectError{err}
	}
	if t.group.cfg.Protocol == HTTP {
		return c, nil
	}
	secure := tls.Client(c, t.s.targetTLS(t.group.cfg.ProtocolVersion))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, connectError{fmt.Errorf("TLS: %w", err)}
	}
	return secure, nil
}

// targetTLS accepts any certificate: AWS verifies none.
func (s *Server) targetTLS(v ProtocolVersion) *tls.Config {
	cfg := &tls.Config{InsecureSkipVerify: true, ServerName: s.cfg.Unknowns.SNI}
	if v != HTTP1 {
		cfg.NextProtos = []string{"h2"}
	}
	return cfg
}

func (t *trip) is(k FaultKind) bool { return t.fault != nil && t.fault.Kind == k }

// fail answers for a target that did not, or not properly.
func (t *trip) fail(err error, reused bool) {
	if r, ok := t.outside(); ok {
		t.refuse(r)
		return
	}
	if t.s.ctx.Err() != nil {
		t.nobody("the balancer was closed")
		return
	}
	t.refuse(t.blame(err, reused))
}

// outside is for a trip that something else ended than the target.
func (t *trip) outside() (refusal, bool) {
	cause := context.Cause(t.ctx)
	var body bodyError
	switch {
	case errors.Is(cause, errClientLeft):
		return refusal{statusClientLeft, "ClientClosed", "the client closed the connection before the answer was complete"}, true
	case errors.Is(cause, errDelayPassed):
		return refusal{http.StatusBadGateway, "DeregistrationDelay", "the target was deregistered, and the request outlived its deregistration delay"}, true
	case errors.As(cause, &body):
		return refuseBody(body.error), true
	}
	return refusal{}, false
}

// blame says what the target did.
func (t *trip) blame(err error, reused bool) refusal {
	var connect connectError
	at := t.lease.target.id
	late := isTimeout(err) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case errors.As(err, &connect) && errors.Is(err, syscall.ECONNREFUSED):
		return refusal{http.StatusBadGateway, "ConnectionRefused", "nothing listens on " + at}
	case errors.As(err, &connect) && late:
		return refusal{http.StatusGatewayTimeout, "ConnectTimeout", "there was no connection to " + at + " within 10 s; does a security group drop it?"}
	case errors.As(err, &connect):
		return refusal{http.StatusBadGateway, "ConnectionFailed", "there is no connection to " + at + ": " + connect.Error()}
	case late:
		return refusal{http.StatusGatewayTimeout, "TargetTimeout", at + " sent nothing for the idle time-out"}
	case errors.Is(err, errHeadTooLong), errors.Is(err, errLineTooLong), errors.Is(err, errFieldTooLong):
		return refusal{http.StatusBadGateway, "ResponseHeaderTooLong", "the header that " + at + " answered is longer than 32 KiB"}
	case errors.Is(err, errMalformedHead), errors.Is(err, errBareLF), errors.Is(err, errBody):
		return refusal{http.StatusBadGateway, "MalformedResponse", "what " + at + " answered is not HTTP"}
	case reused:
		return refusal{http.StatusBadGateway, "TargetClosed", at + " closed a connection that was kept for the next request when that request came; its keep-alive must outlast the balancer's idle time-out"}
	}
	return refusal{http.StatusBadGateway, "TargetClosed", at + " closed the connection with the request outstanding"}
}

// begin sends the head of the target's answer.
func (t *trip) begin(a *answer) error {
	t.entry.ELBStatusCode = Status(a.status)
	t.entry.AnsweredBy = ByTarget
	t.entry.Why = t.lease.target.id + " answered"
	if t.lease.failOpen {
		t.entry.Why += "; no target is healthy, so that each gets requests"
	}
	if t.lease.straggler {
		t.entry.Why += ", though it was deregistered before"
	}
	a.fields = t.m.listener.Attributes.adorn(a.fields)
	return t.client.begin(a, t.last)
}

// breakOff ends an answer of which the client has a part already.
func (t *trip) breakOff(err error) {
	t.entry.ErrorReason = "AnswerBrokeOff"
	t.entry.Why += ", and broke off before the end"
	if r, ok := t.outside(); ok {
		t.entry.ErrorReason = r.word
		t.entry.Why += ": " + r.why
	} else if isTimeout(err) {
		t.entry.Why += ": it sent nothing for the idle time-out"
	}
	t.commit()
	t.client.abort()
}

// maxHeld is how long an answer of a known length may be for the balancer to
// have it all before it passes it on. Only so can it answer 504 to a length that
// is larger than the body, as AWS documents.
const maxHeld = 16 << 10

// pass hands an answer on.
func (t *trip) pass(a *answer, body io.Reader, trailers func() fields) (complete bool, err error) {
	var held []byte
	if !a.empty && a.length >= 0 && a.length <= maxHeld {
		if held, err = io.ReadAll(body); err != nil {
			return false, err
		}
		body = nil
	}
	if a.empty {
		body = nil
	}
	if err := t.begin(a); err != nil {
		t.breakOff(err)
		return false, nil
	}
	if body == nil {
		return t.passHeld(held, trailers()), nil
	}
	return t.stream(body, trailers), nil
}

func (t *trip) passHeld(held []byte, trailers fields) bool {
	t.commit()
	if t.client.write(held) != nil || t.client.end(trailers) != nil {
		t.client.abort()
		return false
	}
	return true
}

// stream passes each piece on as it comes. The last one waits for the record.
func (t *trip) stream(body io.Reader, trailers func() fields) bool {
	buffer := make([]byte, 32<<10)
	for {
		n, err := body.Read(buffer)
		if errors.Is(err, io.EOF) {
			t.commit()
			if t.client.write(buffer[:n]) != nil || t.client.end(trailers()) != nil {
				t.client.abort()
				return false
			}
			return true
		}
		if n > 0 {
			if gone := t.client.write(buffer[:n]); gone != nil {
				t.cancel(errClientLeft)
				err = gone
			}
		}
		if err != nil {
			t.breakOff(err)
			return false
		}
	}
}
