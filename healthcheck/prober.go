package healthcheck

import (
	"net/netip"
	"time"
)

// intervals is how many of the last gaps between two probes are looked at, and
// known how many it takes to believe them: two nodes behind one address that
// begin together leave a gap that says nothing.
const (
	intervals = 8
	known     = 3
)

// longestInterval is the longest time between two probes that is one. Balancers
// ask at least every five minutes; what is longer was a pause.
const longestInterval = 330 * time.Second

// maxAgent is how much of a prober's User-Agent is kept.
const maxAgent = 80

// A prober is an address that asks for readiness.
type prober struct {
	addr     netip.Addr // invalid: the peers of a unix socket
	agent    string
	first    time.Time
	last     time.Time
	gaps     [intervals]time.Duration
	learned  int // gaps in all
	answers  uint64
	code     int       // of the last answer
	fails    int       // failing answers in a row that count
	failedAt time.Time // the last one that counted
	outAt    time.Time // when the answer came that took this target out at the prober; zero: not yet
	awaited  bool      // was active when the drain began
	mixed    bool      // ordinary requests without forwarding headers come from here as well
}

// interval is the time between two of its probes: the longest of the last
// gaps, so that a request in between does not make it look more frequent than it
// is. Several probers behind one address do: see [Profile.SharedAddress]. Zero:
// not known yet.
func (p *prober) interval() time.Duration {
	if p.learned < known {
		return 0
	}
	return p.longestGap()
}

func (p *prober) longestGap() time.Duration {
	var longest time.Duration
	for _, gap := range p.gaps[:min(p.learned, intervals)] {
		longest = max(longest, gap)
	}
	return longest
}

// intervalOr is the interval, or what is assumed as long as it is not known and
// no gap was longer.
func (p *prober) intervalOr(assumed time.Duration) time.Duration {
	if d := p.interval(); d > 0 {
		return d
	}
	return max(assumed, p.longestGap())
}

// saw takes one answer in. Once the drain has begun, nothing is learned any
// more.
func (p *prober) saw(now time.Time, code int, assumed time.Duration, frozen bool) {
	gap := now.Sub(p.last)
	switch {
	case frozen:
	case gap > longestInterval:
		p.learned = 0
	default:
		p.gaps[p.learned%intervals] = gap
		p.learned++
	}
	p.last = now
	p.count(now, code, assumed)
}

// count counts failing answers in a row. Those closer than half the interval
// count once: they cannot be the prober's next.
func (p *prober) count(now time.Time, code int, assumed time.Duration) {
	p.answers++
	p.code = code
	switch {
	case code < 400:
		p.fails = 0
	case p.fails == 0 || now.Sub(p.failedAt) >= p.intervalOr(assumed)/2:
		p.fails++
		p.failedAt = now
	}
}

// silentFor reports whether it has not asked for more than n of its intervals.
// One that is not known yet is assumed.
func (p *prober) silentFor(n int, now time.Time, assumed time.Duration) bool {
	return now.Sub(p.last) > time.Duration(n)*p.intervalOr(assumed)
}

// name is its address, in words.
func (p *prober) name() string {
	if !p.addr.IsValid() {
		return "unix"
	}
	return p.addr.String()
}
