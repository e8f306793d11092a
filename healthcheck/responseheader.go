package healthcheck

import (
	"log/slog"
	"net/http"
	"sync"
)

// headerMeter notes the longest header of an answer. A balancer answers 502 in
// place of one that is too long for it, and the service logs a success: only
// here can it be seen coming.
type headerMeter struct {
	limit int // 0: none is known, and nothing is measured
	name  string
	log   *slog.Logger

	mu   sync.Mutex
	most int
	path string
}

// near reports whether a header is longer than seven eighths of the limit: the
// status line and what net/http adds are not counted.
func near(size, limit int) bool { return limit > 0 && size > limit/8*7 }

// measure looks at the header of an answer whose handler has returned. It logs
// the first one that is near the limit, and the first one beyond.
func (m *headerMeter) measure(h http.Header, path string) {
	if m.limit == 0 {
		return
	}
	size := headerSize(h)
	if !near(size, m.limit) {
		return
	}
	m.mu.Lock()
	before := m.most
	if size > before {
		m.most, m.path = size, path
	}
	m.mu.Unlock()
	if before == 0 || before <= m.limit && size > m.limit {
		m.log.Warn("healthcheck: a response header is near what the balancer refuses, or beyond: it answers 502 then",
			"path", path, "bytes", size, "limit", m.limit, "balancer", m.name)
	}
}

// longest returns the longest header that was near the limit, and whose.
func (m *headerMeter) longest() (size int, path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.most, m.path
}

// headerSize is how long a header is over HTTP/1.1, without the status line.
func headerSize(h http.Header) (size int) {
	for name, values := range h {
		for _, value := range values {
			size += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return size
}
