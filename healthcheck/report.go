package healthcheck

import "time"

// maxSources is how many names may be known.
const maxSources = 256

// Report says how something fares that nobody asks: nil is well, anything else
// is not. The last report stands until the next. Under the name of a [Check] it
// counts as one more of its results; under a new name it is a [Dependency],
// which warns. What is reported often, from requests for example, is logged at
// most ten times a minute.
//
// Names are cleaned as [Check.Name] asks. After 256 of them new ones are
// dropped, and the log says so once.
func (h *Health) Report(name string, err error) {
	name = cleanName(name)
	now := time.Now()
	h.mu.Lock()
	s, dropped := h.reported(name, now)
	if s != nil {
		s.runs++
		s.take(err, now)
		h.settle(now)
	}
	h.mu.Unlock()
	if dropped {
		h.logger().Warn("healthcheck: too many names are reported, a new one was dropped; names are for things, not for events", "name", name, "limit", maxSources)
	}
	h.tell()
}

// reported finds the source of that name or makes it. dropped is true the
// first time that there is no room.
func (h *Health) reported(name string, now time.Time) (s *source, dropped bool) {
	if s = h.byName[name]; s != nil {
		return s, false
	}
	if len(h.sources) >= maxSources {
		dropped, h.full = !h.full, true
		return nil, dropped
	}
	s = &source{name: name, failures: 1, success: 1, since: now, level: passing}
	h.add(s)
	return s, false
}
