package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// A ruling is what the page says about who decided about https, and why.
type ruling struct {
	By  string // a part of the chain
	Did string
	redirect.Decision
	Log string // the line that the decision left in its log; "": none
}

// rulingOn reads what the balancer and the guard did. v may be nil, and nil
// means that nobody decided anything.
func (d *demo) rulingOn(e *albtest.Entry, v *visit) *ruling {
	if v != nil {
		return &ruling{By: v.Part, Did: did(*v.Ruling), Decision: *v.Ruling, Log: d.said(*v)}
	}
	if e != nil && e.AnsweredBy == albtest.ByBalancer && e.RedirectURL != "" {
		return &ruling{By: "the balancer", Did: "redirected, by its own rule: nothing behind it was asked"}
	}
	return nil
}

func did(r redirect.Decision) string {
	switch r.Action {
	case redirect.Redirect:
		return fmt.Sprintf("redirected (%d) to %s", r.Status, r.Location)
	case redirect.Refuse:
		return fmt.Sprintf("refused (%d)", r.Status)
	}
	return "let it pass"
}

// said is the latest line that a guard's log has for that reason and host: it
// writes one a minute for each.
func (d *demo) said(v visit) (line string) {
	for _, l := range d.logs.with(`msg="redirect: `) {
		if strings.Contains(l, "reason="+v.Ruling.Reason.String()+" ") && strings.Contains(l, "host="+v.Arrived.Get("Host")+" ") {
			line = l
		}
	}
	return line
}

// answersItself reports whether the request ends at the guard.
func answersItself(v *visit) bool { return v != nil && v.Ruling.Action != redirect.Pass }

// ruled returns the visit that an answer's headers name.
func (d *demo) ruled(h http.Header) *visit { return d.visits.told(h.Get(rulingHeader)) }
