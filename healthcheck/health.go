package healthcheck

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Health answers probes, runs checks and knows whether the service is leaving.
// The zero Health is live and ready and has no checks. Its methods may be
// called concurrently; it must not be copied.
type Health struct {
	state   atomic.Pointer[state] // what probes get; nil: live and ready
	counts  counts
	probers table
	hints   hints
	profile atomic.Pointer[Profile] // who is in front, for Details; nil: unknown

	paths Paths
	hook  func(Transition)
	logTo *slog.Logger // nil: slog.Default

	running  atomic.Bool // Run is
	watchers atomic.Int64

	mu      sync.Mutex // guards what follows; nobody else's code runs under it
	sources []*source
	byName  map[string]*source
	full    bool // a report was dropped, and that was said
	timer   *time.Timer
	wake    time.Time // when timer fires; zero: it does not
	overall Transition
	spoken  budget
	drain   chan struct{} // closed by Drain; nil: nobody has asked for it yet
	leaving time.Time     // when Drain was called; zero: it was not

	tracked map[string]int
	idle    chan struct{} // closed when nothing is tracked any more; nil: nobody waits

	queue   []Transition // not told yet
	telling bool
}

// New checks cfg and returns a Health for it, or a [ConfigErrors] that lists
// every mistake. It starts no goroutine; [Health.Run] runs the checks, and
// [Serve] calls it.
func New(cfg Config) (*Health, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	h := &Health{paths: cfg.Paths, hook: cfg.OnTransition, logTo: cfg.Logger}
	for i := range cfg.Checks {
		h.add(newCheck(&cfg.Checks[i], &cfg))
	}
	now := time.Now()
	for _, s := range h.sources {
		s.since = now
		s.status = s.judge(now)
	}
	h.overall = h.sum(now)
	h.publish()
	return h, nil
}

// Must returns h, or panics with err. It is for variables that are set when a
// program starts.
func Must(h *Health, err error) *Health {
	if err != nil {
		panic(err)
	}
	return h
}

// add puts a source in; h.mu is held, or h is not shared yet.
func (h *Health) add(s *source) {
	if h.byName == nil {
		h.byName = make(map[string]*source)
	}
	h.sources = append(h.sources, s)
	h.byName[s.name] = s
}

// settle brings everything in step with what is known at now: expired results,
// the state that probes read, the next moment at which time alone changes
// something, and what there is to tell. h.mu is held; tell follows when it is
// not held any more.
func (h *Health) settle(now time.Time) {
	for _, s := range h.sources {
		s.expire(now)
		if status := s.judge(now); status != s.status {
			h.note(s.transition(now, status))
			s.status = status
		}
	}
	if sum := h.sum(now); sum.To != h.overall.To || sum.Draining != h.overall.Draining {
		sum.From = h.overall.To
		sum.quiet = !h.spoken.take(now) && !sum.Draining
		h.overall = sum
		h.note(sum)
	}
	h.publish()
	h.alarm(now)
}

// sum is what all sources say together.
func (h *Health) sum(now time.Time) Transition {
	sum := Transition{Time: now, Draining: !h.leaving.IsZero()}
	for _, s := range h.sources {
		sum.To = max(sum.To, s.status)
	}
	if sum.Draining {
		sum.To = Fail
	}
	return sum
}

// publish shows probes a new state if it differs from the one they see.
func (h *Health) publish() {
	next := &state{ready: verdictOK, live: verdictOK, startup: verdictOK}
	for _, s := range h.sources {
		if s.status != Fail {
			continue
		}
		next.ready = verdictUnavailable
		switch s.kind {
		case Startup:
			next.startup = verdictUnavailable
		case Watchdog:
			next.live = verdictUnavailable
		}
	}
	if !h.leaving.IsZero() {
		next.ready = verdictDraining
	}
	old := h.state.Load()
	if old != nil && old.ready == next.ready && old.live == next.live && old.startup == next.startup {
		return
	}
	next.changed = make(chan struct{})
	h.state.Store(next)
	if old != nil {
		close(old.changed)
	}
}

// alarm makes time pass: what expires does so without anybody asking.
func (h *Health) alarm(now time.Time) {
	var next time.Time
	for _, s := range h.sources {
		if t := s.next(now); !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if next.Equal(h.wake) {
		return
	}
	h.wake = next
	switch {
	case next.IsZero():
		h.timer.Stop()
	case h.timer == nil:
		h.timer = time.AfterFunc(next.Sub(now), h.tick)
	default:
		h.timer.Reset(next.Sub(now))
	}
}

func (h *Health) tick() {
	h.mu.Lock()
	h.wake = time.Time{}
	h.settle(time.Now())
	h.mu.Unlock()
	h.tell()
}

// current is the state, which also a watcher can wait on.
func (h *Health) current() *state {
	if s := h.state.Load(); s != nil {
		return s
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.publish()
	return h.state.Load()
}
