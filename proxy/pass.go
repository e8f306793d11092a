package proxy

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// pass hands an answer to the client. Its first part is read before the head
// goes out, so that an answer that breaks off at once is a clean error.
func (x *exchange) pass(a answer) *Error {
	if a.status() == http.StatusSwitchingProtocols {
		return x.passUpgrade(a)
	}
	piece, err := a.next(false)
	if err != nil && err != io.EOF {
		return x.readError(a, err)
	}
	announced := x.passHead(a, err == io.EOF)
	for {
		if e := x.passPiece(piece, err == io.EOF); e != nil {
			return e
		}
		if err == io.EOF {
			break
		}
		if piece, err = a.next(true); err != nil && err != io.EOF {
			return x.readError(a, err)
		}
	}
	passTrailer(x.w.Header(), a.trailer(), announced)
	x.hurry()
	return nil
}

// hurry gives the answer to a client that is still sending: it has to know
// that it may stop.
func (x *exchange) hurry() {
	if x.body != nil && !x.body.whole.Load() {
		x.rc.Flush()
	}
}

// passPiece writes a piece of the body. What the upstream has sent so far goes
// out at once if it does not send more at once: then it may take long.
func (x *exchange) passPiece(piece []byte, last bool) *Error {
	x.push()
	if len(piece) > 0 {
		if _, err := x.w.Write(piece); err != nil {
			return x.writeError(err)
		}
	}
	if !last && len(piece) < bufferSize/2 {
		if err := x.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) { // a handler in front may collect answers
			return x.writeError(err)
		}
	}
	return nil
}

// push gives the client Timeouts.Idle to take what is written next.
func (x *exchange) push() {
	x.patience.in(x.p.cfg.Timeouts.Idle)
}

// passHead sends the head: the answer's header, on top of what handlers further
// out have set.
func (x *exchange) passHead(a answer, whole bool) (announced http.Header) {
	from, to := a.header(), x.w.Header()
	trailer := from["Trailer"]
	cleanAnswer(from)
	delete(from, "Trailer")
	merge(to, from)
	if _, ok := to["Content-Type"]; !ok {
		to["Content-Type"] = nil // net/http would guess one
	}
	if whole {
		announced = cleanTrailer(a.trailer()) // those that came
	} else {
		announced = trailerNames(trailer)
	}
	for name := range announced {
		to.Add("Trailer", name)
		delete(to, "Content-Length")
	}
	if x.mustClose() {
		to["Connection"] = []string{"close"}
	}
	x.started = true
	x.push()
	x.w.WriteHeader(a.status())
	return announced
}

// mustClose reports whether the client's connection must end with this answer:
// what the client still sends, the rest of a body or what it says already in a
// protocol that was refused (RFC 9931), must not be taken for a request.
func (x *exchange) mustClose() bool {
	return x.r.ProtoMajor == 1 && (x.body != nil && !x.body.whole.Load() || x.upgrade != "")
}

// merge puts the upstream's header on top of what is there: its word replaces
// another, but for fields that add up.
func merge(to, from http.Header) {
	for name, values := range from {
		switch name {
		case "Set-Cookie", "Vary", "Link", "Server-Timing":
			to[name] = append(to[name], values...)
		default:
			to[name] = values
		}
	}
}

// passTrailer sets what follows the body. What was not announced goes out
// under net/http's prefix.
func passTrailer(to, trailer, announced http.Header) {
	for name, values := range cleanTrailer(trailer) {
		if _, ok := announced[name]; !ok {
			name = http.TrailerPrefix + name
		}
		to[name] = values
	}
}

// inform relays an informational answer, such as 103 Early Hints. To a client
// that waits for "100 Continue" nothing else is told: net/http may be writing
// that in another goroutine.
func (x *exchange) inform(h *head) error {
	if x.expect || h.status == http.StatusContinue || !x.r.ProtoAtLeast(1, 1) {
		return nil
	}
	cleanAnswer(h.header)
	to := x.w.Header()
	before := to.Clone()
	merge(to, h.header)
	x.push()
	x.w.WriteHeader(h.status)
	clear(to)
	merge(to, before)
	return nil
}

// readError is the failure of an answer's body.
func (x *exchange) readError(a answer, err error) *Error {
	if k, ok := a.(*call); ok {
		return k.failure(StageReadBody, err)
	}
	if e := x.bodyFailure(); e != nil {
		return e
	}
	if x.r.Context().Err() != nil {
		e := ended(x.r.Context())
		e.excused = true // the head had come; what took the time after it is the client's as likely as not
		return e
	}
	return &Error{Stage: StageReadBody, Err: err, reason: causeOf(StageReadBody, err), excused: wasCancelled(err)}
}

// writeError is the failure to send to the client.
func (x *exchange) writeError(err error) *Error {
	reason := ReasonClientGone
	switch limit := x.patience.limit; {
	case isTimeout(err) && !limit.IsZero() && !time.Now().Before(limit):
		reason = ReasonTotalTimeout
	case isTimeout(err):
		reason = ReasonClientUnreadable
	}
	return &Error{Stage: StageClientWrite, Err: err, reason: reason}
}
