package proxy

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knownhops/knownhops/forwarded"
)

// Balance chooses among the upstreams that are usable.
type Balance uint8

// The policies. An upstream that comes back takes part with a chance that grows
// during HealthCheck.SlowStart.
const (
	// RoundRobin takes each in turn. The turns of one that is out are spread
	// evenly over the others.
	RoundRobin Balance = iota

	// LeastRequests takes the one with the fewest requests in flight; among equals,
	// any.
	LeastRequests

	// ClientHash sends the same client to the same upstream, as long as that is
	// usable: by the resolved address, never by what a header merely says. When an
	// upstream fails, only its own clients move (rendezvous hashing). Every proxy
	// with the same list chooses alike. Unknown clients are served in turn.
	ClientHash
)

// A fleet is all upstreams of one proxy, and what is known of them.
type fleet struct {
	ups     []*upstream
	balance Balance
	limit   int64 // requests in flight per upstream; not positive: none
	check   HealthCheck
	prober  *prober      // nil: no active checks
	logger  *slog.Logger // nil: slog.Default

	mu   sync.Mutex // guards the health of all upstreams, and news
	news []transition

	turn atomic.Uint64
}

// newFleet takes the upstreams over. cfg has its defaults filled in and is
// valid.
func newFleet(ups []*upstream, cfg *Config) *fleet {
	f := &fleet{
		ups: ups, balance: cfg.Balance, limit: int64(cfg.Limits.InFlight),
		check: cfg.Check, logger: cfg.Logger,
	}
	now := time.Now()
	for _, u := range ups {
		u.fleet, u.health.since = f, now
	}
	if cfg.Check.Path != "" {
		f.prober = newProber(f, cfg)
	}
	return f
}

// pick chooses an upstream and counts a request in flight there until done is
// called. not, which may be nil, is avoided if another is usable. Without an
// upstream the reason is ReasonNoUpstream or ReasonOverloaded.
func (f *fleet) pick(info *forwarded.Info, not *upstream) (*upstream, Reason) {
	u := f.ups[0]
	if len(f.ups) > 1 {
		if u = f.next(info); u == nil || u == not {
			return f.choose(info, not)
		}
	}
	if p := u.phase.Load(); p != nil && !p.accepts() || !u.take(f.limit) {
		return f.choose(info, not)
	}
	return u, ReasonNone
}

// next is whose turn it is; nil: the policy knows no turns.
func (f *fleet) next(info *forwarded.Info) *upstream {
	if f.balance == LeastRequests || f.balance == ClientHash && info.Client.IsValid() {
		return nil
	}
	return f.ups[f.turn.Add(1)%uint64(len(f.ups))]
}

// choose looks at all upstreams, until one that it found still has room.
func (f *fleet) choose(info *forwarded.Info, not *upstream) (*upstream, Reason) {
	c := choice{f: f, not: not, chance: -1}
	if f.balance == ClientHash && info.Client.IsValid() {
		c.hashed, c.client = true, clientHash(info.Client)
	}
	for {
		u, reason := c.scan()
		if u == nil || u.take(f.limit) {
			return u, reason
		}
	}
}

// A choice is one look at all upstreams.
type choice struct {
	f      *fleet
	not    *upstream
	hashed bool
	client uint64
	chance float64 // of this choice, drawn when first needed; negative: not yet

	widen bool // those that are left out take part
	best  *upstream
	rank  rank
	ties  uint64
	sound bool // one of the usable is not failing all the time
	out   bool // at least one is left out
	full  bool // at least one has no room
}

// A rank orders the upstreams in one choice: the lowest is chosen.
type rank struct {
	class int    // of the classes below
	key   uint64 // by the policy; equals are drawn among
}

const (
	classUsable  = iota
	classWaiting // coming back, and not for this request
	classAvoided // the one to avoid
)

// scan finds the best upstream. Those that are left out take part only if all
// others are out, or fail so often that only being the last has kept them.
func (c *choice) scan() (*upstream, Reason) {
	c.widen = false
	if c.each(); !c.sound && c.out {
		c.widen = true
		c.each()
	}
	switch {
	case c.best != nil:
		return c.best, ReasonNone
	case c.full:
		return nil, ReasonOverloaded
	}
	return nil, ReasonNoUpstream
}

func (c *choice) each() {
	c.best, c.ties, c.sound, c.out, c.full = nil, 0, false, false, false
	for _, u := range c.f.ups {
		r, ok := c.judge(u)
		switch {
		case !ok:
		case u.full(c.f.limit):
			c.full = true
		case c.best == nil || r.less(c.rank):
			c.best, c.rank, c.ties = u, r, 1
		case r == c.rank:
			if c.ties++; rand.Uint64N(c.ties) == 0 {
				c.best = u
			}
		}
	}
}

// judge ranks one upstream; false: it must not be used.
func (c *choice) judge(u *upstream) (rank, bool) {
	score := mix(c.client ^ u.seed)
	r := rank{key: c.key(u, score)}
	if p := c.f.current(u); p != nil {
		switch p.state {
		case StateUnhealthy:
			return r, false
		case StateEjected:
			c.out = true
			if !c.widen {
				return r, false
			}
		case StateReturning:
			if !c.accepts(p, score) {
				r.class = classWaiting
			}
		}
	}
	if u == c.not {
		r.class = classAvoided
	}
	c.sound = c.sound || !c.f.failing(u)
	return r, true
}

// key ranks by the policy. In turn is any, since this is not its turn.
func (c *choice) key(u *upstream, score uint64) uint64 {
	switch {
	case c.hashed:
		return ^score
	case c.f.balance == LeastRequests:
		return uint64(u.inFlight.Load())
	}
	return 0
}

// accepts reports whether an upstream that comes back takes part. A client
// moves back once: its own score is its chance. In turn, the upstream was asked
// when it was its turn, and another's is not for it.
func (c *choice) accepts(p *phase, score uint64) bool {
	switch {
	case c.hashed:
		return float64(uint32(score))/(1<<32) < p.share()
	case c.f.balance != LeastRequests:
		return false
	case c.chance < 0:
		c.chance = rand.Float64()
	}
	return c.chance < p.share()
}

func (r rank) less(o rank) bool {
	return r.class < o.class || r.class == o.class && r.key < o.key
}

// clientHash spreads addresses evenly.
func clientHash(addr netip.Addr) uint64 {
	b := addr.As16()
	return mix(mix(binary.BigEndian.Uint64(b[:8])) ^ binary.BigEndian.Uint64(b[8:]))
}

// mix is the finalizer of SplitMix64: each bit of x changes half of the result.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
