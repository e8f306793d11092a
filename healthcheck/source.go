package healthcheck

import (
	"context"
	"errors"
	"time"
)

// What a source says when nobody gave it a reason.
var (
	errTimeout = errors.New("no result within the time-out")
	errHung    = errors.New("a run from before has not ended yet")
	errStale   = errors.New("no result for too long; is Run running?")
	errMissed  = errors.New("the heartbeat is missing")
	errExited  = errors.New("the check ended its goroutine without a result")
)

// A level is what the results of a source amount to.
type level uint8

const (
	unknown level = iota // too few results
	passing
	failing
)

var levelNames = [...]string{unknown: "unknown", passing: "passing", failing: "failing"}

// A source is something that results come from: a check, a heartbeat or
// reports. Health.mu guards what changes.
type source struct {
	name     string
	kind     Kind
	gate     time.Duration
	run      func(context.Context) error // nil: results are pushed
	every    time.Duration
	timeout  time.Duration
	failures int
	success  int

	level    level
	since    time.Time // when the level was reached
	streak   int       // results in a row that speak against the level
	status   Status    // what the level means at this moment
	expires  time.Time // when the last result is too old; zero: never
	last     time.Time // of the last result; zero: none
	took     time.Duration
	err      error // of the last result
	runs     uint64
	panics   uint64
	panicked bool // the last run did, and that was logged
	spoken   budget
}

func newCheck(c *Check, cfg *Config) *source {
	return &source{
		name: c.Name, kind: c.Kind, gate: c.Gate, run: c.Func,
		every:    orElse(c.Every, orElse(cfg.Every, defaultEvery)),
		timeout:  orElse(c.Timeout, orElse(cfg.Timeout, defaultTimeout)),
		failures: orElse(c.Failures, defaultFailures),
		success:  orElse(c.Successes, defaultSuccesses),
	}
}

// take takes one result in.
func (s *source) take(err error, now time.Time) {
	if s.latched() {
		return
	}
	s.last, s.err = now, err
	to, need := passing, s.success
	if err != nil {
		to, need = failing, s.failures
	} else if s.level == unknown || s.kind == Startup {
		need = 1
	}
	if to == s.level {
		s.streak = 0
		return
	}
	if s.streak++; s.streak >= need {
		s.reach(to, now)
	}
}

func (s *source) reach(l level, now time.Time) {
	s.level, s.since, s.streak = l, now, 0
}

// latched reports whether the source has done its work for good.
func (s *source) latched() bool { return s.kind == Startup && s.level == passing }

// expire turns a source whose last result is too old into a failing one.
func (s *source) expire(now time.Time) {
	if s.expires.IsZero() || now.Before(s.expires) || s.latched() {
		return
	}
	s.expires = time.Time{}
	s.err = errMissed
	if s.run != nil {
		s.err = errStale
	}
	if s.level != failing {
		s.reach(failing, now)
	}
	s.streak = 0
}

// judge says what the source means for the service at now.
func (s *source) judge(now time.Time) Status {
	switch {
	case s.level == passing, s.kind == Watchdog && s.level == unknown:
		return Pass
	case s.kind == Dependency && !now.Before(s.opens()):
		return Warn
	}
	return Fail
}

// opens is when a failing Dependency is let through again: at once without a
// gate, and also before it counts as failing.
func (s *source) opens() time.Time {
	if s.level != failing {
		return time.Time{}
	}
	return s.since.Add(s.gate)
}

// next is when the passing of time alone changes something, if it ever does.
func (s *source) next(now time.Time) time.Time {
	next := s.expires
	if s.latched() {
		return time.Time{}
	}
	if s.kind == Dependency && s.gate > 0 {
		if t := s.opens(); now.Before(t) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// transition is the change of s to another status.
func (s *source) transition(now time.Time, to Status) Transition {
	return Transition{Time: now, Check: s.name, Kind: s.kind, From: s.status, To: to, Err: s.err, quiet: !s.spoken.take(now)}
}
