//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/knownhops/knownhops/internal/peers/proxyload"
)

// A rig is what stays the same over all runs.
type rig struct {
	plan
	self    string // this program's path
	dir     string
	warden  *warden
	backend string // address
}

// run measures everything and prints the tables.
func (p plan) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "proxytable")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // as in try
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	guard, err := newWarden(self)
	if err != nil {
		return err
	}
	defer guard.dismiss()
	r := rig{plan: p, self: self, dir: dir, warden: guard}
	rs, err := r.runAll(ctx, stderr)
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, rs.report(p))
	return err
}

// runAll starts the backend and goes through the schedule.
func (r *rig) runAll(ctx context.Context, progress io.Writer) (*results, error) {
	present, absent := r.installed()
	rs := &results{contestants: present, absent: absent}
	if len(present) == 0 {
		return rs, nil
	}
	backend, addr, err := r.warden.establish(ctx, r.dir, func(s site) ([]string, error) {
		return []string{r.self, roleWord, "backend", s.listen}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("the backend: %w", err)
	}
	r.backend = addr
	defer backend.stop()
	return rs, r.runSchedule(ctx, rs, progress)
}

// installed tells the contestants that can run from those that cannot.
func (r *rig) installed() (present, absent []contestant) {
	for _, c := range r.contestants {
		if c.find() == "" {
			absent = append(absent, c)
		} else {
			present = append(present, c)
		}
	}
	return present, absent
}

// runSchedule fills in the results. A run that fails is one of them; only an interruption ends the schedule.
func (r *rig) runSchedule(ctx context.Context, rs *results, progress io.Writer) error {
	turns := schedule(r.rounds, len(r.cases), len(rs.contestants))
	start := time.Now()
	for i, t := range turns {
		c, kind := rs.contestants[t.contestant], r.cases[t.kind]
		fmt.Fprintf(progress, "[%d/%d] round %d, %s: %s%s\n", i+1, len(turns), t.round+1, kind.Name, c.name,
			remaining(time.Since(start), i, len(turns)))
		o, err := r.measure(ctx, c, kind)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: %w", context.Cause(ctx))
		}
		if err != nil {
			o.fault = err.Error()
			fmt.Fprintf(progress, "%s: %v\n", c.name, err)
		}
		rs.add(kind.Name, c.name, o)
	}
	return nil
}

// measure runs one contestant in one case.
func (r *rig) measure(ctx context.Context, c contestant, kind proxyload.Case) (outcome, error) {
	if c.name == direct {
		return r.underLoad(ctx, nil, r.backend, kind, "")
	}
	profile := ""
	if c.name == "ours" {
		profile = r.profileFor(kind)
	}
	p, addr, err := r.warden.establish(ctx, r.dir, func(s site) ([]string, error) {
		s.upstream = r.backend
		return c.command(s, profile)
	})
	if err != nil {
		return outcome{}, err
	}
	o, err := r.underLoad(ctx, p, addr, kind, profile)
	if stopErr := p.stop(); err == nil {
		err = stopErr
	}
	return o, err
}

// underLoad lets the load warm the proxy up and then measures; p is nil where there is no proxy. Nothing is under way
// when the CPU clocks are read, before and after.
func (r *rig) underLoad(ctx context.Context, p *process, addr string, kind proxyload.Case, profile string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*r.span+time.Minute)
	defer cancel()
	l, err := r.startLoad(ctx, addr, kind)
	if err != nil {
		return outcome{}, err
	}
	defer l.end()
	if profile != "" {
		if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			return outcome{}, err
		}
	}
	before, err := p.usage()
	if err != nil {
		return outcome{}, err
	}
	result, err := l.run()
	if err != nil {
		return outcome{}, err
	}
	after, err := p.usage()
	return outcome{Result: result, cpu: after.cpu - before.cpu, peak: after.peak}, err
}

// usage is nothing where there is no process.
func (p *process) usage() (usage, error) {
	if p == nil {
		return usage{}, nil
	}
	return usageOf(p.group())
}
