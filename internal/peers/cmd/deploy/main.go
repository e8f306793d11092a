//go:build linux

// Deploy restarts two instances of a service again and again behind real balancers, under load, and prints how many
// requests failed as a Markdown table.
//
//	cd internal/peers && go run ./cmd/deploy
//
// An instance is a process of its own. It is told to end by SIGTERM only, and the balancer is told nothing: with
// healthcheck.Serve it leaves by itself, with http.Server.Shutdown alone, or without any care, it does not. The fronts
// run at the same time, the modes one after the other. HAProxy and nginx have to be installed; what is not is left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/knownhops/knownhops/internal/peers/cmd/deploy/rig"
)

// instanceWord is the first argument of a child that is an instance.
const instanceWord = "instance"

// Bounds keep a slip of the finger from loading a machine for a day.
const (
	maxRestarts = 1000
	maxRate     = 2000
)

func main() {
	if err := start(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

// start is the whole program, or an instance.
func start(args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == instanceWord {
		return rig.Instance(args[1:])
	}
	p, err := parsePlan(args, stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return p.run(ctx, stdout, stderr)
}

// A plan is what to deploy, and how often.
type plan struct {
	restarts, rate int
	fronts         []rig.Front
}

func parsePlan(args []string, stderr io.Writer) (p plan, err error) {
	fs := flag.NewFlagSet("deploy", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&p.restarts, "restarts", 20, "how often an instance is restarted, the two in turn; behind the emulated ALB, a fifth of that")
	fs.IntVar(&p.rate, "rate", 200, "requests a second, for each front")
	only := fs.String("only", "", "fronts, separated by commas (default: all)")
	if err := fs.Parse(args); err != nil {
		return plan{}, err
	}
	if fs.NArg() > 0 {
		return plan{}, fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	if p.fronts, err = rig.Choose(*only); err != nil {
		return plan{}, err
	}
	return p, p.check()
}

func (p plan) check() error {
	var errs []error
	if p.restarts < 1 || p.restarts > maxRestarts {
		errs = append(errs, fmt.Errorf("-restarts %d: from 1 to %d", p.restarts, maxRestarts))
	}
	if p.rate < 1 || p.rate > maxRate {
		errs = append(errs, fmt.Errorf("-rate %d: from 1 to %d", p.rate, maxRate))
	}
	return errors.Join(errs...)
}

// run carries everything out and prints the table.
func (p plan) run(ctx context.Context, stdout, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var results []rig.Result
	var errs []error
	for _, mode := range rig.Modes() {
		fmt.Fprintf(stderr, "%s …\n", mode)
		some, err := p.mode(ctx, self, mode, stderr)
		results, errs = append(results, some...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err = io.WriteString(stdout, rig.Markdown(results))
	return err
}

// mode runs the fronts side by side: they mostly wait.
func (p plan) mode(ctx context.Context, self string, mode rig.Mode, stderr io.Writer) ([]rig.Result, error) {
	results, errs := make([]rig.Result, len(p.fronts)), make([]error, len(p.fronts))
	var all sync.WaitGroup
	for i, front := range p.fronts {
		if missing := front.Missing(); missing != "" {
			fmt.Fprintf(stderr, "%s is left out: %s is not installed\n", front.Name, missing)
			continue
		}
		one := rig.Plan{Self: []string{self, instanceWord}, Front: front, Mode: mode, Restarts: p.restarts, Rate: p.rate}
		if front.Slow() {
			one.Restarts = max(1, p.restarts/5)
		}
		all.Go(func() { results[i], errs[i] = one.Run(ctx) })
	}
	all.Wait()
	for i, r := range results {
		if r.Lost() > 0 {
			fmt.Fprintf(stderr, "%s: GET: %s; POST: %s; processes: %v\n", p.fronts[i].Name, r.Get.First, r.Post.First, r.Exits)
		}
	}
	return results, errors.Join(errs...)
}
