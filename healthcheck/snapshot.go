package healthcheck

import (
	"encoding/json"
	"log/slog"
	"time"
)

// A Snapshot is a copy of what a [Health] knows at one moment. As JSON and in
// logs it leaves out the texts of errors and who probes: those are for
// [Health.Details] and for code that knows what it shows.
type Snapshot struct {
	Time     time.Time      `json:"time"`
	Status   Status         `json:"status"` // Fail: no requests should come
	Ready    bool           `json:"ready"`
	Live     bool           `json:"live"`
	Started  bool           `json:"started"` // every Startup check has passed
	Draining bool           `json:"draining"`
	Running  bool           `json:"running"` // Run runs the checks
	Checks   []CheckState   `json:"checks"`  // in the order of the Config, then as they came
	Probes   []ProbeCount   `json:"probes,omitempty"`
	Tracked  map[string]int `json:"tracked,omitempty"` // see Health.Track

	Probers []Prober `json:"-"`
	Hints   []Hint   `json:"-"` // mis-aimed probes
}

// CheckState is the state of a check, heartbeat or report.
type CheckState struct {
	Name   string        `json:"name"`
	Kind   Kind          `json:"kind"`
	Status Status        `json:"status"` // what it means for the service
	Level  string        `json:"level"`  // what its results amount to: "unknown", "passing", "failing"
	Since  time.Time     `json:"since"`  // when that began
	Last   time.Time     `json:"last,omitzero"`
	Took   time.Duration `json:"took_ns"`            // the last run
	Every  time.Duration `json:"every_ns,omitempty"` // zero: nobody knows when the next result comes
	Runs   uint64        `json:"runs"`               // results, beats or reports
	Panics uint64        `json:"panics,omitempty"`
	Err    error         `json:"-"` // of the last result; nil: none
}

// Snapshot returns a copy of what is known now. It takes longer than a probe
// and is meant for pages, metrics and tests.
func (h *Health) Snapshot() Snapshot {
	now := time.Now()
	s := Snapshot{Time: now, Probes: h.counts.list(), Running: h.running.Load(), Tracked: h.trackedNames(), Probers: h.probers.list(now), Hints: h.hints.all()}
	h.mu.Lock()
	defer h.mu.Unlock()
	state := h.state.Load()
	s.Status, s.Draining = h.overall.To, h.overall.Draining
	s.Ready = state.verdict(endReady) == verdictOK
	s.Live = state.verdict(endLive) == verdictOK
	s.Started = state.verdict(endStartup) == verdictOK
	s.Checks = make([]CheckState, len(h.sources))
	for i, source := range h.sources {
		s.Checks[i] = source.state()
	}
	return s
}

func (s *source) state() CheckState {
	return CheckState{
		Name: s.name, Kind: s.kind, Status: s.status, Level: levelNames[s.level], Since: s.since, Last: s.last,
		Took: s.took, Every: s.every, Runs: s.runs, Panics: s.panics, Err: s.err,
	}
}

// String is the snapshot as JSON, so that a Health can be published with
// package expvar. No text of an error and no address is in it.
func (h *Health) String() string {
	text, err := json.Marshal(h.Snapshot())
	if err != nil {
		return `{"status":"fail"}` // no value of a Snapshot fails
	}
	return string(text)
}

// LogValue is the snapshot for package log/slog, in short.
func (s Snapshot) LogValue() slog.Value {
	var bad []string
	for _, c := range s.Checks {
		if c.Status != Pass {
			bad = append(bad, c.Name)
		}
	}
	return slog.GroupValue(slog.String("status", s.Status.String()), slog.Bool("draining", s.Draining), slog.Any("not_passing", bad))
}
