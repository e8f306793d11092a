package healthcheck

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knownhops/knownhops/internal/family"
)

// maxProbers is the size of the table. A newcomer finds no room in a full one,
// so that nobody who asks from many addresses drives the balancer's nodes out.
const maxProbers = 64

// activeFor is after how many of its own intervals without a probe a prober is
// gone.
const activeFor = 3

// assumedInterval stands for an interval that is not known, where no profile
// says otherwise.
const assumedInterval = 30 * time.Second

// A table knows who asks for readiness. The zero value is empty and ready for
// use, concurrently too.
type table struct {
	known atomic.Int32 // entries in use; they are the first ones

	mu      sync.Mutex
	entries [maxProbers]prober
	frozen  bool          // a drain has begun: nobody is added or removed
	front   Profile       // whose ProbeInterval stands for what is not known
	relayed time.Time     // when somebody asked last who is not observed: through a proxy, or for want of room
	hidden  bool          // somebody did when the drain began
	news    chan struct{} // closed at the next answer of a drain; nil: nobody waits
}

// saw notes down a probe and its answer. A request with a forwarding header was
// handed on for somebody, so its sender is no prober.
func (t *table) saw(r *http.Request, code int, now time.Time) {
	addr, ok := prospect(r)
	relayed := family.In(r.Header)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case relayed:
		t.relayed = now
		return
	case !ok:
		return
	}
	if p := t.find(addr); p != nil {
		p.saw(now, code, t.assumed(), t.frozen)
	} else if p := t.room(now); p != nil {
		*p = prober{addr: addr, agent: strings.Clone(clip(r.UserAgent(), maxAgent)), first: now, last: now}
		p.count(now, code, t.assumed())
	} else {
		t.relayed = now // somebody who is not observed: strangers must not fill the table and end a drain
	}
	if t.frozen && t.news != nil {
		close(t.news)
		t.news = nil
	}
}

// assumed stands for an interval that is not known.
func (t *table) assumed() time.Duration { return orElse(t.front.ProbeInterval, assumedInterval) }

// behind tells the table what is in front.
func (t *table) behind(p Profile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.front = p
}

// isHidden reports whether somebody asks for readiness through a proxy. It may
// be a visitor, or a balancer whose probes a proxy beside this service hands on
// like everything else; nothing in the request tells.
func (t *table) isHidden(now time.Time) bool {
	return t.hidden || !t.frozen && !t.relayed.IsZero() && now.Sub(t.relayed) <= activeFor*t.assumed()
}

func (t *table) hides(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.isHidden(now)
}

// prospect is the address that a prober is told by: the socket's peer, or
// nothing for the peers of a unix socket.
func prospect(r *http.Request) (netip.Addr, bool) {
	if addr, ok := peerOf(r); ok {
		return addr, true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return netip.Addr{}, ok && local.Network() == "unix"
}

func (t *table) find(addr netip.Addr) *prober {
	for i := range t.used() {
		if t.used()[i].addr == addr {
			return &t.entries[i]
		}
	}
	return nil
}

func (t *table) used() []prober { return t.entries[:t.known.Load()] }

// room finds a place for a newcomer: a free one, or that of somebody who is
// gone for longer than any interval. Nil: there is none.
func (t *table) room(now time.Time) *prober {
	if t.frozen {
		return nil
	}
	if n := t.known.Load(); n < maxProbers {
		t.known.Store(n + 1)
		return &t.entries[n]
	}
	for i := range t.entries {
		if now.Sub(t.entries[i].last) > longestInterval {
			return &t.entries[i]
		}
	}
	return nil
}

// sawOther notes that an ordinary request came. Where it has no forwarding
// header and comes from a prober's address, clients cannot be told from probers
// there: a balancer that passes connections hides both behind its own address.
//
// It is asked after the request, with the number of probes on its connection
// before: a handler that was mounted further in may have answered it as one.
func (t *table) sawOther(r *http.Request, before uint64) {
	if t.known.Load() == 0 || forwardedFor(r.Header) || probesOn(r) != before {
		return
	}
	addr, ok := prospect(r)
	if !ok || family.In(r.Header) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.find(addr); p != nil {
		p.mixed = true
	}
}

// forwardedFor looks at the header that nearly every balancer writes. It costs
// less than a look at all of them.
func forwardedFor(h http.Header) bool { return len(h["X-Forwarded-For"]) > 0 }

// freeze notes who is to be waited for: those who ask at the moment.
func (t *table) freeze(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hidden = t.isHidden(now)
	t.frozen = true
	for i := range t.used() {
		p := &t.entries[i]
		p.awaited = !p.silentFor(activeFor, now, t.assumed())
	}
}

// A Prober is somebody who asks for readiness, told by the address at the other
// end of the socket. Requests that carry forwarding headers are clients', and
// not in here.
type Prober struct {
	Addr     netip.Addr    // invalid: the peers of a unix socket
	Agent    string        // the User-Agent of the first probe, cut after 80 bytes; for people to read, anybody can write it
	Every    time.Duration // the longest of the last eight gaps between two probes; zero: not known yet
	First    time.Time
	Last     time.Time
	Answers  uint64
	Code     int  // of the last answer
	Failures int  // failing answers in a row; those closer than half of Every count once
	Active   bool // asked within three of its own intervals, or is waited for by a drain
	Mixed    bool // ordinary requests without forwarding headers come from here as well
}

// list is a copy for people.
func (t *table) list(now time.Time) []Prober {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Prober, 0, len(t.used()))
	for i := range t.used() {
		p := &t.entries[i]
		list = append(list, Prober{
			Addr: p.addr, Agent: p.agent, Every: p.interval(), First: p.first, Last: p.last, Answers: p.answers,
			Code: p.code, Failures: p.fails, Mixed: p.mixed,
			Active: p.awaited || !t.frozen && !p.silentFor(activeFor, now, t.assumed()),
		})
	}
	return list
}
