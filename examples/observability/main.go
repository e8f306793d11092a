// Observability is a service behind an ALB whose state an operator can see:
// Prometheus scrapes it, OpenTelemetry collects from it, the access log has one
// line for each visitor, and none of the three is filled with health checks.
//
//	go run . -hops "alb=10.0.16.0/20,10.0.32.0/20" -host www.example.com
//
// Copy prometheus.go or otel.go, whichever system is yours, together with
// metrics.go, which says what there is to measure. None of the packages that are
// measured depends on either system.
//
//	-listen ADDRESS  where visitors and the balancer's probes come in (127.0.0.1:8080)
//	-ops ADDRESS     where operators and scrapers come in, who must be let in by
//	                 nobody else: /metrics, and /health, which only callers on this
//	                 machine see (127.0.0.1:9090)
//	-hops TOPOLOGY   the proxies in front, nearest first; empty: nobody is believed
//	-host NAME       where visitors end up, over https; empty: nothing is redirected
//	-otel            print what OpenTelemetry collects to the standard output, where
//	                 a service would send it to a collector
//
// SIGTERM and SIGINT begin the drain, whose progress can still be scraped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/knownhops/knownhops/healthcheck"
)

func main() {
	healthcheck.Main("http://127.0.0.1:8080/livez")
	cfg, err := parseFlags(os.Args[1:])
	if err != nil {
		os.Exit(2) // the flag set has said why
	}
	if err := run(context.Background(), cfg); err != nil {
		fmt.Fprintln(os.Stderr, "observability:", err)
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	listen, ops, hops, host string
	otel                    bool
}

func parseFlags(args []string) (config, error) {
	var c config
	f := flag.NewFlagSet("observability", flag.ContinueOnError)
	f.StringVar(&c.listen, "listen", "127.0.0.1:8080", "`address` for visitors and probes")
	f.StringVar(&c.ops, "ops", "127.0.0.1:9090", "`address` for operators and scrapers")
	f.StringVar(&c.hops, "hops", "", "`topology` in front, nearest first; empty: nobody is believed")
	f.StringVar(&c.host, "host", "", "`name` where visitors end up, over https; empty: nothing is redirected")
	f.BoolVar(&c.otel, "otel", false, "print what OpenTelemetry collects to the standard output")
	return c, f.Parse(args)
}

// run serves until a signal comes or ctx ends, and the drain is over.
func run(ctx context.Context, cfg config) error {
	var collector io.Writer
	if cfg.otel {
		collector = os.Stdout
	}
	t, err := newTelemetry(collector)
	if err != nil {
		return err
	}
	s, err := newService(cfg, t, os.Stdout)
	if err != nil {
		return err
	}
	ops, err := serveOps(cfg.ops, s)
	if err != nil {
		return err
	}
	srv := healthcheck.NewServer(cfg.listen, s.handler(), healthcheck.ALB())
	err = healthcheck.Serve(ctx, srv, s.health)

	// Operators see the drain to its end; what they ask for is no reason to wait.
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, ops.Close(), t.shutdown(rest))
}

// serveOps lets operators in, at a port of their own: a scraper there is no
// visitor, for whom a drain waits.
func serveOps(addr string, s *service) (*http.Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	srv := healthcheck.NewServer("", s.operations(), healthcheck.Direct())
	go srv.Serve(ln) //nolint:errcheck // it ends when it is closed
	return srv, nil
}
