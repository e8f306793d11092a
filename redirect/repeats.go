package redirect

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// A client that is sent to one place so often in so short a time is being sent
// in a circle: browsers and curl give up after 20 to 50, Go after 10.
const (
	repeatLimit = 5
	repeatTime  = 10 * time.Second
	repeatSlots = 1024 // a power of two
)

// repeats counts redirects by client and target, for clients that neither keep
// cookies nor say anything about themselves. Several people behind one address
// count as one, so it is only told, never acted on. It has a fixed size; those
// that share a slot push each other out.
type repeats struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots [repeatSlots]repeat
}

type repeat struct {
	key   uint64
	since time.Time
	times int
}

// again counts one redirect and reports whether it is one too many.
func (c *repeats) again(client netip.Addr, r *http.Request, location string) bool {
	type target struct {
		client          netip.Addr
		agent, location string
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seed == (maphash.Seed{}) {
		c.seed = maphash.MakeSeed()
	}
	key := maphash.Comparable(c.seed, target{client, first(r.Header["User-Agent"]), location})
	s := &c.slots[key%repeatSlots]
	if s.key != key || now.Sub(s.since) > repeatTime {
		*s = repeat{key: key, since: now}
	}
	s.times++
	return s.times >= repeatLimit
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
