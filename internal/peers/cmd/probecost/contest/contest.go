// Package contest has the libraries that answer health probes, each set up as its documentation shows it first, with the
// same checks.
package contest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	alex "github.com/alexliesenfeld/health"
	hello "github.com/hellofresh/health-go/v5"

	"github.com/knownhops/knownhops/healthcheck"
)

// Ours is the name of this module's contestant.
const Ours = "knownhops/healthcheck"

// A Contestant is one library.
type Contestant struct {
	Name  string
	Title string // its name and how it is used, for people

	// Start returns the handler of its probes, whose checks all are the given function. They have passed once.
	Start func(ctx context.Context, check func(context.Context) error) (http.Handler, error)
}

// Checks is how many checks each contestant has.
const Checks = 2

// All lists the contestants. Their order is that of tables.
func All() []Contestant {
	return []Contestant{
		{Ours, "`healthcheck`: checks in the background", startOurs},
		{"alexliesenfeld/health, periodic", version("github.com/alexliesenfeld/health") + ", `WithPeriodicCheck`", startPeriodic},
		{"alexliesenfeld/health", version("github.com/alexliesenfeld/health") + ", `WithCheck`, cached for 1 s", startCached},
		{"hellofresh/health-go", version("github.com/hellofresh/health-go/v5") + ": checks on each probe", startHello},
	}
}

// version is a module's path without its host, and its version where the program knows it: tests do not.
func version(module string) string {
	title := strings.TrimSuffix(strings.TrimPrefix(module, "github.com/"), "/v5")
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return title
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return title + " " + dep.Version
		}
	}
	return title
}

func name(i int) string { return fmt.Sprint("check", i) }

// startOurs runs the checks until ctx ends.
func startOurs(ctx context.Context, check func(context.Context) error) (http.Handler, error) {
	cfg := healthcheck.Config{Logger: slog.New(slog.DiscardHandler)}
	for i := range Checks {
		cfg.Checks = append(cfg.Checks, healthcheck.Check{Name: name(i), Func: check, Kind: healthcheck.Startup})
	}
	h, err := healthcheck.New(cfg)
	if err != nil {
		return nil, err
	}
	go func() { _ = h.Run(ctx) }() // nil, by its documentation: nobody else runs them
	for !h.Snapshot().Ready {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return h.Ready(), nil
}

// startPeriodic starts goroutines that its Stop would end; they last as long as the process.
func startPeriodic(ctx context.Context, check func(context.Context) error) (http.Handler, error) {
	options := make([]alex.CheckerOption, 0, Checks)
	for i := range Checks {
		options = append(options, alex.WithPeriodicCheck(10*time.Second, 0, alex.Check{Name: name(i), Check: check}))
	}
	checker := alex.NewChecker(options...)
	context.AfterFunc(ctx, checker.Stop)
	for checker.Check(ctx).Status != alex.StatusUp {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
	return alex.NewHandler(checker), nil
}

func startCached(_ context.Context, check func(context.Context) error) (http.Handler, error) {
	options := make([]alex.CheckerOption, 0, Checks)
	for i := range Checks {
		options = append(options, alex.WithCheck(alex.Check{Name: name(i), Check: check}))
	}
	return alex.NewHandler(alex.NewChecker(options...)), nil
}

func startHello(_ context.Context, check func(context.Context) error) (http.Handler, error) {
	h, err := hello.New()
	if err != nil {
		return nil, err
	}
	for i := range Checks {
		if err := h.Register(hello.Config{Name: name(i), Check: check}); err != nil {
			return nil, err
		}
	}
	return h.Handler(), nil
}
