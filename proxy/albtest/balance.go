package albtest

import (
	"errors"
	"net/netip"
	"time"
)

// Why a group has no target for a request: 503 either way.
var (
	errNoTargets = errors.New("the target group has no registered targets")
	errInitial   = errors.New("no target of the group has had its first health check yet")
)

// pick chooses the target of a request that a node is about to send. The
// caller releases the lease.
func (g *group) pick(node netip.Addr) (*lease, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	candidates, failOpen := g.candidates(node)
	if len(candidates) == 0 {
		return nil, g.whyNone()
	}
	t := g.choose(candidates, time.Now())
	l := &lease{target: t, group: g, cut: t.cut, failOpen: failOpen, straggler: t.stage == draining}
	t.inFlight++
	if l.straggler {
		t.stragglers--
	}
	return l, nil
}

// candidates are the targets that the node thinks healthy, or where those are
// too few, all that had a check; and those of which it does not know yet that
// they are deregistered.
func (g *group) candidates(node netip.Addr) (list []*target, failOpen bool) {
	var healthy, checked []*target
	for _, t := range g.targets {
		switch {
		case t.stage == draining && t.stragglers > 0:
			list = append(list, t)
		case t.stage != registered || !g.inUse:
		case t.views[node].state == Healthy:
			healthy = append(healthy, t)
			checked = append(checked, t)
		case t.views[node].state == Unhealthy:
			checked = append(checked, t)
		}
	}
	if len(healthy) >= g.cfg.MinimumHealthyTargets {
		return append(list, healthy...), false
	}
	return append(list, checked...), len(checked) > 0
}

func (g *group) whyNone() error {
	for _, t := range g.targets {
		if t.stage == registered && g.inUse {
			return errInitial
		}
	}
	return errNoTargets
}

// choose takes the candidate whose turn it is, or first narrows them to those
// with the fewest requests in flight.
func (g *group) choose(candidates []*target, now time.Time) *target {
	if g.cfg.Algorithm == LeastOutstandingRequests {
		candidates = leastBusy(candidates)
	}
	return g.takeTurn(candidates, now)
}

func leastBusy(candidates []*target) (least []*target) {
	for _, t := range candidates {
		switch {
		case len(least) == 0 || t.inFlight < least[0].inFlight:
			least = []*target{t}
		case t.inFlight == least[0].inFlight:
			least = append(least, t)
		}
	}
	return least
}

// takeTurn is a round robin with shares: every candidate is owed its share of
// this request, and who is owed most gets it and pays for all. With equal
// shares that is one after another. The method is nginx's smooth weighted round
// robin.
func (g *group) takeTurn(candidates []*target, now time.Time) *target {
	var first *target
	var total float64
	for _, t := range candidates {
		share := t.share(now, g.cfg.SlowStart)
		t.turn += share
		total += share
		if first == nil || t.turn > first.turn {
			first = t
		}
	}
	first.turn -= total
	return first
}
