//go:build linux

package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// startUp is how long the new program of an instance takes before it listens, counted from the end of the old one.
const startUp = 500 * time.Millisecond

// A Plan is one deploy: two instances that are restarted in turn while requests come.
type Plan struct {
	Self     []string // command line of an instance, without its arguments (Instance)
	Front    Front
	Mode     Mode
	Restarts int // in all, of one instance after the other
	Rate     int // requests a second
}

// A Result is what became of a Plan.
type Result struct {
	Front    Front
	Mode     Mode
	Restarts int // in all
	Get      Count
	Post     Count
	Longest  time.Duration // from SIGTERM to the end of a process
	Exits    map[string]int
	Log      string // what the instances printed
}

// Lost is how many requests failed.
func (r Result) Lost() int { return r.Get.Failed + r.Post.Failed }

// Run carries the plan out. An error says that it could not be, not that requests failed. Everything that it started
// is gone when it returns.
func (p Plan) Run(ctx context.Context) (r Result, err error) {
	s, err := newStage(ctx)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	d := deploy{plan: p, stage: s, result: Result{Front: p.Front, Mode: p.Mode, Exits: make(map[string]int)}}
	if err := d.begin(ctx); err != nil {
		return Result{}, err
	}
	return d.result, d.underLoad(ctx)
}

// A deploy is a Plan that is being carried out.
type deploy struct {
	plan      Plan
	stage     *stage
	door      door
	instances [2]*process
	result    Result
}

// begin starts the instances and what is in front of them, and waits until they are known there.
func (d *deploy) begin(ctx context.Context) (err error) {
	for i := range d.instances {
		if err := d.start(ctx, i); err != nil {
			return err
		}
	}
	if d.door, err = d.plan.Front.start(ctx, d.stage); err != nil {
		return err
	}
	for i := range d.instances {
		if err := d.door.back(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// start runs an instance.
func (d *deploy) start(ctx context.Context, i int) (err error) {
	profile, err := json.Marshal(d.plan.Front.profile)
	if err != nil {
		return err
	}
	addr := d.stage.instances[i]
	line := append(append([]string(nil), d.plan.Self...), string(d.plan.Mode), addr, string(profile))
	if d.instances[i], err = d.stage.launch(d.stage.dir, fmt.Sprint("instance", i), line); err != nil {
		return err
	}
	return d.instances[i].ready(ctx, addr)
}

// underLoad restarts the instances while requests come.
func (d *deploy) underLoad(ctx context.Context) error {
	l := newLoad(d.door)
	loading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.run(loading, d.plan.Rate)
	}()
	rest(ctx, time.Second)
	err := d.restarts(ctx)
	stop()
	<-ended
	d.result.Log = d.instances[0].output() + d.instances[1].output()
	d.result.Get, d.result.Post = l.counts[http.MethodGet], l.counts[http.MethodPost]
	return err
}

func (d *deploy) restarts(ctx context.Context) error {
	for n := range d.plan.Restarts {
		i := n % len(d.instances)
		if err := d.restart(ctx, i); err != nil {
			return err
		}
		if n == d.plan.Restarts-1 {
			rest(ctx, time.Second)
			break
		}
		if err := d.door.back(ctx, i); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// restart is what a service manager does.
func (d *deploy) restart(ctx context.Context, i int) error {
	took, err := d.instances[i].terminate()
	if err != nil {
		return err
	}
	d.result.Restarts++
	d.result.Longest = max(d.result.Longest, took)
	d.result.Exits[d.instances[i].exit()]++
	if rest(ctx, startUp); ctx.Err() != nil {
		return ctx.Err()
	}
	return d.start(ctx, i)
}
