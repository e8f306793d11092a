//go:build linux

package peers

import (
	"context"
	"flag"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/internal/peers/cmd/deploy/rig"
)

// deployRate is how many requests a second each front gets.
const deployRate = 100

// TestDeployInstance is no test but an instance of the service, when this program is started as one.
func TestDeployInstance(t *testing.T) {
	if flag.NArg() == 0 {
		t.Skip("started with the arguments of an instance only")
	}
	require.NoError(t, rig.Instance(flag.Args()))
}

// deployment is a plan with this program as the instances.
type deployment struct {
	front    string
	mode     rig.Mode
	restarts int
}

func (d deployment) String() string { return d.front + "/" + string(d.mode) }

// carriedOut carries deployments out, all at the same time since they mostly wait, and has each judged.
func carriedOut(t *testing.T, all []deployment, judge func(*testing.T, rig.Result)) {
	if testing.Short() {
		t.Skip("restarts processes for half a minute")
	}
	results, errs := make([]rig.Result, len(all)), make([]error, len(all))
	var running sync.WaitGroup
	for i, d := range all {
		running.Go(func() { results[i], errs[i] = d.run(t.Context()) })
	}
	running.Wait()
	for i, d := range all {
		t.Run(d.String(), func(t *testing.T) {
			r := results[i]
			if missing := r.Front.Missing(); missing != "" {
				findPeer(t, missing) // skips, or fails
			}
			require.NoError(t, errs[i])
			t.Logf("%v; GET: %s; POST: %s; processes: %v", r, r.Get.First, r.Post.First, r.Exits)
			assert.Equal(t, d.restarts, r.Restarts)
			assert.Greater(t, min(r.Get.Sent, r.Post.Sent), 50)
			judge(t, r)
			if t.Failed() {
				t.Logf("the instances:\n%s", r.Log)
			}
		})
	}
}

func (d deployment) run(ctx context.Context) (rig.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return rig.Result{}, err
	}
	chosen, err := rig.Choose(d.front)
	if err != nil || chosen[0].Missing() != "" {
		return rig.Result{Front: chosen[0]}, err
	}
	return rig.Plan{
		Self:  []string{self, "-test.run=^TestDeployInstance$", "--"},
		Front: chosen[0], Mode: d.mode, Restarts: d.restarts, Rate: deployRate,
	}.Run(ctx)
}

// A service that is restarted under a balancer that nobody tells: no request is lost, whoever checks it and however the
// checks get there.
func TestDeploy(t *testing.T) {
	carriedOut(t, []deployment{
		{"haproxy", rig.Drain, 6}, {"haproxy-plain", rig.Drain, 6}, {"haproxy-nginx", rig.Drain, 6},
		{"nginx-reload", rig.Drain, 6}, {"alb", rig.Drain, 1}, {"nginx", rig.Drain, 3},
	}, func(t *testing.T, r rig.Result) {
		if r.Front.Name == "nginx" {
			behindNginxAlone(t, r)
			return
		}
		assert.Zero(t, r.Lost())
		assert.Equal(t, map[string]int{"exit status 0": r.Restarts}, r.Exits)
	})
}

// behindNginxAlone: it asks nobody for health, so nobody is told that an instance leaves, and a POST may meet the end of
// the connection that it is sent over. That nginx tries the other instance is all that there is: a GET finds it.
func behindNginxAlone(t *testing.T, r rig.Result) {
	assert.Zero(t, r.Get.Failed)
	assert.Less(t, r.Longest, stopTime, "nobody asks, so there is nobody to wait for")
}

// The same deploys without the drain lose requests, so one that loses none means something.
func TestDeployWithoutDrain(t *testing.T) {
	carriedOut(t, []deployment{
		{"haproxy", rig.Shutdown, 3}, {"haproxy", rig.Exit, 3}, {"haproxy-nginx", rig.Shutdown, 3}, {"haproxy-nginx", rig.Exit, 3},
	}, func(t *testing.T, r rig.Result) {
		assert.Positive(t, r.Get.Failed)
		assert.Positive(t, r.Post.Failed)
	})
}
