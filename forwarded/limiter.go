package forwarded

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	slots    = 1024 // a power of two
	turnTime = time.Minute
)

// limiter gives each code and peer network one turn a minute. It has a fixed
// size: two that share a slot share the turn, so that an attacker with many
// networks fills neither memory nor logs.
type limiter struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots [slots]slot
}

type slot struct {
	last       time.Time
	suppressed int
}

// turn reports whether it is the pair's turn, and how many were suppressed
// since the last one.
func (l *limiter) turn(code int, peer netip.Addr) (suppressed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.slotOf(code, peer)
	if !s.last.IsZero() && now.Sub(s.last) < turnTime {
		s.suppressed++
		return 0, false
	}
	suppressed, s.suppressed, s.last = s.suppressed, 0, now
	return suppressed, true
}

// slotOf must be called with the lock held.
func (l *limiter) slotOf(code int, peer netip.Addr) *slot {
	if l.seed == (maphash.Seed{}) {
		l.seed = maphash.MakeSeed() // so that nobody can aim at another's slot
	}
	type key struct {
		code    int
		network netip.Prefix
	}
	return &l.slots[maphash.Comparable(l.seed, key{code, network(peer)})%slots]
}
