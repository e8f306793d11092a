package main

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/knownhops/knownhops/forwarded"
)

// An application is what a balancer has behind it: here, one whose every page
// is about the request that asked for it.
type application struct {
	policy    *forwarded.Policy
	intro     intro
	identity  identity // what scenes trust
	journal   *journal
	lastProbe atomic.Pointer[forwarded.Explanation]
}

func newApplication(d *demo) *application {
	return &application{policy: d.policy, intro: newIntro(d), identity: d.identity, journal: &d.journal}
}

// handler answers health checks before anything else looks at the request.
// Everything below Wrap sees only what the declared hops vouch for.
func (a *application) handler() http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", a.index)
	pages.HandleFunc("GET /explain.json", a.explainJSON)
	pages.Handle("GET /explain", a.policy.ExplainHandler(everybody))
	pages.HandleFunc("GET /last-health-check", a.lastHealthCheck)
	pages.HandleFunc("GET /scenes/{name}", a.scene)

	all := http.NewServeMux()
	all.HandleFunc("GET "+probePath, a.healthz)
	all.Handle("/", keepArrival(a.policy.Wrap(pages)))
	return all
}

// everybody may read the library's own page, because nobody can reach this one
// from outside of the machine. A service on a network lets its operators in.
func everybody(*http.Request) bool { return true }

func (a *application) healthz(w http.ResponseWriter, r *http.Request) {
	if r.UserAgent() == probeAgent {
		e := a.policy.Explain(r)
		a.lastProbe.Store(&e)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ok\n"))
}

func (a *application) index(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, a.explain(r), a.journey(r))
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

func (a *application) explainJSON(w http.ResponseWriter, r *http.Request) {
	send(w, "application/json", a.explain(r).JSON())
}

// lastHealthCheck shows a request that the visitor did not send.
func (a *application) lastHealthCheck(w http.ResponseWriter, r *http.Request) {
	e := a.lastProbe.Load()
	if e == nil {
		http.Error(w, "no health check has come yet", http.StatusServiceUnavailable)
		return
	}
	a.answer(w, r, *e, journey{})
}

// answer is a page for browsers, JSON for those who ask for it and text for
// everybody else.
func (a *application) answer(w http.ResponseWriter, r *http.Request, e forwarded.Explanation, j journey) {
	w.Header().Set("Vary", "Accept")
	switch accept := strings.Join(r.Header["Accept"], ","); {
	case strings.Contains(accept, "text/html"):
		a.sendPage(w, e.HTML(), j)
	case strings.Contains(accept, "application/json"):
		send(w, "application/json", e.JSON())
	default:
		send(w, "text/plain; charset=utf-8", []byte(e.String()+j.text()))
	}
}

// send never lets an answer about one request be kept for the next.
func send(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Write(body)
}

type arrivalKey struct{}

// keepArrival remembers a request's lines as they came, for the page that
// compares them with what Wrap hands on.
func keepArrival(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), arrivalKey{}, allLines(r))))
	})
}

func arrival(r *http.Request) http.Header {
	h, _ := r.Context().Value(arrivalKey{}).(http.Header)
	return h
}
