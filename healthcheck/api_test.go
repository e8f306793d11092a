package healthcheck_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/knownhops/knownhops/healthcheck"
)

// The exported names as programs use them. That this file compiles is the test.
var (
	_ func(healthcheck.Config) (*healthcheck.Health, error)                     = healthcheck.New
	_ func(*healthcheck.Health, error) *healthcheck.Health                      = healthcheck.Must
	_ func(*http.Request) bool                                                  = healthcheck.Loopback
	_ func(*healthcheck.Health, http.Handler) http.Handler                      = (*healthcheck.Health).Wrap
	_ func(*healthcheck.Health) http.Handler                                    = (*healthcheck.Health).Ready
	_ func(*healthcheck.Health) http.Handler                                    = (*healthcheck.Health).Live
	_ func(*healthcheck.Health) http.Handler                                    = (*healthcheck.Health).Startup
	_ func(*healthcheck.Health) http.Handler                                    = (*healthcheck.Health).GRPC
	_ func(*healthcheck.Health) http.Handler                                    = (*healthcheck.Health).Metrics
	_ func(*healthcheck.Health, func(*http.Request) bool) http.Handler          = (*healthcheck.Health).Details
	_ func(*healthcheck.Health, context.Context) error                          = (*healthcheck.Health).Run
	_ func(*healthcheck.Health, string, time.Duration, healthcheck.Kind) func() = (*healthcheck.Health).Heartbeat
	_ func(*healthcheck.Health, string, error)                                  = (*healthcheck.Health).Report
	_ func(*healthcheck.Health)                                                 = (*healthcheck.Health).Drain
	_ func(*healthcheck.Health) <-chan struct{}                                 = (*healthcheck.Health).Draining
	_ func(*healthcheck.Health, string) func()                                  = (*healthcheck.Health).Track
	_ func(*healthcheck.Health) healthcheck.Snapshot                            = (*healthcheck.Health).Snapshot
	_ func(*healthcheck.Health) string                                          = (*healthcheck.Health).String

	_ func(string, http.Handler, healthcheck.Profile) *http.Server              = healthcheck.NewServer
	_ func(*http.Server, healthcheck.Profile)                                   = healthcheck.Configure
	_ func(*http.Server, healthcheck.Profile) []healthcheck.Finding             = healthcheck.Lint
	_ func(context.Context, *http.Server, *healthcheck.Health) error            = healthcheck.Serve
	_ func(context.Context, *healthcheck.Health, ...healthcheck.Endpoint) error = healthcheck.ServeAll
	_ func(context.Context, string) error                                       = healthcheck.Probe
	_ func(string)                                                              = healthcheck.Main
	_ error                                                                     = (*healthcheck.LostError)(nil)
	_ [8]func() healthcheck.Profile                                             = [...]func() healthcheck.Profile{healthcheck.ALB, healthcheck.NLB, healthcheck.CLB, healthcheck.GoogleCloud, healthcheck.Cloudflare, healthcheck.CloudFront, healthcheck.Kubernetes, healthcheck.Direct}
	_ interface{ String() string }                                              = (*healthcheck.Health)(nil)
	_ slog.LogValuer                                                            = healthcheck.Snapshot{}
	_ [4]healthcheck.Kind                                                       = [...]healthcheck.Kind{healthcheck.Dependency, healthcheck.Startup, healthcheck.Local, healthcheck.Watchdog}
	_ [3]healthcheck.Status                                                     = [...]healthcheck.Status{healthcheck.Pass, healthcheck.Warn, healthcheck.Fail}
	_ error                                                                     = healthcheck.ConfigErrors{healthcheck.ConfigError{Field: "", Value: "", Reason: "", Fix: ""}}

	_ = healthcheck.Config{
		Checks: []healthcheck.Check{{
			Name: "", Func: func(context.Context) error { return nil }, Kind: healthcheck.Local, Gate: time.Second,
			Every: time.Second, Timeout: time.Second, Failures: 1, Successes: 1,
		}},
		Paths: healthcheck.Paths{}, Every: time.Second, Timeout: time.Second,
		OnTransition: func(healthcheck.Transition) {}, Logger: (*slog.Logger)(nil),
	}
	_ = healthcheck.Profile{Idle: time.Second, ReadHeader: time.Second, Stall: time.Second, ProbeInterval: time.Second, KillBudget: time.Second, MaxHeaderBytes: 1, UnhealthyThreshold: 1}
	_ = healthcheck.Endpoint{Server: (*http.Server)(nil), Listeners: []net.Listener(nil)}
)
