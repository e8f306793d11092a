package albtest

import (
	"context"
	"net/netip"
	"time"
)

// maxTransitions is how many transitions a group remembers: more than a test
// makes, and a bound for a server that runs for days.
const maxTransitions = 1000

// Transition is a change of a target's health. Where a target was registered
// for the first time, From is the zero Health.
type Transition struct {
	Time     time.Time
	From, To Health
}

// check starts the checks of a target, one goroutine per node.
func (g *group) check(t *target) {
	ctx, cancel := context.WithCancel(g.ctx)
	t.stopChecks = cancel
	to := t.addr
	if port := g.cfg.HealthCheck.Port; port != 0 {
		to = netip.AddrPortFrom(to.Addr(), uint16(port))
	}
	for node, v := range t.views {
		p := &prober{
			network: g.env.network, node: node, to: to,
			check: g.cfg.HealthCheck, version: g.cfg.ProtocolVersion, matcher: g.matcher,
			unknowns: g.env.unknowns,
		}
		g.checks.Go(func() { g.checkLoop(ctx, t, v, p) })
	}
}

// checkLoop checks at once and then at every interval, however long an answer
// takes.
func (g *group) checkLoop(ctx context.Context, t *target, v *view, p *prober) {
	ticker := time.NewTicker(p.check.Interval)
	defer ticker.Stop()
	g.update(ctx, t, t.beginChecks)
	for {
		found := p.probe(ctx)
		g.update(ctx, t, func() { v.record(found, p.check, p.unknowns) })
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// update changes a view, unless the checks were stopped meanwhile: what a
// check found that was cut off is nothing.
func (g *group) update(ctx context.Context, t *target, change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() == nil {
		change()
		g.report(t)
	}
}

// report publishes the health of a target, and what follows from it.
func (g *group) report(t *target) {
	was, is := t.reported, g.judge(t)
	if was != is {
		t.reported = is
		g.ease(t, was.State, is.State)
		g.transitions = append(g.transitions, Transition{Time: time.Now(), From: was, To: is})
		if extra := len(g.transitions) - maxTransitions; extra > 0 {
			g.transitions = g.transitions[extra:]
		}
	}
	g.wake()
}

// judge is the health of a target at this moment.
func (g *group) judge(t *target) Health {
	switch {
	case t.stage == gone:
		return Health{t.id, Unused, NotRegistered, "Target is not registered to the target group"}
	case t.stage == draining:
		return Health{t.id, Draining, DeregistrationInProgress, "Target deregistration is in progress"}
	case !g.inUse:
		return Health{t.id, Unused, NotInUse, "Target group is not configured to receive traffic from the load balancer"}
	}
	v := t.worst(g.env.nodes)
	return Health{t.id, v.state, v.why.reason, v.why.description}
}

// ease begins the slow start of a target that became healthy, and ends that of
// one that no longer is. A target is eased in only where another one has its
// full share, and not when it was registered together with the first ones.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html#slow-start-mode
func (g *group) ease(t *target, was, is State) {
	if is != Healthy {
		t.slowSince = time.Time{}
		return
	}
	now := time.Now()
	if was != Healthy && g.cfg.SlowStart > 0 && !t.exempt && g.hasFullShare(t, now) {
		t.slowSince = now
	}
	t.exempt = false
}

// hasFullShare reports whether a target is healthy and not in its slow start,
// other than the one that the question is about.
func (g *group) hasFullShare(except *target, now time.Time) bool {
	for _, t := range g.targets {
		if t != except && t.reported.State == Healthy && !t.slow(now, g.cfg.SlowStart) {
			return true
		}
	}
	return false
}

// settled reports whether every node has checked every registered target.
func (g *group) settled() bool {
	for _, t := range g.targets {
		for _, v := range t.views {
			if g.inUse && t.stage == registered && v.checks == 0 {
				return false
			}
		}
	}
	return true
}

// settle waits until the group is settled.
func (g *group) settle(ctx context.Context) error { return g.wait(ctx, g.settled) }
