package healthcheck

import "time"

// Drain says that the service is leaving, for good: readiness answers 503 from
// now on, whatever checks and reports say, liveness and startup stay as they
// are, and the channel of [Health.Draining] is closed. It returns at once.
// [Serve] calls it and does the rest.
func (h *Health) Drain() {
	h.latch()
	h.tell()
}

// latch is Drain without a word to anybody: what OnTransition does must not keep
// a service from leaving.
func (h *Health) latch() {
	h.mu.Lock()
	if !h.leaving.IsZero() {
		h.mu.Unlock()
		return
	}
	now := time.Now()
	h.leaving = now
	h.settle(now)
	h.probers.freeze(now)
	close(h.drainChannel())
	h.mu.Unlock()
}

func (h *Health) hasLeft() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.leaving.IsZero()
}

// Draining returns a channel that is closed once [Health.Drain] was called.
// Loops that answer for a long time (server-sent events, WebSockets) say
// goodbye then.
func (h *Health) Draining() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.drainChannel()
}

func (h *Health) drainChannel() chan struct{} {
	if h.drain == nil {
		h.drain = make(chan struct{})
	}
	return h.drain
}
