package healthcheck

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// A Transition is one change of status.
type Transition struct {
	Time     time.Time
	Check    string // whose status it is; "": the service's as a whole
	Kind     Kind   // of the check
	From, To Status
	Draining bool  // of the service as a whole: it is leaving
	Err      error // of the check, as it came; nil: none. May hold what nobody else should read

	quiet bool // is not logged
}

// maxQueue is how many transitions wait for an OnTransition that does not return.
const maxQueue = 1024

// note puts a transition into the queue, the oldest out of a full one. h.mu is held.
func (h *Health) note(t Transition) {
	if len(h.queue) == maxQueue {
		h.queue = h.queue[1:]
	}
	h.queue = append(h.queue, t)
}

// tell logs what is in the queue and calls the hook, in order and one at a
// time; where another goroutine is at it, that one goes on. h.mu is not held,
// so that the hook may use the Health.
func (h *Health) tell() {
	for {
		t, ok := h.nextTransition()
		if !ok {
			return
		}
		h.tellOne(t)
	}
}

// tellOne lets the next one be told, whatever a logger or the hook does: panic,
// or end its goroutine.
func (h *Health) tellOne(t Transition) {
	defer func() {
		h.mu.Lock()
		h.telling = false
		h.mu.Unlock()
	}()
	h.log(t)
	h.callHook(t)
}

func (h *Health) nextTransition() (t Transition, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.telling || len(h.queue) == 0 {
		return t, false
	}
	t, h.queue, h.telling = h.queue[0], h.queue[1:], true
	return t, true
}

// callHook keeps a panic of the hook from ending the process.
func (h *Health) callHook(t Transition) {
	if h.hook == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			h.logger().Error("healthcheck: OnTransition panicked", "stack", stack())
			h.logger().Debug("healthcheck: OnTransition panicked", "panic", clip(fmt.Sprint(v), maxText))
		}
	}()
	h.hook(t)
}

func (h *Health) logger() *slog.Logger {
	if h.logTo != nil {
		return h.logTo
	}
	return slog.Default()
}

// log writes a transition. What an error says may be a secret, a password in a
// database's address for example, so only level Debug shows it.
func (h *Health) log(t Transition) {
	if t.quiet {
		return
	}
	level, attrs := slog.LevelInfo, []slog.Attr{slog.String("from", t.From.String()), slog.String("to", t.To.String())}
	if t.To > t.From {
		level = slog.LevelWarn
	}
	message := "healthcheck: the service changed its status"
	switch {
	case t.Check != "":
		message = "healthcheck: a check changed its status"
		attrs = append(attrs, slog.String("check", t.Check), slog.String("kind", t.Kind.String()))
	case t.Draining:
		level, message = slog.LevelInfo, "healthcheck: the service is leaving; readiness answers 503 from now on"
	}
	h.logger().LogAttrs(context.Background(), level, message, attrs...)
	if t.Err != nil {
		h.logger().LogAttrs(context.Background(), slog.LevelDebug, message, append(attrs, slog.String("error", clip(errorText(t.Err), maxText)))...)
	}
}

// maxText is how much of a text that is not this package's is shown or logged.
const maxText = 512

const maxStack = 4 << 10

// stack is where a panic came from. It holds addresses, never the texts that
// the values at them spell.
func stack() string { return clip(string(debug.Stack()), maxStack) }

// A budget keeps the log readable while something changes many times a second.
// The zero budget is full.
type budget struct {
	since time.Time
	used  int
}

// linesPerMinute is how many changes of one source are logged in a minute.
const linesPerMinute = 10

func (b *budget) take(now time.Time) bool {
	if now.Sub(b.since) > time.Minute {
		b.since, b.used = now, 0
	}
	b.used++
	return b.used <= linesPerMinute
}
