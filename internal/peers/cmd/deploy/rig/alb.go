//go:build linux

package rig

import (
	"context"
	"time"

	"github.com/knownhops/knownhops/healthcheck"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// albProfile is that of an Application Load Balancer whose target group checks as often as AWS permits.
func albProfile() healthcheck.Profile {
	p := healthcheck.ALB()
	p.ProbeInterval, p.Quiet = 5*time.Second, time.Second
	return p
}

// startALB starts the emulated balancer in this process.
func startALB(_ context.Context, s *stage) (door, error) {
	group := albtest.TargetGroup{HealthCheck: albtest.HealthCheck{
		Path: "/healthz", Interval: albProfile().ProbeInterval, Timeout: 2 * time.Second, HealthyThreshold: 2,
	}}
	for _, addr := range s.instances {
		group.Targets = append(group.Targets, albtest.Target{Addr: addr})
	}
	alb, err := albtest.New(albtest.Config{
		TargetGroups: map[string]albtest.TargetGroup{albtest.DefaultGroup: group},
		Listeners:    []albtest.Listener{{Port: 80, Default: albtest.ForwardTo(albtest.DefaultGroup)}},
	})
	if err != nil {
		return door{}, err
	}
	s.atEnd(alb.Close)
	return door{addr: alb.Addr(80), back: func(ctx context.Context, i int) error {
		err := alb.TargetGroup(albtest.DefaultGroup).Wait(ctx, albtest.Healthy, s.instances[i])
		rest(ctx, albProfile().ProbeInterval*5/4) // both nodes have this machine's address here: a round later their interval is known
		return err
	}}, nil
}
