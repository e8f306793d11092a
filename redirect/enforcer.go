package redirect

import (
	"log/slog"
	"sync/atomic"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/turns"
)

// An Enforcer decides for each request whether it passes, is redirected or is
// refused. Its methods may be called concurrently. The zero Enforcer knows no
// host of its own and refuses everything, with 421 as a rule; New makes others.
type Enforcer struct {
	cfg     Config
	hosts   hosts
	nobody  forwarded.Policy
	stats   [reasons]atomic.Uint64
	turns   turns.Limiter
	greeted atomic.Bool // the first redirect was told
	repeats repeats
	exempt  []string // as they are sent
	probes  probes
}

// HTTPS makes an Enforcer that sends everybody to https and then to the
// canonical host. It is short for New(Config{Canonical: …, Aliases: …}).
func HTTPS(canonical string, aliases ...string) (*Enforcer, error) {
	return New(Config{Canonical: canonical, Aliases: aliases})
}

// New makes an Enforcer. The error is a ConfigErrors that lists every mistake.
func New(cfg Config) (*Enforcer, error) { return cfg.compile() }

// Must returns e, or panics if err is not nil: for variables at start-up.
func Must(e *Enforcer, err error) *Enforcer {
	if err != nil {
		panic("redirect: " + err.Error())
	}
	return e
}

// Stats counts the requests since New by the reasons of their decisions. A
// redirect with signals counts under ReasonLoopSuspected too, and a request
// that no policy resolved under ReasonNoPolicy too.
func (e *Enforcer) Stats() map[Reason]uint64 {
	m := make(map[Reason]uint64)
	for r := range e.stats {
		if n := e.stats[r].Load(); n > 0 {
			m[Reason(r)] = n
		}
	}
	return m
}

func (e *Enforcer) logger() *slog.Logger {
	if e.cfg.Logger != nil {
		return e.cfg.Logger
	}
	return slog.Default()
}
