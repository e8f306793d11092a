//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/knownhops/knownhops/internal/peers/cmd/probecost/contest"
)

// burst is how many probes one burst has: within a second, so that what is cached for one counts.
const burst = 500

// A cost is what one contestant's probe costs.
type cost struct {
	title  string
	cpu    time.Duration // of one probe
	allocs float64
	bytes  float64
	runs   int64 // of checks, during a burst
}

// A subject is a contestant that is being measured.
type subject struct {
	cost
	handler http.Handler
	ran     *atomic.Int64
}

// measure runs all of them, in turn.
func measure(ctx context.Context, all []contest.Contestant, rounds, probes int) ([]cost, error) {
	var subjects []*subject
	for _, c := range all {
		ran := new(atomic.Int64)
		h, err := c.Start(ctx, func(context.Context) error { ran.Add(1); return nil })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		subjects = append(subjects, &subject{cost: cost{title: c.Title, cpu: time.Hour}, handler: h, ran: ran})
	}
	for round := range rounds {
		for _, s := range subjects {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err := s.round(probes, round == 0); err != nil {
				return nil, err
			}
		}
		slices.Reverse(subjects)
	}
	return inOrder(subjects, all), nil
}

// inOrder puts the costs into the order of the contestants.
func inOrder(subjects []*subject, all []contest.Contestant) []cost {
	var costs []cost
	for _, c := range all {
		for _, s := range subjects {
			if s.title == c.Title {
				costs = append(costs, s.cost)
			}
		}
	}
	return costs
}

// round asks some probes, and keeps the least that any round took. The first one also counts a burst.
func (s *subject) round(probes int, first bool) error {
	r, w := httptest.NewRequest(http.MethodGet, "/healthz", nil), &sink{header: http.Header{}}
	s.ask(w, r, 1)
	if w.status != http.StatusOK {
		return fmt.Errorf("%s answers %d", s.title, w.status)
	}
	if first {
		before := s.ran.Load()
		s.ask(w, r, burst)
		s.runs = s.ran.Load() - before
	}
	var was, is runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&was)
	began := cpuTime()
	s.ask(w, r, probes)
	spent := cpuTime() - began
	runtime.ReadMemStats(&is)
	s.cpu = min(s.cpu, spent/time.Duration(probes))
	s.allocs = float64(is.Mallocs-was.Mallocs) / float64(probes)
	s.bytes = float64(is.TotalAlloc-was.TotalAlloc) / float64(probes)
	return nil
}

func (s *subject) ask(w *sink, r *http.Request, n int) {
	for range n {
		clear(w.header)
		w.status = http.StatusOK
		s.handler.ServeHTTP(w, r)
	}
}

// sink keeps the status of an answer and forgets the body.
type sink struct {
	header http.Header
	status int
}

func (w *sink) Header() http.Header               { return w.header }
func (w *sink) Write(p []byte) (int, error)       { return len(p), nil }
func (w *sink) WriteString(s string) (int, error) { return len(s), nil } // as net/http's has
func (w *sink) WriteHeader(status int)            { w.status = status }

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for RUSAGE_SELF
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// markdown is the table.
func markdown(costs []cost) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s/%s, %d checks that do nothing\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, contest.Checks)
	fmt.Fprintf(&b, "| | CPU ns per probe | bytes | allocations | runs of checks by %d probes |\n|---|---:|---:|---:|---:|\n", burst)
	for _, c := range costs {
		fmt.Fprintf(&b, "| %s | %d | %.0f | %.0f | %d |\n", c.title, c.cpu.Nanoseconds(), c.bytes, c.allocs, c.runs)
	}
	return b.String()
}
