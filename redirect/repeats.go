package redirect

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knownhops/knownhops/forwarded"
)

// A client that is sent to one place so often in so short a time, and never
// arrives, is being sent in a circle: browsers and curl give up after 20 to 50,
// Go after 10.
const (
	repeatLimit = 5
	repeatTime  = 10 * time.Second
	repeatSlots = 1024 // a power of two
)

// repeats counts redirects by client and target, for clients that neither keep
// cookies nor say anything about themselves. Several people behind one address
// count as one, and another instance may see them arrive, so it is only told,
// never acted on. It has a fixed size; those that share a slot push each other
// out.
type repeats struct {
	busy  atomic.Bool // somebody was sent twice not long ago
	mu    sync.Mutex
	seed  maphash.Seed
	last  time.Time // when somebody was sent twice
	slots [repeatSlots]repeat
}

type repeat struct {
	key   uint64
	since time.Time
	times int
}

// A target is who is sent where.
type target struct {
	client              netip.Addr
	agent               string
	origin, path, query string
}

func targetOf(info *forwarded.Info, origin string, r *http.Request) target {
	client := info.Client
	if !client.IsValid() {
		client = info.Peer.Addr()
	}
	agent := ""
	if list := r.Header["User-Agent"]; len(list) > 0 {
		agent = list[0]
	}
	return target{client, agent, origin, r.URL.Path, r.URL.RawQuery}
}

// again counts one redirect and reports whether it is one too many.
func (c *repeats) again(v *verdict, r *http.Request) bool {
	origin := v.site.http
	if v.Reason == ReasonHostRedirected {
		origin = v.site.https
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	s, key := c.slot(targetOf(&v.info, origin, r))
	if s.key != key || now.Sub(s.since) > repeatTime {
		*s = repeat{key: key, since: now}
	}
	if s.times++; s.times > 1 {
		c.last = now
		c.busy.Store(true)
	}
	return s.times >= repeatLimit
}

// arrived forgets the redirects of a client that came to where it was sent.
func (c *repeats) arrived(v *verdict, r *http.Request) {
	if !c.busy.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) > repeatTime {
		c.busy.Store(false)
		return
	}
	if s, key := c.slot(targetOf(&v.info, v.site.http, r)); s.key == key {
		*s = repeat{}
	}
}

// slot must be called with the lock held.
func (c *repeats) slot(t target) (*repeat, uint64) {
	if c.seed == (maphash.Seed{}) {
		c.seed = maphash.MakeSeed() // so that nobody can aim at another's slot
	}
	key := maphash.Comparable(c.seed, t)
	return &c.slots[key%repeatSlots], key
}
