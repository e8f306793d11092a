package healthcheck

import (
	"fmt"
	"time"
)

// Heartbeat registers something that lives as long as the returned function is
// called at least every so often: a loop calls it on each turn. After twice
// that time without a beat, counted from now on, it fails; the next beat makes
// it pass again at once. The kind says what a failure does, and only here it
// may be [Watchdog]. There is no way to end a heartbeat: it is for loops that
// live as long as the process.
//
// The same name again is the same heartbeat with other settings. Heartbeat
// panics where every is not positive, kind is none, or a check has the name:
// those are mistakes of the program, seen when it starts.
func (h *Health) Heartbeat(name string, every time.Duration, kind Kind) func() {
	if every <= 0 || !kind.valid() {
		panic(fmt.Sprintf("healthcheck: Heartbeat(%q, %v, %v): the time must be positive and the kind one of the package's", name, every, kind))
	}
	s := h.registerBeat(cleanName(name), every, kind)
	h.tell()
	return func() { h.beat(s) }
}

func (h *Health) registerBeat(name string, every time.Duration, kind Kind) *source {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	s := h.byName[name]
	switch {
	case s == nil:
		s = &source{name: name, since: now, kind: kind}
		s.status = s.judge(now) // to be there is no news
		h.add(s)
	case s.run != nil:
		panic(fmt.Sprintf("healthcheck: Heartbeat(%q): a check has this name", name))
	}
	s.kind, s.every, s.failures, s.success = kind, every, 1, 1
	s.expires = now.Add(2 * every)
	h.settle(now)
	return s
}

// beat is cheap while all is well, so that loops may call it on each turn.
func (h *Health) beat(s *source) {
	h.mu.Lock()
	now := time.Now()
	s.runs++
	s.expires = now.Add(2 * s.every)
	if s.level == passing {
		s.last = now // the alarm finds the new time when it rings
		h.mu.Unlock()
		return
	}
	s.take(nil, now)
	h.settle(now)
	h.mu.Unlock()
	h.tell()
}
