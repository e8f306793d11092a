//go:build linux

package rig

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/knownhops/knownhops/healthcheck"
)

// A Front is what stands in front of the two instances.
type Front struct {
	Name  string // short, for a command line
	Title string // for people

	binaries []string
	profile  healthcheck.Profile
	start    func(ctx context.Context, s *stage) (door, error)
}

// A door is a started front.
type door struct {
	addr string // for clients

	// fresh asks for a connection for each request: those that it keeps for clients, the front closes without a word.
	fresh bool

	// back waits until the front sends requests to an instance again that has just started.
	back func(ctx context.Context, instance int) error
}

// interval is the time between two health checks of those fronts that let us choose.
const interval = 200 * time.Millisecond

// quick is the profile of such a front.
func quick(name string) healthcheck.Profile {
	return healthcheck.Profile{
		Name: name, Idle: 60 * time.Second, ProbeInterval: interval, UnhealthyThreshold: 2,
		Quiet: time.Second, Wait: 10 * time.Second, KillBudget: 30 * time.Second,
	}
}

// settled is a back for fronts that are quick to find out.
func settled(ctx context.Context, _ int) error {
	rest(ctx, 6*interval)
	return ctx.Err()
}

// Fronts lists all that there are.
func Fronts() []Front {
	return []Front{
		{
			Name: "haproxy", Title: "HAProxy, checks every 200 ms, no retries", binaries: []string{"haproxy"},
			profile: quick("HAProxy"), start: haproxy{}.start,
		},
		{
			Name: "haproxy-plain", Title: "the same without `option forwardfor`", binaries: []string{"haproxy"},
			profile: quick("HAProxy"), start: haproxy{plain: true}.start,
		},
		{
			Name: "haproxy-nginx", Title: "HAProxy, and an nginx beside each instance", binaries: []string{"haproxy", "nginx"},
			profile: quick("HAProxy"), start: startSidecars,
		},
		{
			Name: "nginx", Title: "nginx alone, which checks nothing", binaries: []string{"nginx"},
			profile: quick("nginx"), start: startNginx,
		},
		{
			Name: "nginx-reload", Title: "nginx, reloaded by a checker, `proxy_next_upstream off`", binaries: []string{"nginx"},
			profile: quick("nginx"), start: startReloaded,
		},
		{
			Name: "alb", Title: "`proxy/albtest`, checks every 5 s", profile: albProfile(), start: startALB,
		},
	}
}

// Choose returns the fronts with the names of a list, separated by commas; all if it is empty.
func Choose(list string) ([]Front, error) {
	if list == "" {
		return Fronts(), nil
	}
	var chosen []Front
next:
	for name := range strings.SplitSeq(list, ",") {
		for _, f := range Fronts() {
			if f.Name == name {
				chosen = append(chosen, f)
				continue next
			}
		}
		return nil, fmt.Errorf("no front is called %q", name)
	}
	return chosen, nil
}

// Missing returns a program that the front needs and that is not installed; "": none.
func (f Front) Missing() string {
	for _, binary := range f.binaries {
		if _, err := find(binary); err != nil {
			return binary
		}
	}
	return ""
}

// Slow reports whether a restart takes tens of seconds, by what the front checks how often.
func (f Front) Slow() bool { return f.profile.ProbeInterval > time.Second }
