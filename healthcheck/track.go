package healthcheck

import (
	"context"
	"maps"
	"sync"
)

// Track says that something goes on which the server does not see, a hijacked
// connection above all, until done is called; the second call of done does
// nothing. A drain waits for it, and names what did not end in time.
func (h *Health) Track(name string) (done func()) {
	name = cleanName(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tracked == nil {
		h.tracked = make(map[string]int)
	}
	h.tracked[name]++
	return sync.OnceFunc(func() { h.untrack(name) })
}

func (h *Health) untrack(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tracked[name]--; h.tracked[name] == 0 {
		delete(h.tracked, name)
	}
	if len(h.tracked) == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
}

// trackedNames is what is tracked at the moment, and how often.
func (h *Health) trackedNames() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.tracked)
}

// awaitTracked waits until nothing is tracked or ctx ends.
func (h *Health) awaitTracked(ctx context.Context) {
	h.mu.Lock()
	if len(h.tracked) == 0 {
		h.mu.Unlock()
		return
	}
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	h.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
