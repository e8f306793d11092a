// Package turns keeps logs readable while somebody floods a service: each kind
// of line has its turn once a minute.
package turns

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

// A Limiter gives each key one turn a minute. It has a fixed size: two keys that
// share a slot share the turn, so that an attacker with many networks fills
// neither memory nor logs. The zero value is ready for use, concurrently too.
type Limiter struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots [slots]slot
}

type slot struct {
	last       time.Time
	suppressed int
}

// Take reports whether it is the key's turn, and how many were suppressed since
// the last one.
func Take[K comparable](l *Limiter, key K) (suppressed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seed == (maphash.Seed{}) {
		l.seed = maphash.MakeSeed() // so that nobody can aim at another's slot
	}
	s := &l.slots[maphash.Comparable(l.seed, key)%slots]
	if !s.last.IsZero() && now.Sub(s.last) < turnTime {
		s.suppressed++
		return 0, false
	}
	suppressed, s.suppressed, s.last = s.suppressed, 0, now
	return suppressed, true
}

// Network is what peers are told apart by: an address's /24 or /48, and the
// zero Prefix for a unix socket.
func Network(addr netip.Addr) netip.Prefix {
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.WithZone("").Prefix(bits) // cannot fail: the bits fit
	return p
}
