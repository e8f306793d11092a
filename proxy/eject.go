package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// A verdict is what an exchange says of its upstream.
type verdict uint8

const (
	verdictNone verdict = iota // the client's fault, or not conclusive
	verdictGood
	verdictBad // counts against the upstream
)

// health is what is known of an upstream.
type health struct {
	state  State
	since  time.Time
	reason string

	probed bool // a probe has ended
	passed bool // one of them has passed
	streak int  // probes in a row that contradict the state

	outs int       // times it was left out, one soon after the other
	back time.Time // when the last of them ended, or ends
}

// A phase is a time in which an upstream does not have its full share. It never
// changes. The nil phase is that of an upstream which has it.
type phase struct {
	state      State
	start, end time.Time // end is zero where only a probe ends it
}

// firstShare is what an upstream that comes back gets in the beginning.
const firstShare = 0.1

// share is the part of its requests that an upstream gets while it comes back.
func (p *phase) share() float64 {
	passed := float64(time.Since(p.start)) / float64(p.end.Sub(p.start))
	return firstShare + (1-firstShare)*passed
}

// accepts reports whether an upstream whose turn it is takes the request.
func (p *phase) accepts() bool {
	return p.state == StateReturning && !p.over(time.Now()) && rand.Float64() < p.share()
}

// over reports whether the phase should have ended.
func (p *phase) over(now time.Time) bool { return !p.end.IsZero() && !now.Before(p.end) }

// current is the phase of u, brought up to date.
func (f *fleet) current(u *upstream) *phase {
	p := u.phase.Load()
	if p != nil && p.over(time.Now()) {
		f.update(func(now time.Time) { f.settle(u, now) })
		p = u.phase.Load()
	}
	return p
}

// done ends what pick began. It must be called exactly once.
func (u *upstream) done(v verdict) {
	switch v {
	case verdictGood:
		if u.bad.Load() != 0 || !u.worked.Load() {
			u.good()
		}
	case verdictBad:
		u.failures.Add(1)
		if u.bad.Add(1); u.fleet.tooMany(u) {
			u.fleet.eject(u)
		}
	}
	u.ended.Add(1)
	u.inFlight.Add(-1)
}

// good ends a row of failures. Where nobody probes, the first good exchange
// tells that the upstream works.
func (u *upstream) good() {
	u.bad.Store(0)
	if u.worked.Swap(true) || u.fleet.prober != nil {
		return
	}
	u.fleet.update(func(now time.Time) {
		if u.health.state == StateUnknown {
			u.health.state, u.health.since = StateHealthy, now
		}
	})
}

// failing reports whether nothing but being the last one usable can have kept
// the upstream.
func (f *fleet) failing(u *upstream) bool {
	return f.check.Failures > 0 && u.bad.Load() >= int64(f.check.Failures)
}

// tooMany reports whether the upstream should be left out: one failure is
// enough while it comes back.
func (f *fleet) tooMany(u *upstream) bool {
	if f.failing(u) {
		return true
	}
	p := u.phase.Load()
	return f.check.Failures > 0 && p != nil && p.state == StateReturning && u.bad.Load() > 0
}

// eject leaves u out for a time, unless it is the last one usable.
func (f *fleet) eject(u *upstream) {
	f.update(func(now time.Time) {
		f.settle(u, now)
		h := &u.health
		if h.state == StateEjected || h.state == StateUnhealthy || !f.tooMany(u) || !f.othersUsable(u, now) {
			return
		}
		reason := fmt.Sprintf("%d exchanges in a row failed", u.bad.Load())
		if h.state == StateReturning {
			reason = "an exchange failed while it was coming back"
		}
		length := f.ejection(h, now)
		h.back = now.Add(length)
		f.move(u, change{StateEjected, now, length, fmt.Sprintf("%s; left out for %v", reason, length),
			"the failed exchanges with it are in this log"})
	})
}

// maxGrowth bounds how often EjectFor an upstream is left out.
const maxGrowth = 10

// ejection is how long it lasts: twice as long as the last time, if that was
// less than ten times EjectFor ago.
func (f *fleet) ejection(h *health, now time.Time) time.Duration {
	if now.Sub(h.back) > maxGrowth*f.check.EjectFor {
		h.outs = 0
	}
	length := f.check.EjectFor * time.Duration(min(1<<h.outs, maxGrowth))
	if 1<<h.outs < maxGrowth {
		h.outs++
	}
	return length
}

// othersUsable reports whether there is another upstream than u to go to.
func (f *fleet) othersUsable(u *upstream, now time.Time) bool {
	for _, o := range f.ups {
		f.settle(o, now)
		if o != u && o.health.state != StateEjected && o.health.state != StateUnhealthy {
			return true
		}
	}
	return false
}

// settle ends the phases of u whose time is over. f.mu is held.
func (f *fleet) settle(u *upstream, now time.Time) {
	if p := u.phase.Load(); p != nil && p.state == StateEjected && p.over(now) {
		f.comeBack(u, p.end, "its time out is over")
	}
	if p := u.phase.Load(); p != nil && p.state == StateReturning && p.over(now) {
		f.move(u, change{to: StateHealthy, at: p.end, reason: "it has its full share again"})
	}
}

// comeBack gives u its share, slowly. f.mu is held.
func (f *fleet) comeBack(u *upstream, at time.Time, reason string) {
	u.bad.Store(0)
	if f.check.SlowStart <= 0 {
		f.move(u, change{to: StateHealthy, at: at, reason: reason})
		return
	}
	f.move(u, change{to: StateReturning, at: at, length: f.check.SlowStart, reason: reason})
}

// A change is what happens to an upstream.
type change struct {
	to            State
	at            time.Time
	length        time.Duration // until it ends by itself; 0: it does not
	reason, check string        // why, and what a person should look at
}

// move applies a change, and notes it for the log. f.mu is held.
func (f *fleet) move(u *upstream, c change) {
	h := &u.health
	f.news = append(f.news, transition{u.name, h.state, c})
	h.state, h.since, h.reason = c.to, c.at, c.reason
	switch {
	case c.to == StateHealthy:
		u.phase.Store(nil)
	case c.length > 0:
		u.phase.Store(&phase{c.to, c.at, c.at.Add(c.length)})
	default:
		u.phase.Store(&phase{state: c.to, start: c.at})
	}
}

// update changes what is known, and logs what became of it when the lock is
// free again: a log handler may take its time, or ask for the Status.
func (f *fleet) update(change func(now time.Time)) {
	f.mu.Lock()
	change(time.Now())
	news := f.news
	f.news = nil
	f.mu.Unlock()
	for _, t := range news {
		t.log(f.logger)
	}
}

// A transition is a change to be logged.
type transition struct {
	upstream string
	from     State
	change
}

func (t transition) log(logger *slog.Logger) {
	if logger == nil {
		logger = slog.Default()
	}
	level := slog.LevelInfo
	if t.to == StateUnhealthy || t.to == StateEjected {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("upstream", t.upstream),
		slog.String("from", t.from.String()), slog.String("to", t.to.String()),
		slog.String("reason", t.reason),
	}
	if t.check != "" {
		attrs = append(attrs, slog.String("check", t.check))
	}
	logger.LogAttrs(context.Background(), level, "upstream "+t.to.String(), attrs...)
}
