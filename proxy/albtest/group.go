package albtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// group is the runtime of one target group.
type group struct {
	name    string
	cfg     TargetGroup // with its defaults
	matcher matcher
	inUse   bool // a listener forwards to it
	env     *environment

	ctx    context.Context // ends with the group
	cancel context.CancelFunc
	checks sync.WaitGroup

	mu          sync.Mutex
	targets     []*target     // in order of registration, also those that are gone
	machines    []*machine    // theirs, also those that were replaced
	changed     chan struct{} // closed and replaced when something happens to a target
	transitions []Transition
}

// newGroup makes a group without its targets. The caller closes it.
func newGroup(name string, cfg TargetGroup, inUse bool, env *environment) (*group, error) {
	m, err := cfg.HealthCheck.matcher(cfg.ProtocolVersion)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &group{
		name: name, cfg: cfg.withDefaults(), matcher: m, inUse: inUse, env: env,
		ctx: ctx, cancel: cancel,
		changed: make(chan struct{}),
	}, nil
}

// withDefaults returns the settings with AWS's defaults filled in.
func (c TargetGroup) withDefaults() TargetGroup {
	port := 80
	if c.Protocol == HTTPS {
		port = 443
	}
	c.Port = cmp.Or(c.Port, port)
	c.HealthCheck = c.HealthCheck.withDefaults(c.ProtocolVersion)
	c.MinimumHealthyTargets = cmp.Or(c.MinimumHealthyTargets, 1)
	switch c.DeregistrationDelay {
	case 0:
		c.DeregistrationDelay = 300 * time.Second
	case NoDelay:
		c.DeregistrationDelay = 0
	}
	return c
}

// register adds targets in one operation and returns their ids. Where one
// cannot be added, those before it stay.
func (g *group) register(specs ...Target) (ids []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	exempt := !g.hasFullShare(nil, time.Now())
	for _, spec := range specs {
		t, err := g.admit(spec)
		if err != nil {
			return ids, fmt.Errorf("albtest: group %q: %w", g.name, err)
		}
		g.begin(t, exempt)
		ids = append(ids, t.id)
	}
	return ids, nil
}

// admit finds the target, which may have been registered before, or makes it.
func (g *group) admit(spec Target) (*target, error) {
	if g.ctx.Err() != nil {
		return nil, errClosed
	}
	var errs ConfigErrors
	if spec.check("Target", &Config{}, &errs); len(errs) > 0 {
		return nil, errs
	}
	at, err := g.locate(spec)
	if err != nil {
		return nil, err
	}
	t := g.find(at.String())
	if t != nil && spec.Handler == nil {
		return t, nil
	}
	if t != nil && t.stage != gone {
		return nil, fmt.Errorf("%s is registered already", at)
	}
	m, err := g.build(at, spec)
	if err != nil {
		return nil, err
	}
	if t == nil {
		t = &target{id: at.String(), addr: at, stage: gone}
		g.targets = append(g.targets, t)
	}
	t.machine = m
	return t, nil
}

// build makes the machine of a target. It takes the place of one that was at
// the address before, whose handlers are waited for at the end only: one of
// them may be asking the group something.
func (g *group) build(at netip.AddrPort, spec Target) (*machine, error) {
	for _, old := range g.machines {
		if old.at == at {
			_ = old.kill() // there is nothing to end where nothing of ours is
		}
	}
	m := &machine{env: g.env, at: at, target: spec, secure: g.cfg.Protocol == HTTPS, version: g.cfg.ProtocolVersion}
	if err := m.start(); err != nil {
		return nil, err
	}
	g.machines = append(g.machines, m)
	return m, nil
}

// locate is the address of a target.
func (g *group) locate(spec Target) (netip.AddrPort, error) {
	if spec.Addr != "" {
		return resolve(spec.Addr)
	}
	ip := spec.IP.Unmap()
	if !ip.IsValid() {
		ip = g.env.nextMachine()
	}
	g.env.network.reserve(ip)
	return netip.AddrPortFrom(ip, uint16(cmp.Or(spec.Port, g.cfg.Port))), nil
}

// resolve is for the address of something that is not ours.
func resolve(addr string) (netip.AddrPort, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
}

// find returns the target with that id, nil if there is none.
func (g *group) find(id string) *target {
	i := slices.IndexFunc(g.targets, func(t *target) bool { return t.id == id })
	if i < 0 {
		return nil
	}
	return g.targets[i]
}

// begin registers a target, for the first time or again. One that is
// registered already stays what it is; the deregistration of one that drains
// is taken back, and its requests in flight go on.
func (g *group) begin(t *target, exempt bool) {
	if t.stage == registered {
		return
	}
	if t.stage == draining {
		t.expiry.Stop()
		t.expiry = nil
	} else {
		t.cut = make(chan struct{})
	}
	if t.idle == nil || t.finished() { // connections in use hold on to an open one
		t.idle = make(chan struct{})
	}
	t.stage, t.stragglers, t.turn = registered, 0, 0
	t.exempt, t.slowSince = exempt, time.Time{}
	t.stopChecks = func() {}
	t.views = make(map[netip.Addr]*view, len(g.env.nodes))
	for _, node := range g.env.nodes {
		t.views[node] = newView()
	}
	if g.inUse {
		g.check(t)
	}
	g.report(t)
}

// deregister takes a target out. Its requests in flight have until the end of
// the delay.
func (g *group) deregister(t *target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.stage != registered {
		return
	}
	t.stopChecks()
	if g.cfg.DeregistrationDelay == 0 {
		g.retire(t)
		return
	}
	t.stage = draining
	if g.inUse {
		t.stragglers = g.cfg.Stragglers
	}
	g.expire(t, g.cfg.DeregistrationDelay)
	g.report(t)
	g.settleDraining(t)
}

// expire retires the target after the delay, unless the deregistration was
// taken back: another timer runs then, or none.
func (g *group) expire(t *target, delay time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if t.expiry == timer {
			g.retire(t)
		}
	})
	t.expiry = timer
}

// retire ends a registration.
func (g *group) retire(t *target) {
	t.stage, t.stragglers, t.expiry = gone, 0, nil
	close(t.cut)
	t.finish()
	g.report(t)
}

// settleDraining ends the draining of a target that has nothing left to do. It
// is displayed as draining until the delay is over all the same: AWS does so.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html#deregistration-delay
func (g *group) settleDraining(t *target) {
	if t.stage == draining && t.inFlight == 0 && t.stragglers == 0 {
		t.finish()
	}
	g.wake()
}

// wake lets everybody look who waits for something to happen.
func (g *group) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// wait returns when the condition holds, which is asked under the group's
// lock, or with the context's error.
func (g *group) wait(ctx context.Context, holds func() bool) error {
	for {
		g.mu.Lock()
		done, changed := holds(), g.changed
		g.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.ctx.Done():
			return errClosed
		case <-changed:
		}
	}
}

// close ends the checks, the draining and the machines, and waits for them.
func (g *group) close() {
	g.cancel()
	g.mu.Lock()
	machines := slices.Clone(g.machines)
	for _, t := range g.targets {
		if t.stage == draining {
			t.expiry.Stop()
		}
	}
	g.mu.Unlock()
	g.checks.Wait()
	for _, m := range machines {
		m.close()
	}
}

var errClosed = errors.New("the server is closed")
