package albtest

import (
	"context"
	"net/netip"
	"time"
)

// stage is where a target is between registration and its end.
type stage uint8

const (
	registered stage = iota
	draining         // deregistered; the delay runs
	gone             // deregistered, and the delay is over
)

// target is one member of a group. The group's lock guards what changes.
type target struct {
	id      string         // ip:port
	addr    netip.AddrPort // where requests go
	machine *machine

	stage      stage
	views      map[netip.Addr]*view // by node
	reported   Health
	stopChecks context.CancelFunc

	inFlight   int
	stragglers int // requests that it still gets while draining

	turn      float64   // what it is owed, in the group's round
	slowSince time.Time // when its slow start began; zero: its share is full
	exempt    bool      // its next recovery is no slow start

	expiry *time.Timer   // the end of the deregistration delay
	idle   chan struct{} // closed when it is draining and has nothing left to do
	cut    chan struct{} // closed when the delay is over: requests in flight end
}

// lease is the right to send one request to a target. The request counts as in
// flight until release.
type lease struct {
	target *target
	group  *group

	// cut is closed when the deregistration delay is over. The connection is
	// to be closed then, and the client gets 502.
	cut <-chan struct{}

	failOpen  bool // no target, or too few, are healthy: all get requests
	straggler bool // the target is deregistered already

	released bool
}

// release ends the request; again, it does nothing.
func (l *lease) release() {
	l.group.mu.Lock()
	defer l.group.mu.Unlock()
	if l.released {
		return
	}
	l.released = true
	l.target.inFlight--
	l.group.settleDraining(l.target)
}

// worst returns the view of the node that thinks worst of the target: it is
// what the group reports, so that "healthy" promises what every node does.
func (t *target) worst(nodes []netip.Addr) *view {
	worst := t.views[nodes[0]]
	for _, node := range nodes[1:] {
		if v := t.views[node]; v.state.worse(worst.state) {
			worst = v
		}
	}
	return worst
}

// beginChecks says, to every node at once, that a node checks the target: to
// the outside the registration is one step.
func (t *target) beginChecks() {
	for _, v := range t.views {
		v.begin()
	}
}

// finished reports whether the target was deregistered and has no request left.
func (t *target) finished() bool {
	select {
	case <-t.idle:
		return true
	default:
		return false
	}
}

// finish says so, once.
func (t *target) finish() {
	if !t.finished() {
		close(t.idle)
	}
}

// slow reports whether the target is in its slow start.
func (t *target) slow(now time.Time, duration time.Duration) bool {
	return !t.slowSince.IsZero() && now.Sub(t.slowSince) < duration
}

// share is how much of an equal part of the requests the target gets.
func (t *target) share(now time.Time, duration time.Duration) float64 {
	if !t.slow(now, duration) {
		return 1
	}
	return float64(now.Sub(t.slowSince)) / float64(duration)
}
