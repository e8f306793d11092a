package proxy

import (
	"net"
	"time"
)

// A deadline is the time-out of one direction of a connection. It is moved
// only when that is worth the cost, and set an eighth later for that.
type deadline struct {
	set   func(time.Time) error
	until time.Time
}

func readDeadline(c net.Conn) deadline  { return deadline{set: c.SetReadDeadline} }
func writeDeadline(c net.Conn) deadline { return deadline{set: c.SetWriteDeadline} }

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
	if left := t.until.Sub(now); left < d || left > d+d/8 {
		t.until = now.Add(d + d/8)
		t.set(t.until)
	}
}

func (t *deadline) never() {
	if !t.until.IsZero() {
		t.until = time.Time{}
		t.set(t.until)
	}
}
