package redirect

import (
	"net/http"
)

// Wrap answers what must not reach next, and hands the rest on as it came: the
// request and the ResponseWriter are the same. It goes inside of
// forwarded.Policy.Wrap and of healthcheck's Wrap, outside of everything that
// serves content and of what takes a prefix off the path: http.StripPrefix
// does not say what it took, and redirects would lead elsewhere. A request over
// https costs no allocation, one with HSTS.
func (e *Enforcer) Wrap(next http.Handler) http.Handler {
	if e == nil || next == nil {
		panic("redirect: Wrap of a nil *Enforcer or a nil handler; the zero Enforcer refuses everything")
	}
	return &handler{enforcer: e, next: next}
}

type handler struct {
	enforcer *Enforcer
	next     http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := h.enforcer
	v := e.judge(r)
	probe := e.probes.of(r)
	e.count(r, &v, probe != nil)
	if v.hsts {
		setHSTS(w.Header(), v.site.hsts)
	}
	switch {
	case probe != nil:
		e.answerProbe(w, r, &v, probe)
	case v.Action == Pass:
		h.next.ServeHTTP(w, r)
	default:
		e.answer(w, r, &v)
	}
}

// setHSTS leaves alone what a handler further out has set: browsers read only
// the first (RFC 6797 §8.1).
func setHSTS(h http.Header, value string) {
	if value != "" && len(h["Strict-Transport-Security"]) == 0 {
		h["Strict-Transport-Security"] = []string{value}
	}
}

// count tells everybody who wants to know what was decided. A probe is no
// client that could go in circles.
func (e *Enforcer) count(r *http.Request, v *verdict, probe bool) {
	e.stats[v.Reason].Add(1)
	if v.hsts && v.site.http != v.site.https { // otherwise it is about to be sent to the same place again
		e.repeats.arrived(v, r)
	}
	if v.noPolicy {
		e.stats[ReasonNoPolicy].Add(1)
		e.logNoPolicy(r, v)
	}
	suspected := !probe && v.Action == Redirect && (len(v.Signals) > 0 || e.goesRound(r, v))
	if suspected {
		e.stats[ReasonLoopSuspected].Add(1)
	}
	e.log(r, v, suspected)
	if e.cfg.OnDecision != nil {
		e.cfg.OnDecision(r, v.Decision)
	}
}

// goesRound reports whether the same client was sent to the same place just
// before, and before that.
func (e *Enforcer) goesRound(r *http.Request, v *verdict) bool {
	if !e.repeats.again(v, r) {
		return false
	}
	if v.Fix == "" {
		v.Fix = fixCircle(v.Reason)
	}
	return true
}
