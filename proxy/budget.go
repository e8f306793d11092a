package proxy

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// budgetWindow is how long a request counts for the budget, roughly: what is
// older fades.
const budgetWindow = 10 * time.Second

// A budget keeps retries a small part of the requests, so that an outage is not
// multiplied by them. Only retry looks at the clock and takes the lock; a
// request costs one addition. It may be used concurrently.
type budget struct {
	part  float64
	burst float64 // each second, whatever the traffic

	requests atomic.Uint64

	mu     sync.Mutex
	at     time.Time // of the last look
	seen   uint64    // requests at that time
	recent float64   // requests in the window
	spent  float64   // retries in the window that the part paid for
	spare  float64   // what is left of the burst
}

// newBudget allows retries up to a part of the recent requests, and burst more
// each second.
func newBudget(part float64, burst int) *budget {
	b := &budget{part: max(part, 0), burst: float64(max(burst, 0))}
	b.at, b.spare = time.Now(), b.burst
	return b
}

// request counts a request; its retries are none.
func (b *budget) request() { b.requests.Add(1) }

// retry reports whether one more retry is allowed, and counts it.
func (b *budget) retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(time.Now())
	switch {
	case b.spent+1 <= b.part*b.recent:
		b.spent++
	case b.spare >= 1:
		b.spare--
	default:
		return false
	}
	return true
}

// look brings the sums up to date. The requests since the last look are taken
// to have come evenly.
func (b *budget) look(now time.Time) {
	came := b.requests.Load()
	fresh := float64(came - b.seen)
	if passed := now.Sub(b.at); passed > 0 {
		windows := float64(passed) / float64(budgetWindow)
		left := math.Exp(-windows)
		b.recent *= left
		b.spent *= left
		fresh *= (1 - left) / windows
		b.spare = min(b.burst, b.spare+b.burst*passed.Seconds())
		b.at = now
	}
	b.recent += fresh
	b.seen = came
}
