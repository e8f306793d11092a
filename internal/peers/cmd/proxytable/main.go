//go:build linux

// Proxytable measures reverse proxies side by side and prints what they cost as tables.
//
//	cd internal/peers && go run ./cmd/proxytable -markdown
//
// Every proxy stands between the same load and the same backend, one at a time, each in processes of its own: this
// program starts itself again for the backend, the load and the proxies written in Go. The proxies of a case run next to
// each other, in reverse order every other round, each time in fresh processes and after a warm-up. What counts is the
// CPU time of a proxy's processes per request, and its ratio to nginx in the same round: requests per second depend on
// whatever else the machine does. Every answer is looked at, and a proxy that gave a wrong one is marked.
//
// All listen on 127.0.0.1 only, and none outlives this program, however it ends. A proxy that is not installed is left
// out, and the output says so. Another version of a proxy is measured by putting it first in PATH.
//
// For a CPU profile of this module's proxy while it works:
//
//	go run ./cmd/proxytable -only ours -cases 1k -rounds 1 -seconds 5 -profile cpu.pprof
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/knownhops/knownhops/internal/peers/proxyload"
)

func main() {
	if err := start(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "proxytable:", err)
		os.Exit(1)
	}
}

// start is the whole program, or the part of it that a child plays.
func start(args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == roleWord {
		return play(args[1:])
	}
	p, err := parsePlan(args, stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return p.run(ctx, stdout, stderr)
}

// A plan is what to measure, and how long.
type plan struct {
	rounds      int
	span        time.Duration // measured, of each run
	connections int
	contestants []contestant
	cases       []proxyload.Case
	markdown    bool
	profile     string // absolute; "": none
}

// Bounds keep a slip of the finger from loading a machine for a day.
const (
	maxRounds      = 100
	maxSeconds     = 600
	maxConnections = 1024
)

func parsePlan(args []string, stderr io.Writer) (plan, error) {
	var p plan
	var seconds float64
	var only, cases string
	fs := flag.NewFlagSet("proxytable", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&p.rounds, "rounds", 5, "how often every proxy runs in every case")
	fs.Float64Var(&seconds, "seconds", 0.9, "how long each time, after a warm-up of a third of that")
	fs.IntVar(&p.connections, "connections", 64, "how many connections ask at the same time")
	fs.StringVar(&only, "only", "", "proxies, separated by commas: "+names(contestants())+" (default: all but the last two)")
	fs.StringVar(&cases, "cases", "", "kinds of traffic, separated by commas: 1k,64k,stream,post,ws (default: all)")
	fs.BoolVar(&p.markdown, "markdown", false, "print Markdown")
	fs.StringVar(&p.profile, "profile", "",
		"write a CPU profile of this module's proxy to this file, of the last round; with several cases, -CASE goes before its extension")
	if err := fs.Parse(args); err != nil {
		return plan{}, err
	}
	p.span = time.Duration(seconds * float64(time.Second))
	if fs.NArg() > 0 {
		return plan{}, fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	return p.complete(only, cases)
}

// complete finds what the lists name, and checks everything.
func (p plan) complete(only, cases string) (plan, error) {
	var errs [4]error
	p.contestants, errs[0] = choose(only)
	p.cases, errs[1] = chooseCases(cases)
	errs[2] = p.check()
	if p.profile != "" {
		p.profile, errs[3] = filepath.Abs(p.profile) // the child that writes it runs elsewhere
	}
	return p, errors.Join(errs[:]...)
}

func (p plan) check() error {
	var errs []error
	if p.rounds < 1 || p.rounds > maxRounds {
		errs = append(errs, fmt.Errorf("-rounds %d: from 1 to %d", p.rounds, maxRounds))
	}
	if p.span <= 0 || p.span > maxSeconds*time.Second {
		errs = append(errs, fmt.Errorf("-seconds %v: more than 0, and at most %d", p.span.Seconds(), maxSeconds))
	}
	if p.connections < 1 || p.connections > maxConnections {
		errs = append(errs, fmt.Errorf("-connections %d: from 1 to %d", p.connections, maxConnections))
	}
	return errors.Join(errs...)
}

func chooseCases(list string) ([]proxyload.Case, error) {
	if list == "" {
		return proxyload.Cases(), nil
	}
	var chosen []proxyload.Case
	for name := range strings.SplitSeq(list, ",") {
		c, err := proxyload.CaseNamed(name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, c)
	}
	return chosen, nil
}

// profileFor is the file that the profile of a case goes to.
func (p plan) profileFor(c proxyload.Case) string {
	if p.profile == "" || len(p.cases) == 1 {
		return p.profile
	}
	ext := filepath.Ext(p.profile)
	return strings.TrimSuffix(p.profile, ext) + "-" + c.Name + ext
}
