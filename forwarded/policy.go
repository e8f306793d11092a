package forwarded

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/knownhops/knownhops/internal/turns"
)

// A Policy decides for each request whom to believe. Its methods may be called
// concurrently. The zero Policy believes nobody: the peer is the client.
type Policy struct {
	state  atomic.Pointer[topology]
	limits turns.Limiter
}

// Behind makes a Policy for a service behind hops, nearest first. It is short
// for New(Config{Hops: hops}).
func Behind(hops ...Hop) (*Policy, error) { return New(Config{Hops: hops}) }

// New makes a Policy. The error is a ConfigErrors that lists every mistake.
// A topology that loses information is legal: it is logged once and reported
// by Lint.
func New(cfg Config) (*Policy, error) {
	p := &Policy{}
	if err := p.Reconfigure(cfg); err != nil {
		return nil, err
	}
	return p, nil
}

// Must returns p, or panics if err is not nil: for variables at start-up.
func Must(p *Policy, err error) *Policy {
	if err != nil {
		panic("forwarded: " + err.Error())
	}
	return p
}

// Reconfigure replaces the whole configuration at once. Requests that are
// under way keep the old one. If cfg is invalid the error is a ConfigErrors
// and the old configuration stays.
func (p *Policy) Reconfigure(cfg Config) error {
	t, err := compile(cfg)
	if err != nil {
		return err
	}
	t.limits = &p.limits
	p.state.Store(t)
	for _, f := range t.lint() {
		t.logger().Warn("forwarded: "+f.Message, "code", f.Code, "hop", f.Hop, "fix", f.Fix)
	}
	return nil
}

// load returns the topology in force; the zero Policy makes its own first.
func (p *Policy) load() *topology {
	if t := p.state.Load(); t != nil {
		return t
	}
	return p.loadZero()
}

func (p *Policy) loadZero() *topology {
	p.state.CompareAndSwap(nil, &topology{limits: &p.limits})
	return p.state.Load()
}

func (t *topology) logger() *slog.Logger {
	if t.cfg.Logger != nil {
		return t.cfg.Logger
	}
	return slog.Default()
}

// Config returns a deep copy of the configuration in force.
func (p *Policy) Config() Config { return p.load().cfg.clone() }

// String is the effective topology, one hop a line in the form that ParseHops
// reads, nearest first; literal secrets are redacted.
func (p *Policy) String() string {
	t := p.load()
	if len(t.cfg.Hops) == 0 {
		return "no hops: the peer is the client"
	}
	lines := make([]string, len(t.cfg.Hops))
	for i, h := range t.cfg.Hops {
		lines[i] = h.String()
	}
	return strings.Join(lines, "\n")
}

// Resolve says what is known about r: pure, without warnings, hooks or any
// change of r. It allocates nothing for well-formed input. On a request that
// carries an Info already, it returns that.
func (p *Policy) Resolve(r *http.Request) Info {
	if known, ok := r.Context().Value(infoKey{}).(*Info); ok {
		return *known
	}
	var w walk
	in := reader{header: r.Header}
	p.load().resolve(r, &w, &in, nil)
	return w.info
}

// Lint reports what the topology cannot know and why, each with a fix. It
// never changes: the findings are those of the configuration.
func (p *Policy) Lint() []Finding { return p.load().lint() }
