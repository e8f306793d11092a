package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// complaints writes failures to the log, at most one line a second for each
// upstream and reason: an outage must not fill the disk as well.
type complaints struct {
	mu   sync.Mutex
	last map[complaint]*said
}

type complaint struct {
	upstream string
	reason   Reason
}

type said struct {
	at         time.Time
	suppressed int
}

// due reports whether a line may be written, and how many were not since the
// last one.
func (c *complaints) due(e *Error) (suppressed int, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = make(map[complaint]*said)
	}
	key := complaint{e.Upstream, e.reason} // of a known upstream and a constant: the map stays small
	s := c.last[key]
	if s == nil {
		s = new(said)
		c.last[key] = s
	}
	now := time.Now()
	if !s.at.IsZero() && now.Sub(s.at) < time.Second {
		s.suppressed++
		return 0, false
	}
	suppressed, s.at, s.suppressed = s.suppressed, now, 0
	return suppressed, true
}

// log writes one failure: an upstream's as an error, a client's for those who
// look closely.
func (p *Proxy) log(r *http.Request, e *Error, id string) {
	level := slog.LevelDebug
	switch {
	case e.reason == ReasonLoop:
		level = slog.LevelWarn
	case e.Stage < StageRequest && e.Status() >= 500:
		level = slog.LevelError
	}
	logger := p.cfg.Logger
	if logger == nil {
		logger = slog.Default()
	}
	if !logger.Enabled(context.Background(), level) {
		return
	}
	suppressed, due := p.noisy.due(e)
	if !due {
		return
	}
	attrs := []any{
		"reason", e.reason.String(), "upstream", e.Upstream, "check", e.Hint(), "stage", e.Stage.String(), "status", e.Status(),
		"attempt", e.Attempt, "sent", e.Sent, "received", e.Received, "method", r.Method, "host", cut(r.Host), "path", cut(escapedPath(r.URL)), "request_id", id,
	}
	if e.Err != nil {
		attrs = append(attrs, "error", e.Err.Error())
	}
	if suppressed > 0 {
		attrs = append(attrs, "suppressed", suppressed)
	}
	logger.Log(context.Background(), level, "proxy: "+e.summary(), attrs...)
}

// cut bounds what a client wrote and a line shows.
func cut(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// summary is the failure in half a sentence: "http://127.0.0.1:8080: nothing
// listens there: …".
func (e *Error) summary() string {
	hint := e.Hint()
	if hint == "" {
		hint = e.reason.String()
	}
	if e.Upstream == "" {
		return hint
	}
	return e.Upstream + ": " + hint
}
