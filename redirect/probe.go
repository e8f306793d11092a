package redirect

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knownhops/knownhops/forwarded"
)

// Probe asks for a public URL of this service, as a visitor would, follows
// redirects on hosts of ours, and reports how each request arrived at this
// Enforcer. A chain of proxies is judged so without waiting for a visitor, at
// start-up or in a test. Begin with http, to see the redirect too.
//
// The requests carry a random word by which Wrap knows them, and answers them
// itself; another process that serves them, or one that gets them late, hands
// them on. Names and
// certificates are those that this machine sees, which may differ from a
// visitor's. The error is for a URL that cannot be asked for, and for the end of
// ctx; what is wrong with the chain is in the Report.
func (e *Enforcer) Probe(ctx context.Context, publicURL string) (Report, error) {
	u, err := e.probeURL(publicURL)
	if err != nil {
		return Report{}, fmt.Errorf("redirect: %w", err)
	}
	rt := e.cfg.ProbeTransport
	if rt == nil {
		own := &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: probeTime, ForceAttemptHTTP2: true}
		defer own.CloseIdleConnections()
		rt = own
	}
	var report Report
	for range maxProbeSteps {
		step, fix := e.probeOnce(ctx, rt, u)
		if ctx.Err() != nil {
			report.Problem = ctx.Err().Error()
			return report, ctx.Err()
		}
		report.Steps = append(report.Steps, step)
		if report.Problem, report.Fix = step.problem(u, fix); report.Problem != "" || step.Location == "" {
			return report, nil
		}
		if u, err = e.probeNext(u, step.Location); err != nil {
			report.Problem, report.Fix = step.URL+" is redirected elsewhere: "+err.Error(), "have whoever answered redirect to the canonical host or an alias, or add that host to Aliases"
			return report, nil
		}
	}
	report.Problem = fmt.Sprintf("no end after %d redirects", maxProbeSteps)
	report.Fix = "two layers redirect to one another: let one place decide, and remove the rule of whatever is in front, or of the application"
	return report, nil
}

const (
	probeHeader   = "Knownhops-Probe"
	probeTime     = 10 * time.Second // for each request
	maxProbeSteps = 6
	maxProbeBody  = 64 << 10
)

// probeURL refuses what is not to be redirected: Probe is no way to reach others.
func (e *Enforcer) probeURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("not a URL") // its own text would show a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || u.User != nil:
		return nil, fmt.Errorf("%q is no http or https URL", u.Redacted())
	}
	site, reason := e.hosts.ours(&forwarded.Info{Host: u.Hostname()})
	switch {
	case reason != 0:
		return nil, fmt.Errorf("%s is not a host of ours (%s)", shown(u.Hostname()), reason)
	case site == &plainSite:
		return nil, fmt.Errorf("%s is one of PlainHosts, which are never redirected", shown(u.Hostname()))
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// probeNext follows a redirect. Whoever answers over http may be anybody, so it
// leads to the hosts and ports of the Config only.
func (e *Enforcer) probeNext(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if to, err = e.probeURL(to.String()); err != nil {
		return nil, err
	}
	site, _ := e.hosts.ours(&forwarded.Info{Host: to.Hostname()})
	if site.needs == nil && to.Hostname() != from.Hostname() {
		return nil, fmt.Errorf("%s is not named in the Config", shown(to.Hostname()))
	}
	if port := to.Port(); port != "" && (to.Scheme != from.Scheme || port != from.Port()) && port != e.portOf(to.Scheme) {
		return nil, fmt.Errorf("port %s is not that of %s", port, to.Scheme)
	}
	return to, nil
}

func (e *Enforcer) portOf(scheme string) string {
	switch {
	case scheme == "http":
		return "80"
	case e.cfg.HTTPSPort != 0:
		return strconv.Itoa(int(e.cfg.HTTPSPort))
	}
	return "443"
}

// probeOnce sends one request and waits for its answer.
func (e *Enforcer) probeOnce(ctx context.Context, rt http.RoundTripper, u *url.URL) (step Step, fix string) {
	step.URL = u.Redacted()
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		step.Err = err
		return step, ""
	}
	word, came := e.probes.expect(u.Scheme == "https")
	defer e.probes.forget(word)
	req.Header.Set(probeHeader, word)
	req.Header.Set("User-Agent", "knownhops-probe")
	resp, err := rt.RoundTrip(req)
	if err != nil {
		step.Err = err
		return step, ""
	}
	io.CopyN(io.Discard, resp.Body, maxProbeBody)
	resp.Body.Close()
	step.Status, step.Location = resp.StatusCode, redirection(resp)
	if len(step.Location) > maxLocation {
		step.Location, step.Err = "", errors.New("a Location longer than any browser follows")
	}
	select {
	case a := <-came:
		step.Arrived, step.Info, step.Decision = true, a.info, a.decision
		fix = a.cause
	default:
	}
	return step, fix
}

// redirection is where a response sends its reader, or "".
func redirection(resp *http.Response) string {
	switch resp.StatusCode {
	case 301, 302, 303, 307, 308:
		return resp.Header.Get("Location")
	}
	return ""
}

// probes are the requests of Probe that are under way.
type probes struct {
	waiting atomic.Int64
	mu      sync.Mutex
	words   map[string]*expected
}

type expected struct {
	https bool
	came  chan arrival
}

// An arrival is how a request of Probe came in.
type arrival struct {
	info     forwarded.Info
	decision Decision
	cause    string // of https that came in as http
}

func (p *probes) expect(https bool) (word string, came <-chan arrival) {
	word = rand.Text()
	one := &expected{https: https, came: make(chan arrival, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.words == nil {
		p.words = make(map[string]*expected)
	}
	p.words[word] = one
	p.waiting.Add(1)
	return word, one.came
}

func (p *probes) forget(word string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.words, word)
	p.waiting.Add(-1)
}

// of finds the Probe that a request belongs to, or nil.
func (p *probes) of(r *http.Request) *expected {
	if p.waiting.Load() == 0 || len(r.Header[probeHeader]) != 1 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.words[r.Header[probeHeader][0]]
}

// answerProbe answers a request of Probe in place of the next handler, and tells
// Probe about it.
func (e *Enforcer) answerProbe(w http.ResponseWriter, r *http.Request, v *verdict, probe *expected) {
	a := arrival{info: v.info, decision: v.Decision}
	if probe.https && v.info.Scheme == forwarded.HTTP {
		original := originalOf(r)
		a.cause = whoLostIt(&v.info, r, original, bestHint(e.signals(original.Header, v.info.Host)))
	}
	select {
	case probe.came <- a:
	default: // a retry of the same request
	}
	if v.Action != Pass {
		e.answer(w, r, v)
		return
	}
	w.Header().Set("Cache-Control", "private, no-store")
	w.WriteHeader(http.StatusNoContent)
}
