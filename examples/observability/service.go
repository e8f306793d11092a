package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/healthcheck"
	"github.com/knownhops/knownhops/proxy"
	"github.com/knownhops/knownhops/redirect"
)

// A service is the parts that are measured, and who measures them.
type service struct {
	name    string // for traces
	health  *healthcheck.Health
	hops    *forwarded.Policy
	https   *redirect.Enforcer // nil: nothing is redirected
	results results

	telemetry *telemetry
	registry  *prometheus.Registry
	log       io.Writer
}

func newService(cfg config, t *telemetry, log io.Writer) (*service, error) {
	s := &service{name: cmp.Or(cfg.host, "observability"), telemetry: t, registry: prometheus.NewRegistry(), log: log}
	hops, err := forwarded.ParseHops(cfg.hops)
	if err != nil {
		return nil, err
	}
	if s.hops, err = forwarded.New(forwarded.Config{Hops: hops, OnResult: s.results.add}); err != nil {
		return nil, err
	}
	if cfg.host != "" {
		if s.https, err = redirect.HTTPS(cfg.host); err != nil {
			return nil, err
		}
	}
	if s.health, err = healthcheck.New(healthcheck.Config{Checks: []healthcheck.Check{{
		Name: "disk", Kind: healthcheck.Local, Func: diskTakesFiles,
	}}}); err != nil {
		return nil, err
	}
	if err := t.observe(s); err != nil {
		return nil, err
	}
	return s, s.registry.Register(collector{s})
}

// diskTakesFiles fails where this instance's disk is full, which another
// instance's is not.
func diskTakesFiles(context.Context) error {
	f, err := os.CreateTemp("", "disk-check")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.WriteString("there is room"); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// handler is the chain, from the inside out. Probes end at the outermost link,
// so no log and no trace has them.
func (s *service) handler() http.Handler {
	var h http.Handler = http.HandlerFunc(hello)
	if s.https != nil {
		h = s.https.Wrap(h)
	}
	h = s.telemetry.trace(s.name, h) // inside of hops: it writes down what X-Forwarded-For says
	h = proxy.AccessLog(s.log)(h)
	h = s.hops.Wrap(h)
	return s.health.Wrap(h)
}

func hello(w http.ResponseWriter, r *http.Request) {
	info := forwarded.From(r)
	fmt.Fprintf(w, "You are %v and used %v.\n", info.Client, info.Scheme)
}

// operations is for those who run the service.
func (s *service) operations() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Timeout: 5 * time.Second}))
	mux.Handle("GET /health", s.health.Details(healthcheck.Loopback))
	return mux
}
