package albtest

import (
	"net/http"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	s      *Server
	m      *message
	client client
	entry  Entry
	last   bool // the client's connection ends after this
}

// serve answers one request.
func (s *Server) serve(m *message, c client, last bool) {
	now := time.Now()
	m.locate(s.cfg.Attributes.PreserveHostHeader)
	x := &exchange{s: s, m: m, client: c, entry: newEntry(m, now), last: last || !m.http2 && !m.keepAlive()}
	refused := s.examine(m)
	x.entry.Classification, x.entry.Classified = m.tier.String(), m.cause
	x.last = x.last || m.tier >= ambiguous && s.cfg.Attributes.DesyncMitigation == Defensive
	if refused != nil {
		x.refuse(*refused)
		return
	}
	x.act(m.listener.match(m), now)
}

// act does what a rule says.
func (x *exchange) act(r compiled, now time.Time) {
	x.entry.Rule = r.priority
	switch action := r.action.(type) {
	case Redirect:
		x.entry.Action = "redirect"
		x.redirect(action, now)
	case FixedResponse:
		x.entry.Action = "fixed-response"
		x.own(action.answer(now), "the rule has a fixed response")
	case Forward:
		x.entry.Action = "forward"
		x.forward(r.turns, now)
	}
}

func (x *exchange) redirect(r Redirect, now time.Time) {
	to := r.location(x.m)
	limit := x.s.cfg.Unknowns.MaxLocation
	if limit == 0 {
		limit = 8192
	}
	if len(to) > limit {
		x.refuse(refusal{http.StatusInsufficientStorage, "RedirectTooLong", "the address to redirect to is too long"})
		return
	}
	x.entry.RedirectURL = to
	x.own(r.answer(to, now), "the rule redirects")
}

// refuse answers with an error of the balancer's own.
func (x *exchange) refuse(r refusal) {
	x.entry.ErrorReason = r.word
	switch r.status {
	case statusClientLeft:
		x.entry.ELBStatusCode = statusClientLeft
		x.nobody(r.why)
		return
	case http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestURITooLong,
		http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		x.last = true
	}
	x.own(page(r.status, x.s.cfg.Unknowns.StandardTitles, time.Now()), r.why)
}

// own sends an answer of the balancer's own.
func (x *exchange) own(a *answer, why string) {
	x.entry.ELBStatusCode = Status(a.status)
	x.entry.AnsweredBy, x.entry.Why = ByBalancer, why
	if body := x.client.body(); body != nil && body.long(x.m) {
		x.last = true
	}
	x.commit()
	a.fields = x.m.listener.Attributes.adorn(a.fields)
	if x.client.begin(a, x.last) != nil || x.client.end(nil) != nil {
		x.client.abort()
	}
}

// nobody ends an exchange whose client is gone.
func (x *exchange) nobody(why string) {
	x.entry.AnsweredBy, x.entry.Why = ByNobody, why
	x.commit()
	x.client.abort()
}

// commit writes the record. It happens before the last byte of the answer, so
// that a client who has read it finds the record.
func (x *exchange) commit() {
	x.entry.Duration = time.Since(x.entry.Time)
	x.s.journal.add(x.entry)
}

// statusClientLeft is AWS's code for a client that closed the connection
// before it had an answer; nobody receives it.
const statusClientLeft = 460
