package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A prober asks every upstream of a fleet for Check.Path, again and again.
type prober struct {
	fleet     *fleet
	check     HealthCheck
	match     matcher
	transport http.RoundTripper // of the exchanges

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newProber(f *fleet, cfg *Config) *prober {
	match, _ := parseMatcher(cfg.Check.Matcher) // New has read it already
	return &prober{fleet: f, check: cfg.Check, match: match, transport: cfg.Transport}
}

// start begins the active checks, if there are any, and does not wait for the
// first probe. It may be called once.
func (f *fleet) start() {
	if p := f.prober; p != nil {
		ctx, cancel := context.WithCancel(context.Background())
		p.cancel = cancel
		for _, u := range f.ups {
			p.wg.Go(func() { p.watch(ctx, u) })
		}
	}
}

// stop ends the active checks, and the probes under way, and returns when they
// are gone. It may be called again.
func (f *fleet) stop() {
	if p := f.prober; p != nil && p.cancel != nil {
		p.cancel()
		p.wg.Wait()
	}
}

// watch probes one upstream at once and then in every interval.
func (p *prober) watch(ctx context.Context, u *upstream) {
	rt := p.transport
	if own, ok := rt.(*transport); ok {
		rt = own.forProbes(u)
	}
	ticker := time.NewTicker(p.check.Interval)
	defer ticker.Stop()
	for {
		o := p.probe(ctx, rt, u)
		if ctx.Err() != nil {
			return // the probe did not end by itself and says nothing
		}
		p.fleet.update(func(now time.Time) { p.record(u, o, now) })
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// forProbes speaks what the upstream speaks, with t's settings, but on a new
// connection for each probe: one that was made in better times proves little.
func (t *transport) forProbes(u *upstream) *http.Transport {
	probes := t.cfg.standard(u.scheme == "h2c")
	probes.DisableKeepAlives = true
	probes.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return t.cfg.dialInTime(ctx, u.network, u.addr)
	}
	return probes
}

// maxProbeBody is how much of the answer to a probe is read. Only its status
// counts.
const maxProbeBody = 64 << 10

// An outcome is what one probe says.
type outcome struct {
	pass          bool
	reason, check string // what was seen, and what a person should look at
}

// probe asks once.
func (p *prober) probe(ctx context.Context, rt http.RoundTripper, u *upstream) outcome {
	ctx, cancel := context.WithTimeout(ctx, p.check.Timeout)
	defer cancel()
	var stage probeStage
	req, err := p.request(stage.trace(ctx), u)
	if err != nil {
		return p.failed(StageNone, err)
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		return p.failed(Stage(stage.Load()), err)
	}
	defer res.Body.Close()
	io.CopyN(io.Discard, res.Body, maxProbeBody)
	return p.answered(res)
}

func (p *prober) request(ctx context.Context, u *upstream) (*http.Request, error) {
	scheme := "http"
	if u.scheme == "https" {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+u.host+p.check.Path, nil)
	if err != nil {
		return nil, err
	}
	if p.check.Host != "" {
		req.Host = p.check.Host
	}
	req.Header.Set("User-Agent", "knownhops-health-check/1")
	return req, nil
}

// answered judges an answer by its status.
func (p *prober) answered(res *http.Response) outcome {
	o := outcome{pass: p.match.has(res.StatusCode)}
	o.reason = fmt.Sprintf("GET %s: %d %s", p.check.Path, res.StatusCode, http.StatusText(res.StatusCode))
	if !o.pass {
		o.reason += ", not " + p.check.Matcher
		o.check = statusHint(res.StatusCode)
	}
	return o
}

// statusHint says what to check when a probe got the wrong status.
func statusHint(status int) string {
	switch {
	case status < 300:
		return "it answered well, but Check.Matcher does not name this status"
	case status < 400:
		return "redirects are not followed: let the application answer Check.Path without one, or set Check.Host"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "Check.Path must be open to this proxy without a login"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return "does the application serve Check.Path with GET?"
	case status == http.StatusBadRequest || status == http.StatusMisdirectedRequest:
		return "does the application know the probe's host? Check.Host sets it"
	case status < 500:
		return "it refuses the probe: its log says why"
	}
	return "it says itself that it is not well: its log says why"
}

// failed names an error that came in place of an answer.
func (p *prober) failed(stage Stage, err error) outcome {
	cause := causeOfRoundTrip(stage, err)
	hint := cause.info().hint
	if cause == ReasonAnswerTimeout || cause == ReasonWriteTimeout {
		hint = "it did not answer within Check.Timeout: is it overloaded, or does the check do too much?"
	}
	return outcome{reason: fmt.Sprintf("GET %s: %s: %v", p.check.Path, cause, err), check: hint}
}

// causeOfRoundTrip is causeOf for the errors of net/http, which has no types
// for some.
func causeOfRoundTrip(stage Stage, err error) Reason {
	cause := causeOf(stage, err)
	if cause != ReasonBroken {
		return cause
	}
	switch text := err.Error(); {
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "looked like an HTTP/1.1 header"):
		return ReasonMalformedAnswer
	case strings.Contains(text, "response headers exceeded"):
		return ReasonHeadTooLarge
	case strings.Contains(text, "server closed idle connection"):
		return ReasonConnectionLost
	}
	return cause
}

// A probeStage is how far a probe has come. Dials may outlive a probe, hence
// the atomic.
type probeStage struct{ atomic.Uint32 }

func (s *probeStage) trace(ctx context.Context) context.Context {
	at := func(stage Stage) { s.Store(uint32(stage)) }
	at(StageDial)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart: func() { at(StageTLS) },
		GotConn:           func(httptrace.GotConnInfo) { at(StageWriteHead) },
		WroteRequest:      func(httptrace.WroteRequestInfo) { at(StageReadHead) },
	})
}

// record draws the consequences of a probe. The first decides alone; later ones
// as many in a row as the thresholds say. A pass changes nothing for an upstream
// that is left out because its exchanges fail. The fleet's lock is held.
func (p *prober) record(u *upstream, o outcome, now time.Time) {
	p.fleet.settle(u, now)
	h := &u.health
	first := !h.probed
	h.probed = true
	if h.state != StateEjected && h.state != StateReturning {
		h.reason = o.reason
	}
	out := h.state == StateUnhealthy
	if h.streak++; o.pass != out {
		h.streak = 0
	}
	defer func() { h.passed = h.passed || o.pass }()
	switch {
	case first && o.pass && h.state == StateUnknown:
		p.fleet.move(u, change{to: StateHealthy, at: now, reason: o.reason})
	case out && (h.streak >= p.check.HealthyThreshold || !h.passed && o.pass): // an application that starts later than the proxy
		h.streak = 0
		p.fleet.comeBack(u, now, o.reason)
	case !out && !o.pass && (first || h.streak >= p.check.UnhealthyThreshold):
		h.streak = 0
		p.fleet.move(u, change{to: StateUnhealthy, at: now, reason: o.reason, check: o.check})
	}
}
