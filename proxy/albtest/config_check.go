package albtest

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// defaultClient is in a network for documentation (RFC 5737).
const defaultClient = "203.0.113.10"

// withDefaults returns a copy with AWS's defaults filled in.
func (c Config) withDefaults() Config {
	c.TargetGroups = maps.Clone(c.TargetGroups)
	c.Attributes.IdleTimeout = cmp.Or(c.Attributes.IdleTimeout, 60*time.Second)
	c.Attributes.ClientKeepAlive = cmp.Or(c.Attributes.ClientKeepAlive, time.Hour)
	if !c.ClientAddr.IsValid() {
		c.ClientAddr = netip.MustParseAddr(defaultClient)
	}
	c.Nodes = slices.Clone(c.Nodes)
	if len(c.Nodes) == 0 {
		for _, subnet := range Subnets() {
			network := netip.MustParsePrefix(subnet).Addr().As4()
			network[3] = 10
			c.Nodes = append(c.Nodes, netip.AddrFrom4(network))
		}
	}
	if len(c.Listeners) == 0 && len(c.TargetGroups) == 1 {
		for name := range c.TargetGroups {
			c.Listeners = []Listener{{Port: 443, TLS: &TLS{}, Default: ForwardTo(name)}, {Port: 80, Default: ToHTTPS()}}
		}
	}
	c.Listeners = slices.Clone(c.Listeners)
	return c
}

// uses reports whether a listener forwards to the group.
func (c *Config) uses(group string) bool {
	for _, l := range c.Listeners {
		if forwardsTo(l.Default, group) || slices.ContainsFunc(l.Rules, func(r Rule) bool { return forwardsTo(r.Action, group) }) {
			return true
		}
	}
	return false
}

func forwardsTo(a Action, group string) bool {
	f, ok := a.(Forward)
	return ok && slices.ContainsFunc(f, func(g WeightedGroup) bool { return g.Group == group })
}

// check finds every mistake, in field order.
func (c *Config) check() (errs ConfigErrors) {
	c.Attributes.check(&errs)
	if len(c.Listeners) == 0 {
		errs.add("Listeners", nil, "there are none", "add some; they can be left out with exactly one target group")
	}
	ports := make(map[int]bool)
	for i := range c.Listeners {
		l, field := &c.Listeners[i], fmt.Sprintf("Listeners[%d]", i)
		if ports[l.Port] {
			errs.add(field+".Port", l.Port, "another listener has the same port", "give each a port of its own")
		}
		ports[l.Port] = true
		l.check(field, c, &errs)
	}
	for _, name := range sortedKeys(c.TargetGroups) {
		g := c.TargetGroups[name]
		g.checkGroup(fmt.Sprintf("TargetGroups[%q]", name), c, &errs)
	}
	for i, node := range c.Nodes {
		if !node.IsValid() || node.Zone() != "" {
			errs.add(fmt.Sprintf("Nodes[%d]", i), node, "not an address without a zone", "use netip.MustParseAddr")
		}
	}
	if u := c.Unknowns; u.SeveralXFF > KeepAndAdd || u.MaxLocation < 0 {
		errs.add("Unknowns", fmt.Sprintf("%+v", u), "a switch is out of its range", "use the constants, and no negative number")
	}
	return errs
}

func (a *Attributes) check(errs *ConfigErrors) {
	if a.XFFHeaderProcessing > Remove {
		errs.add("Attributes.XFFHeaderProcessing", int(a.XFFHeaderProcessing), "no such mode", "use Append, Preserve or Remove")
	}
	if a.DesyncMitigation > Strictest {
		errs.add("Attributes.DesyncMitigation", int(a.DesyncMitigation), "no such mode", "use Defensive, Monitor or Strictest")
	}
	errs.within("Attributes.IdleTimeout", a.IdleTimeout, time.Second, 4000*time.Second)
	errs.within("Attributes.ClientKeepAlive", a.ClientKeepAlive, time.Minute, 604800*time.Second)
}

// within refuses what AWS would not take.
func (e *ConfigErrors) within(field string, d, from, to time.Duration) {
	if d < from || d > to {
		e.add(field, d, "out of AWS's range", fmt.Sprintf("choose %v to %v", from, to))
	}
}
