package albtest

import (
	"cmp"
	"crypto/tls"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
)

// listener is the runtime of a Listener.
type listener struct {
	Listener
	socket  net.Listener
	tls     *tls.Config
	rules   []compiled // by priority; the default action is the last
	renamed map[string]string
}

// compiled is a rule that is ready to be used.
type compiled struct {
	priority   int // 0: the default action
	conditions []Condition
	action     Action
	turns      *turns // of a Forward
}

func compileListener(l Listener) *listener {
	c := &listener{Listener: l, renamed: make(map[string]string)}
	for from, to := range l.Attributes.RenameHeaders {
		c.renamed[strings.ToLower(from)] = to
	}
	for _, r := range l.Rules {
		c.rules = append(c.rules, compiled{r.Priority, slices.Clone(r.Conditions), r.Action, newTurns(r.Action)})
	}
	slices.SortFunc(c.rules, func(a, b compiled) int { return cmp.Compare(a.priority, b.priority) })
	c.rules = append(c.rules, compiled{action: l.Default, turns: newTurns(l.Default)})
	return c
}

// match finds the first rule whose conditions hold. The default has none.
func (l *listener) match(m *message) compiled {
	for _, r := range l.rules {
		if r.holds(m) {
			return r
		}
	}
	panic("albtest: a listener without default action")
}

func (r compiled) holds(m *message) bool {
	for _, c := range r.conditions {
		if !c.holds(m) {
			return false
		}
	}
	return true
}

// turns deals requests out to the groups of a Forward by their weights: exactly,
// not at random, so that tests can count.
type turns struct {
	groups Forward
	mu     sync.Mutex
	owed   []int
}

func newTurns(a Action) *turns {
	f, ok := a.(Forward)
	if !ok {
		return nil
	}
	return &turns{groups: slices.Clone(f), owed: make([]int, len(f))}
}

// next returns the group that is owed most; empty: no group has any weight.
func (t *turns) next() string {
	if len(t.groups) == 1 {
		return t.groups[0].Group
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	first, total := -1, 0
	for i, g := range t.groups {
		t.owed[i] += g.Weight
		total += g.Weight
		if g.Weight > 0 && (first < 0 || t.owed[i] > t.owed[first]) {
			first = i
		}
	}
	if first < 0 {
		return ""
	}
	t.owed[first] -= total
	return t.groups[first].Group
}

// sortedKeys of a map.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
