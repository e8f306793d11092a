package albtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// TargetGroupHandle operates one target group of a running server. Its methods
// may be called concurrently.
//
// A target is named by its ip:port, as Register returns it and Health and
// Entry.Target have it. Methods that take such names mean every target that is
// registered or draining if they are given none.
type TargetGroupHandle struct{ group *group }

// Register adds targets, in one operation, and returns their names. They get
// requests once they have passed a health check: WaitHealthy waits for it.
//
// A target that was deregistered is registered again by its address,
// Target{Addr: name}, also if it is a Handler of this server. While it is
// draining, that takes the deregistration back.
func (h *TargetGroupHandle) Register(targets ...Target) (names []string, err error) {
	return h.group.register(targets...)
}

// Deregister takes targets out: they get no more requests, apart from
// TargetGroup.Stragglers, and those in flight have until the deregistration
// delay is over. It returns at once; WaitIdle waits for the requests, and Wait
// with Unused for the delay. A name that is not registered is an error.
func (h *TargetGroupHandle) Deregister(names ...string) error {
	return h.each(names, func(t *target) error {
		h.group.deregister(t)
		return nil
	})
}

// Kill ends the processes of targets that are Handlers, as a crash does: their
// ports refuse connections, and those that are open break off. The targets stay
// registered. What runs outside this server cannot be killed, and is an error.
func (h *TargetGroupHandle) Kill(names ...string) error {
	return h.each(names, func(t *target) error { return t.machine.kill() })
}

// Revive starts the processes of targets that were killed.
func (h *TargetGroupHandle) Revive(names ...string) error {
	return h.each(names, func(t *target) error { return t.machine.revive() })
}

// each does something to each of the targets, outside the group's lock.
func (h *TargetGroupHandle) each(names []string, do func(*target) error) error {
	targets, err := h.targets(names)
	if err != nil {
		return err
	}
	for _, t := range targets {
		if err := do(t); err != nil {
			return fmt.Errorf("albtest: group %q: %s: %w", h.group.name, t.id, err)
		}
	}
	return nil
}

// targets finds targets by their names, or all that are not gone.
func (h *TargetGroupHandle) targets(names []string) (list []*target, err error) {
	h.group.mu.Lock()
	defer h.group.mu.Unlock()
	if len(names) == 0 {
		return h.group.present(), nil
	}
	for _, name := range names {
		t := h.group.find(name)
		if t == nil {
			return nil, fmt.Errorf("albtest: group %q: no target %q", h.group.name, name)
		}
		list = append(list, t)
	}
	return list, nil
}

// Health returns the health of targets, in the order of the names or of their
// registration. A name that the group does not know is Unused.
func (h *TargetGroupHandle) Health(names ...string) []Health {
	h.group.mu.Lock()
	defer h.group.mu.Unlock()
	return h.group.health(names)
}

// Transitions returns every change of a target's health, oldest first; of very
// many, the latest thousand.
func (h *TargetGroupHandle) Transitions() []Transition {
	h.group.mu.Lock()
	defer h.group.mu.Unlock()
	return slices.Clone(h.group.transitions)
}

// WaitHealthy waits until all targets that are registered and not draining are
// healthy in the eyes of every node, and there is at least one. The error is
// the context's, with what the targets are instead.
func (h *TargetGroupHandle) WaitHealthy(ctx context.Context) error {
	return h.wait(ctx, nil, func() bool {
		healthy := 0
		for _, t := range h.group.targets {
			switch {
			case t.stage != registered:
			case t.reported.State != Healthy:
				return false
			default:
				healthy++
			}
		}
		return healthy > 0
	})
}

// Wait waits until the targets are in the state, and if it is Healthy or
// Unhealthy, until every node agrees. The error is the context's, with what
// they are instead.
func (h *TargetGroupHandle) Wait(ctx context.Context, state State, names ...string) error {
	return h.wait(ctx, names, func() bool {
		return !slices.ContainsFunc(h.group.health(names), func(one Health) bool {
			return one.State != state || !h.group.agree(one)
		})
	})
}

// WaitIdle waits until the targets, which were deregistered, have no request
// left: those in flight were answered, or cut off at the end of the delay. From
// then on a target can be stopped. Its state remains Draining until the end of
// the delay nevertheless, as AWS displays it.
func (h *TargetGroupHandle) WaitIdle(ctx context.Context, names ...string) error {
	targets, err := h.targets(names)
	if err != nil {
		return err
	}
	return h.wait(ctx, names, func() bool {
		return !slices.ContainsFunc(targets, func(t *target) bool { return !t.finished() })
	})
}

func (h *TargetGroupHandle) wait(ctx context.Context, names []string, holds func() bool) error {
	if err := h.group.wait(ctx, holds); err != nil {
		return fmt.Errorf("albtest: group %q: %w: %s", h.group.name, err, describe(h.Health(names...)))
	}
	return nil
}

// describe puts the health of targets into a sentence.
func describe(all []Health) string {
	if len(all) == 0 {
		return "it has no targets"
	}
	var parts []string
	for _, one := range all {
		part := one.Target + " is " + string(one.State)
		if one.Reason != "" {
			part += " (" + string(one.Reason) + ": " + one.Description + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// agree reports whether every node sees the target as the group reports it.
func (g *group) agree(one Health) bool {
	t := g.find(one.Target)
	if t == nil || t.stage != registered || !g.inUse {
		return true
	}
	for _, v := range t.views {
		if v.state != one.State {
			return false
		}
	}
	return true
}

// present are the targets that are registered or draining.
func (g *group) present() (list []*target) {
	for _, t := range g.targets {
		if t.stage != gone {
			list = append(list, t)
		}
	}
	return list
}

// health is Health; the caller holds the lock.
func (g *group) health(names []string) (list []Health) {
	if len(names) == 0 {
		for _, t := range g.present() {
			list = append(list, t.reported)
		}
		return list
	}
	for _, name := range names {
		if t := g.find(name); t != nil {
			list = append(list, t.reported)
		} else {
			list = append(list, g.judge(&target{id: name, stage: gone}))
		}
	}
	return list
}
