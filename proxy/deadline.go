package proxy

import (
	"net"
	"sync/atomic"
	"time"
)

// A deadline is the time-out of one direction of a connection. It is moved
// only when that is worth the cost, and set an eighth later for that.
type deadline struct {
	set     func(time.Time) error
	until   time.Time
	limit   time.Time    // never later than this; zero: none
	aborted *atomic.Bool // nil: never
}

func readDeadline(c net.Conn) deadline  { return deadline{set: c.SetReadDeadline} }
func writeDeadline(c net.Conn) deadline { return deadline{set: c.SetWriteDeadline} }

// in is the deadline d from now; not positive: none.
func in(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// in makes the direction time out after d from now; not positive: never.
func (t *deadline) in(d time.Duration) {
	t.from(time.Now(), d)
}

// from is in for a time that the caller has at hand.
func (t *deadline) from(now time.Time, d time.Duration) {
	if d <= 0 {
		t.never()
		return
	}
	until := now.Add(d + d/8)
	if !t.limit.IsZero() && until.After(t.limit) {
		until = t.limit
	}
	if left := t.until.Sub(now); left < d || left > d+d/8 {
		t.move(until)
	}
}

// move sets the deadline. If the connection was aborted meanwhile, that stays.
func (t *deadline) move(until time.Time) {
	t.until = until
	t.set(until)
	if t.aborted != nil && t.aborted.Load() {
		t.set(past)
	}
}

func (t *deadline) never() {
	if !t.until.Equal(t.limit) {
		t.move(t.limit)
	}
}
