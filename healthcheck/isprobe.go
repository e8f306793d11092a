package healthcheck

import "net/http"

// isProbe returns a function that reports whether Wrap answers a request
// itself.
func (h *Health) isProbe() func(*http.Request) bool {
	paths := h.paths.filled()
	return func(r *http.Request) bool {
		return paths.endpoint(r.URL) != endNone || r.ProtoMajor == 2 && isGRPC(r) && grpcEndpoint(r.URL.Path) != endNone
	}
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
