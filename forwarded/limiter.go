package forwarded

import (
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
	s := &l.slots[slotOf(code, peer)]
	if !s.last.IsZero() && now.Sub(s.last) < turnTime {
		s.suppressed++
		return 0, false
	}
	suppressed, s.suppressed, s.last = s.suppressed, 0, now
	return suppressed, true
}

// slotOf is FNV-1a over the code and the network's bytes.
func slotOf(code int, peer netip.Addr) uint32 {
	h := uint32(2166136261)
	mix := func(b byte) { h = (h ^ uint32(b)) * 16777619 }
	mix(byte(code))
	if peer.IsValid() {
		b := network(peer).Addr().As16()
		for _, c := range b {
			mix(c)
		}
	}
	return (h ^ h>>16) % slots
}
