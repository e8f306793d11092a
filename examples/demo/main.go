// Demo shows, on this machine and nowhere else, what becomes of a request on
// its way through a chain of proxies, and what the application at its end knows
// about it, and how:
//
//	go run ./examples/demo
//
// One process holds the whole chain of a service on AWS:
//
//	client ─► Application Load Balancer ─► proxy ─► application
//
// The balancer is package albtest: listener 443 ends TLS and forwards by host
// name, listener 80 redirects to it, six target groups are probed. The proxy is
// package proxy in nginx's place, on port 80 of an instance, with package
// redirect around it; behind it is an application that uses package forwarded.
// Other instances show what goes wrong: one whose application is down, one on
// whose port 443 nobody listens, and nginx with and without the line that
// overwrites the client's scheme. Behind nginx the applications decide about
// https themselves, one of them with a wrong idea of what nginx does.
//
// What can be tried is printed at the start, as curl lines with what each will
// show. The page, on a port of its own beside the chain, has the same as links,
// and tells about each request what the client sent, what the balancer's log
// says, what each proxy wrote, who decided about https, for which reason and by
// what signs, and what the application believed and why. It also has the state
// of the target groups.
//
// # Addresses
//
// Everything listens on 127.0.0.1. The parts have addresses all the same, or
// they could not be told apart: visitors are 203.0.113.10, the balancer
// connects from the two subnets of albtest.Subnets, and the proxy is on the
// application's own machine and connects from 127.0.0.1. The ports are free
// ones, while the balancer, its X-Forwarded-Port and its redirects speak of 443
// and 80, as they would on AWS; hence --connect-to in the curl lines.
//
// # Flags
//
//	-page PORT  of the page (8080); a port that cannot be had is replaced by a
//	            free one, and that is said. 0: a free one
//	-nginx      put a real nginx, which must be installed, where otherwise a
//	            few lines of Go do what its configuration says
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(program(os.Args[1:], os.Stdout, os.Stderr)) }

// program is main without the process: it runs until a signal comes and
// returns the exit code.
func program(args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // the flag set has said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg, stdout); err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	return 0
}

// run shows the demo until ctx is done.
func run(ctx context.Context, cfg config, stdout io.Writer) error {
	d, err := start(ctx, cfg)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // stopped before everything was up
	case err != nil:
		return err
	}
	d.announce(stdout)
	select {
	case <-ctx.Done():
		fmt.Fprintln(stdout, "\nStopping.")
		err = nil
	case err = <-d.failed:
	}
	return errors.Join(err, d.close())
}

// config is what the flags say.
type config struct {
	page  uint
	nginx bool
}

func parseFlags(args []string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.UintVar(&c.page, "page", 8080, "`port` of the page; 0: a free one")
	flags.BoolVar(&c.nginx, "nginx", false, "use a real nginx instead of a few lines of Go that do the same")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	return c, c.check(flags)
}

func (c config) check(flags *flag.FlagSet) error {
	problem := ""
	switch {
	case flags.NArg() > 0:
		problem = fmt.Sprintf("%q is no flag", flags.Arg(0))
	case c.page > 65535:
		problem = "a port is at most 65535"
	}
	if problem == "" {
		return nil
	}
	fmt.Fprintf(flags.Output(), "demo: %s\n", problem)
	flags.Usage()
	return errors.New(problem)
}
