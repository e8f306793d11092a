package healthcheck

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// overdueAfter is after how many intervals without a probe a prober does not
// ask any more: it has been told by other means that this target is gone.
const overdueAfter = 2

// longestTail is the longest that a drain waits after the last failing answer.
const longestTail = time.Second

// awaitProbers waits, after Drain, until every prober that was active has had
// the failing answers that take this target out, or asks no more, and says in
// words what ended the wait. It lasts no longer than Profile.Wait or ctx.
//
// Where ordinary requests without forwarding headers come from a prober's
// address, a client can ask for readiness in its place, and where a proxy hands
// probes on, a prober looks like a client. There the wait is as long as the
// probers need by the profile, whatever came.
func (h *Health) awaitProbers(ctx context.Context, p Profile) (why string) {
	h.mu.Lock()
	began := h.leaving
	h.mu.Unlock()
	limit := time.NewTimer(p.wait() - time.Since(began))
	defer limit.Stop()
	for {
		news, e := h.probers.evidence(time.Now(), began, p)
		if e.done {
			return e.why
		}
		pause := time.NewTimer(time.Until(e.next))
		select {
		case <-news:
		case <-pause.C:
		case <-limit.C:
			pause.Stop()
			return fmt.Sprintf("waited %v, the longest that the profile allows, and %s", p.wait(), e.why)
		case <-ctx.Done():
			pause.Stop()
			return "the wait was cut short, and " + e.why
		}
		pause.Stop()
	}
}

// evidence is what is known about the probers during a drain.
type evidence struct {
	done bool
	why  string    // what is known if done, otherwise what is missing
	next time.Time // when to look again without news
}

// evidence weighs what the probers got. The channel is closed when there is
// more to weigh.
func (t *table) evidence(now, began time.Time, p Profile) (<-chan struct{}, evidence) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.news == nil {
		t.news = make(chan struct{})
	}
	w := weighing{now: now, began: began, threshold: p.unhealthyThreshold(), assumed: t.assumed(), takeOut: p.takeOut(), hidden: t.hidden || p.SharedAddress && t.known.Load() > 0}
	for i := range t.used() {
		if t.entries[i].awaited {
			w.weigh(&t.entries[i])
		}
	}
	return t.news, w.result()
}

// A weighing goes over the probers that are waited for.
type weighing struct {
	now, began time.Time
	threshold  int
	assumed    time.Duration
	takeOut    time.Duration
	hidden     bool // somebody asks through a proxy

	probers   int
	confirmed int // have had their failing answers
	missing   []string
	mixed     bool
	slowest   time.Duration
	last      time.Time // the last failing answer that was needed
	next      time.Time // the first of the missing to be overdue
}

func (w *weighing) weigh(p *prober) {
	w.probers++
	w.mixed = w.mixed || p.mixed
	switch {
	case p.fails >= w.threshold:
		w.confirmed++
		w.slowest = max(w.slowest, p.intervalOr(w.assumed))
		if p.outAt.IsZero() {
			p.outAt = p.failedAt // later ones, which go on coming, change nothing
		}
		w.last = later(w.last, p.outAt)
	case p.silentFor(overdueAfter, w.now, w.assumed):
	default:
		w.missing = append(w.missing, fmt.Sprintf("%s has had %d of %d failing answers", p.name(), p.fails, w.threshold))
		overdue := p.last.Add(overdueAfter*p.intervalOr(w.assumed) + 1)
		if w.next.IsZero() || overdue.Before(w.next) {
			w.next = overdue
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// result says whether that is enough. After the last answer that was needed
// there is a tail: the prober has to read it and act, and a second one behind
// the same address may have begun half an interval later.
func (w *weighing) result() evidence {
	if w.probers == 0 && !w.hidden {
		return evidence{done: true, why: "nobody probes, so nobody has to be waited for"}
	}
	if len(w.missing) > 0 {
		return evidence{why: strings.Join(w.missing, ", "), next: w.next}
	}
	why := fmt.Sprintf("%d of %d probers have had %d failing answers, the others ask no more", w.confirmed, w.probers, w.threshold)
	until := w.last.Add(min(w.slowest/2, longestTail))
	if least := w.began.Add(w.takeOut); (w.mixed || w.hidden) && least.After(until) {
		until = least
		why = "clients cannot be told from probers, so the time that probers need was waited for"
	}
	return evidence{done: !w.now.Before(until), why: why, next: until}
}

// probed reports whether anybody was asking for readiness when the drain began.
func (h *Health) probed() bool {
	t := &h.probers
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.used() {
		if t.entries[i].awaited {
			return true
		}
	}
	return t.hidden
}
