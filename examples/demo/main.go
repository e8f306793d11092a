// Demo shows, on this machine and nowhere else, what an application behind a
// balancer knows about each request, and how it knows:
//
//	go run ./examples/demo
//
// One process holds both ends. In front is a balancer that does what an AWS
// Application Load Balancer does: it ends TLS with a certificate that is made
// at the start and thrown away at the end, has a plain listener as well,
// appends to X-Forwarded-For, sets X-Forwarded-Proto, X-Forwarded-Port and
// X-Amzn-Trace-Id, probes its target, and passes everything else as the client
// wrote it, forgeries included. Behind it is an application that uses package
// forwarded, and that can be reached past the balancer too, as an instance can
// by its own address. The application's page shows the visitor his own
// request: each hop, each header line, what was believed and why.
//
// What can be tried is printed at the start, as curl lines with what each will
// show; the page has the same as links.
//
// With -nginx a real nginx, if one is installed, stands between the two.
// -nginx-scheme=scheme gives it the line "X-Forwarded-Proto $scheme", which
// overwrites what the balancer wrote: the application is told at the start,
// and takes the scheme for unknown rather than for http.
//
// # Addresses
//
// Everything listens on loopback addresses only. Visitors come from 127.0.0.1.
// The balancer connects from 127.0.0.2 and nginx from 127.0.0.3, so that an
// application can tell them apart as it would in a network. Linux has those
// addresses without set-up. Where they are missing, as on macOS, the balancer
// connects from ::1 to a listener that only it is told of, and nginx through a
// unix socket.
//
// # Ports
//
// A balancer writes its listener's port into X-Forwarded-Port. So does this
// one, and its listeners are on 8443 and 8080 because the ports 443 and 80
// need rights. Whoever has those can say -https 443 -http 80; with
// -nginx-scheme=scheme the application then also notices, request by request
// (W2), that port and scheme contradict each other. A port that cannot be had
// is replaced by a free one, and that is said.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
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
	cfg.logger = slog.New(slog.NewTextHandler(stderr, nil))
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
	https, http, app, nginxPort uint
	nginx                       bool
	nginxScheme                 string
	logger                      *slog.Logger
	network                     network // zero: the best that this machine has
}

func parseFlags(args []string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.UintVar(&c.https, "https", 8443, "`port` of the balancer's https listener")
	flags.UintVar(&c.http, "http", 8080, "`port` of the balancer's http listener")
	flags.UintVar(&c.app, "app", 8081, "`port` of the application, which the balancer connects to")
	flags.BoolVar(&c.nginx, "nginx", false, "put a real nginx between the balancer and the application")
	flags.UintVar(&c.nginxPort, "nginx-port", 8082, "`port` of nginx")
	flags.StringVar(&c.nginxScheme, "nginx-scheme", schemePasses,
		"what nginx does with X-Forwarded-Proto: \"passes\" ($http_x_forwarded_proto) or \"scheme\" ($scheme)")
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
	case max(c.https, c.http, c.app, c.nginxPort) > 65535:
		problem = "a port is at most 65535"
	case c.nginxScheme != schemePasses && c.nginxScheme != schemeOwn:
		problem = fmt.Sprintf("-nginx-scheme is %q, not %q or %q", c.nginxScheme, schemePasses, schemeOwn)
	case c.nginxScheme == schemeOwn && !c.nginx:
		problem = "-nginx-scheme=scheme says nothing without -nginx"
	}
	if problem == "" {
		return nil
	}
	fmt.Fprintf(flags.Output(), "demo: %s\n", problem)
	flags.Usage()
	return errors.New(problem)
}
