package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/healthcheck"
)

// A metric is something to measure, by the name that OpenTelemetry has for it.
type metric struct {
	name, unit, help string
	counter          bool // it only grows; otherwise it is a gauge
	labels           []string
}

// prometheus is the name by Prometheus' rules: healthcheck.duration in seconds
// is healthcheck_duration_seconds. Health.Metrics has the same names.
func (m *metric) prometheus() string {
	name := strings.ReplaceAll(m.name, ".", "_")
	if m.unit == "s" {
		name += "_seconds"
	}
	if m.counter {
		name += "_total"
	}
	return name
}

// What there is to measure. All label values are a few fixed words or names that
// this program has chosen: never an address, and nothing that a client wrote.
var (
	ready      = &metric{name: "healthcheck.ready", help: "Whether readiness answers 200."}
	live       = &metric{name: "healthcheck.live", help: "Whether liveness answers 200."}
	draining   = &metric{name: "healthcheck.draining", help: "Whether the service is leaving."}
	probers    = &metric{name: "healthcheck.probers", help: "Who asks for readiness at the moment."}
	status     = &metric{name: "healthcheck.status", help: "What the check means: 1 pass, 0.5 warn, 0 fail.", labels: []string{"check", "kind"}}
	duration   = &metric{name: "healthcheck.duration", unit: "s", help: "How long the last run took.", labels: []string{"check", "kind"}}
	lastRun    = &metric{name: "healthcheck.last_run.timestamp", unit: "s", help: "When the last result came; 0: there is none.", labels: []string{"check", "kind"}}
	runs       = &metric{name: "healthcheck.runs", help: "Results so far.", counter: true, labels: []string{"check", "kind"}}
	panics     = &metric{name: "healthcheck.panics", help: "Runs that panicked.", counter: true, labels: []string{"check", "kind"}}
	probes     = &metric{name: "healthcheck.probes", help: "Probes answered.", counter: true, labels: []string{"endpoint", "code"}}
	misaimed   = &metric{name: "healthcheck.misaimed", help: "Requests of probes that ask at a path which is none of ours.", counter: true}
	requests   = &metric{name: "forwarded.requests", help: "Requests by what is known of the client.", counter: true, labels: []string{"status", "reason"}}
	unknown    = &metric{name: "forwarded.unknown_schemes", help: "Requests whose scheme is unknown.", counter: true, labels: []string{"reason"}}
	decisions  = &metric{name: "redirect.decisions", help: "Decisions about https.", counter: true, labels: []string{"reason"}}
	everything = []*metric{ready, live, draining, probers, status, duration, lastRun, runs, panics, probes, misaimed, requests, unknown, decisions}
)

// A sample is one value of a metric.
type sample struct {
	*metric
	value  float64
	labels []string // values, in the order of the metric's labels
}

// samples reads everything once. It takes microseconds and no lock that a
// request waits for longer than that.
func (s *service) samples() []sample {
	list := healthSamples(s.health.Snapshot())
	list = append(list, s.results.samples()...)
	if s.https != nil {
		for reason, n := range s.https.Stats() {
			list = append(list, sample{decisions, float64(n), []string{reason.String()}})
		}
	}
	return list
}

func healthSamples(h healthcheck.Snapshot) []sample {
	active, missed := 0.0, 0.0
	for _, p := range h.Probers {
		active += bit(p.Active)
	}
	for _, hint := range h.Hints {
		missed += float64(hint.Count)
	}
	list := []sample{
		{ready, bit(h.Ready), nil}, {live, bit(h.Live), nil}, {draining, bit(h.Draining), nil},
		{probers, active, nil}, {misaimed, missed, nil},
	}
	for _, c := range h.Checks {
		labels := []string{c.Name, c.Kind.String()}
		list = append(list,
			sample{status, 1 - float64(c.Status)/2, labels}, sample{duration, c.Took.Seconds(), labels}, sample{lastRun, seconds(c), labels},
			sample{runs, float64(c.Runs), labels}, sample{panics, float64(c.Panics), labels})
	}
	for _, p := range h.Probes {
		list = append(list, sample{probes, float64(p.Count), []string{p.Endpoint, strconv.Itoa(p.Code)}})
	}
	return list
}

// seconds is when the last result came, as Unix has it.
func seconds(c healthcheck.CheckState) float64 {
	if c.Last.IsZero() {
		return 0
	}
	return float64(c.Last.UnixNano()) / 1e9
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// results counts what forwarded found out. The zero value is ready for use.
type results struct {
	mu      sync.Mutex
	clients map[client]uint64
	schemes map[forwarded.Reason]uint64
}

// A client is how much is known of one, and why: a few dozen at most.
type client struct {
	status forwarded.Status
	reason forwarded.Reason
}

// add is for forwarded.Config.OnResult.
func (r *results) add(_ *http.Request, info forwarded.Info) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients == nil {
		r.clients, r.schemes = make(map[client]uint64), make(map[forwarded.Reason]uint64)
	}
	r.clients[client{info.Status, info.Reason}]++
	if info.SchemeReason != 0 {
		r.schemes[info.SchemeReason]++
	}
}

func (r *results) samples() (list []sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, n := range r.clients {
		list = append(list, sample{requests, float64(n), []string{c.status.String(), c.reason.String()}})
	}
	for reason, n := range r.schemes {
		list = append(list, sample{unknown, float64(n), []string{reason.String()}})
	}
	return list
}
