package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/healthcheck"
)

// An application is the end of a chain: here, one that answers every request
// with what it knows about it.
type application struct {
	policy    *forwarded.Policy
	guard     *guard // nil: somebody in front decides about https
	visits    *visits
	page      string // the URL of the demo's page
	health    healthcheck.Health
	lastProbe *atomic.Pointer[visit] // at the proxy in front
}

const (
	probePath  = "/healthz"
	probeAgent = "ELB-HealthChecker/2.0"
)

// ServeHTTP answers health checks before anything else looks at the request.
func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.health.Wrap(http.HandlerFunc(a.visited)).ServeHTTP(w, r)
}

// visited is for everybody else. Everything below the policy's Wrap sees only
// what the declared hops vouch for.
func (a *application) visited(w http.ResponseWriter, r *http.Request) {
	var inner http.Handler = http.HandlerFunc(a.inner)
	if a.guard != nil {
		inner = a.guard.Wrap(inner)
	}
	a.policy.Wrap(inner).ServeHTTP(w, arriving(r))
}

func (a *application) inner(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/last-health-check" {
		if probe := a.lastProbe.Load(); probe != nil {
			a.answer(w, r, *probe)
			return
		}
		http.Error(w, "no health check has come yet", http.StatusServiceUnavailable)
		return
	}
	v := visit{Arrived: arrivedLines(r), Handed: allLines(r), Believed: a.explain(r)}
	v.trace()
	a.answer(w, r, v)
}

// explain adds what is wrong with the topology to what is wrong with the
// request: here, one reader mends both.
func (a *application) explain(r *http.Request) forwarded.Explanation {
	e := a.policy.Explain(r)
	for _, f := range a.policy.Lint() {
		e.Warnings = append(e.Warnings, forwarded.Warning{Code: f.Code, Message: f.Message, Fix: f.Fix})
	}
	return e
}

// visitHeader tells the page which visit an answer is about.
const visitHeader = "Demo-Visit"

// answer is text, or JSON for those who ask for it. Browsers are sent to the
// page, which knows the rest of the way as well.
func (a *application) answer(w http.ResponseWriter, r *http.Request, v visit) {
	number := a.visits.add(v)
	page := fmt.Sprintf("%s/visits/%d", a.page, number)
	h := w.Header()
	h.Set(visitHeader, fmt.Sprint(number))
	h.Set("Vary", "Accept")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch accept := strings.Join(r.Header["Accept"], ","); {
	case strings.Contains(accept, "text/html"):
		http.Redirect(w, r, page, http.StatusSeeOther)
	case strings.Contains(accept, "application/json"):
		h.Set("Content-Type", "application/json")
		w.Write(v.Believed.JSON())
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "%s\nIts whole way: %s\n", strings.TrimSpace(v.Believed.String()), page)
	}
}
