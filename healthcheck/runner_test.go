package healthcheck

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Time in these tests is virtual, and a goroutine that is left over fails them.

func TestDependencyOnlyWarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var db flag
		h := mustNew(t, Config{Checks: []Check{{Name: "db", Func: db.check}}})
		assert.Equal(t, 200, ask(t, h.Ready()), "before the first result")
		assert.Equal(t, Warn, h.Snapshot().Status)
		defer start(t, h)()
		synctest.Wait()
		assert.Equal(t, Pass, h.Snapshot().Status)
		db.bad.Store(true)
		time.Sleep(time.Minute)
		assert.Equal(t, 200, ask(t, h.Ready()))
		assert.Equal(t, Warn, h.Snapshot().Status)
		assert.Equal(t, errCanary, h.Snapshot().Checks[0].Err)
	})
}

func TestLocalFailsReadinessAndNotLiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk flag
		h := mustNew(t, Config{Checks: []Check{{Name: "disk", Kind: Local, Func: disk.check}}})
		assert.Equal(t, 503, ask(t, h.Ready()), "before the first result")
		defer start(t, h)()
		synctest.Wait()
		assert.Equal(t, 200, ask(t, h.Ready()))
		disk.bad.Store(true)
		time.Sleep(time.Minute)
		assert.Equal(t, 503, ask(t, h.Ready()))
		assert.Equal(t, 200, ask(t, h.Live()))
		assert.Equal(t, 200, ask(t, h.Startup()))
	})
}

func TestStartupGatesUntilItsFirstSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache flag
		cache.bad.Store(true)
		var runs atomic.Int64
		h := mustNew(t, Config{Checks: []Check{{Name: "cache", Kind: Startup, Func: func(ctx context.Context) error {
			runs.Add(1)
			return cache.check(ctx)
		}}}})
		defer start(t, h)()
		time.Sleep(25 * time.Second)
		assert.Equal(t, [3]int{503, 200, 503}, [3]int{ask(t, h.Ready()), ask(t, h.Live()), ask(t, h.Startup())})
		cache.bad.Store(false)
		time.Sleep(12 * time.Second)
		assert.Equal(t, [3]int{200, 200, 200}, [3]int{ask(t, h.Ready()), ask(t, h.Live()), ask(t, h.Startup())})

		cache.bad.Store(true)
		before := runs.Load()
		time.Sleep(time.Hour)
		for range 5 {
			h.Report("cache", errCanary)
		}
		assert.Equal(t, 200, ask(t, h.Ready()), "it stays passed")
		assert.Equal(t, before, runs.Load(), "and does not run again")
	})
}

func TestHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := []bool{true, false, false, true, false, false, false, true, false, true, true}
		ready := []int{200, 200, 200, 200, 200, 200, 503, 503, 503, 503, 200}
		var ran atomic.Int64
		h := mustNew(t, Config{Checks: []Check{{Name: "disk", Kind: Local, Func: func(context.Context) error {
			if i := int(ran.Add(1)) - 1; i >= len(results) || results[i] {
				return nil
			}
			return errCanary
		}}}})
		defer start(t, h)()
		var got []int
		for n := range results {
			for int(ran.Load()) <= n {
				time.Sleep(time.Second)
			}
			synctest.Wait()
			got = append(got, ask(t, h.Ready()))
		}
		assert.Equal(t, ready, got)
	})
}

// Before there was any success, failures count as well.
func TestFailingFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, Config{Checks: []Check{{Name: "db", Failures: 2, Func: func(context.Context) error { return errCanary }}}})
		defer start(t, h)()
		synctest.Wait()
		assert.Equal(t, "unknown", h.Snapshot().Checks[0].Level)
		time.Sleep(12 * time.Second)
		assert.Equal(t, "failing", h.Snapshot().Checks[0].Level)
	})
}

func TestGateTimeBoxFailsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var db flag
		h := mustNew(t, Config{Checks: []Check{{Name: "db", Func: db.check, Gate: 2 * time.Minute, Failures: 1, Successes: 1, Every: time.Second}}})
		defer start(t, h)()
		time.Sleep(10 * time.Second)
		for range 2 { // each outage has a gate of its own
			db.bad.Store(true)
			time.Sleep(3 * time.Second)
			assert.Equal(t, 503, ask(t, h.Ready()))
			time.Sleep(110 * time.Second)
			assert.Equal(t, 503, ask(t, h.Ready()))
			time.Sleep(10 * time.Second)
			assert.Equal(t, 200, ask(t, h.Ready()), "two minutes are over")
			assert.Equal(t, Warn, h.Snapshot().Status)
			time.Sleep(time.Hour)
			assert.Equal(t, 200, ask(t, h.Ready()))
			db.bad.Store(false)
			time.Sleep(3 * time.Second)
			assert.Equal(t, Pass, h.Snapshot().Status)
		}
	})
}

// A fleet that started in the same second must not leave in the same second.
func TestGatedChecksBeginAtRandomPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		seen := make(map[time.Duration]bool)
		begin := time.Now()
		done := make(chan error)
		const fleet = 20
		for range fleet {
			runs := 0
			h := mustNew(t, Config{Checks: []Check{{Name: "db", Gate: time.Minute, Func: func(context.Context) error {
				if runs++; runs == 2 {
					mu.Lock()
					seen[time.Since(begin).Truncate(time.Second)] = true
					mu.Unlock()
				}
				return nil
			}}}})
			go func() { done <- h.Run(ctx) }()
			synctest.Wait()
		}
		for range 12 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		cancel()
		for range fleet {
			assert.NoError(t, <-done)
		}
		assert.GreaterOrEqual(t, len(seen), 4, "%v", seen)
	})
}

func TestJitterSpread(t *testing.T) {
	least, most := time.Hour, time.Duration(0)
	for range 2000 {
		d := jitter(10 * time.Second)
		least, most = min(least, d), max(most, d)
	}
	assert.GreaterOrEqual(t, least, 9*time.Second)
	assert.LessOrEqual(t, most, 11*time.Second)
	assert.Greater(t, most-least, time.Second)
	assert.NotPanics(t, func() { jitter(1) })
}

func TestHungCheckReportedBoundedNoLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flying, most, runs atomic.Int64
		h := mustNew(t, Config{Checks: []Check{{
			Name: "slow", Kind: Local, Failures: 1, Successes: 1, Every: time.Second, Timeout: 500 * time.Millisecond,
			Func: func(context.Context) error { // ignores its context
				if n := flying.Add(1); n > most.Load() {
					most.Store(n)
				}
				defer flying.Add(-1)
				if runs.Add(1) == 3 {
					time.Sleep(20 * time.Second)
					return errCanary
				}
				return nil
			},
		}}})
		stop := start(t, h)
		for runs.Load() < 3 {
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond)
		assert.Equal(t, 200, ask(t, h.Ready()), "within the time-out")
		time.Sleep(300 * time.Millisecond)
		assert.Equal(t, 503, ask(t, h.Ready()), "after it")
		time.Sleep(10 * time.Second)
		assert.EqualValues(t, 3, runs.Load(), "no second run joins it")
		assert.ErrorIs(t, h.Snapshot().Checks[0].Err, errHung)
		for range 120 {
			time.Sleep(100 * time.Millisecond)
			assert.NotEqual(t, errCanary, h.Snapshot().Checks[0].Err, "what comes after the time-out is not believed")
		}
		assert.Equal(t, 200, ask(t, h.Ready()), "it recovers")
		assert.EqualValues(t, 1, most.Load())
		stop()
	})
}

// Run waits for runs that obey their context, and for others no longer than
// their time-out.
func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		obeys := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		ignores := func(context.Context) error { time.Sleep(time.Minute); return nil }
		for _, row := range []struct {
			check func(context.Context) error
			takes time.Duration
		}{{obeys, 0}, {ignores, 2 * time.Second}} {
			h := mustNew(t, Config{Checks: []Check{{Name: "a", Func: row.check}}})
			stop := start(t, h)
			synctest.Wait()
			begin := time.Now()
			stop()
			assert.Equal(t, row.takes, time.Since(begin))
			assert.Zero(t, h.Snapshot().Checks[0].Last, "what a stop ended is no result")
		}
		time.Sleep(time.Minute)
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, Config{Checks: []Check{{Name: "a", Func: well}}})
		stop := start(t, h)
		synctest.Wait()
		assert.Error(t, h.Run(t.Context()))
		stop()
		start(t, h)() // one after the other is allowed
	})
}

func TestRunOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		start(t, &h)()
	})
}

// The poisoned context of D1 cannot happen: the check's context is Run's.
func TestCheckHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, Config{Checks: []Check{{Name: "a", Timeout: 3 * time.Second, Kind: Local, Func: func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, 3*time.Second, time.Until(deadline))
			return nil
		}}}})
		defer start(t, h)()
		synctest.Wait()
		assert.Equal(t, 200, ask(t, h.Ready()))
	})
}

func TestStaleTurnsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, Config{Checks: []Check{{Name: "disk", Kind: Local, Func: well}}})
		stop := start(t, h)
		synctest.Wait()
		stop() // and nobody runs the checks any more
		time.Sleep(21 * time.Second)
		assert.Equal(t, 200, ask(t, h.Ready()))
		time.Sleep(time.Second + time.Millisecond)
		assert.Equal(t, 503, ask(t, h.Ready()), "after twice the interval and the time-out")
		assert.ErrorIs(t, h.Snapshot().Checks[0].Err, errStale)
	})
}

// A check that never comes back is stale before it has failed often enough.
func TestHungCheckGoesStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		h := mustNew(t, Config{Checks: []Check{{Name: "disk", Kind: Local, Failures: 1000, Func: func(context.Context) error {
			if runs++; runs == 2 {
				time.Sleep(time.Hour)
			}
			return nil
		}}}})
		stop := start(t, h)
		time.Sleep(30 * time.Second)
		assert.Equal(t, 503, ask(t, h.Ready()))
		stop()
		time.Sleep(time.Hour)
	})
}

func TestPanicIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines logLines
		checks := map[string]func(context.Context) error{
			"panics": func(context.Context) error { panic(canary) },
			"nil":    func(context.Context) error { panic(error(nil)) },
			"exits":  func(context.Context) error { runtime.Goexit(); return nil },
			"aborts": func(context.Context) error { panic(http.ErrAbortHandler) },
		}
		cfg := Config{Logger: lines.logger()}
		for name, check := range checks {
			cfg.Checks = append(cfg.Checks, Check{Name: name, Kind: Local, Func: check})
		}
		h := mustNew(t, cfg)
		defer start(t, h)()
		time.Sleep(time.Minute)
		for _, c := range h.Snapshot().Checks {
			assert.Equal(t, "failing", c.Level, c.Name)
			assert.Error(t, c.Err, c.Name)
			assert.Equal(t, c.Name != "exits", c.Panics > 4, c.Name)
		}
		assert.Len(t, lines.with("level=ERROR"), 3, "once for each check that panics")
		for _, line := range lines.list() {
			if !strings.Contains(line, "level=DEBUG") {
				assert.NotContains(t, line, canary)
			}
		}
	})
}

func TestProbesRunNoChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		block := make(chan struct{})
		h := mustNew(t, Config{Checks: []Check{{Name: "db", Timeout: time.Hour, Func: func(context.Context) error {
			runs.Add(1)
			<-block
			return nil
		}}}})
		stop := start(t, h)
		synctest.Wait()
		begin := time.Now()
		app := h.Wrap(nobody(t))
		for range 10_000 {
			require.Equal(t, 200, probe(t, app, "/healthz", "10.0.0.1"))
		}
		assert.Zero(t, time.Since(begin), "no probe waits")
		assert.EqualValues(t, 1, runs.Load())
		close(block)
		stop()
	})
}

func TestErrorsMayBeJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, Config{Checks: []Check{{Name: "a", Func: func(context.Context) error { return errors.Join(errCanary, errTimeout) }}}})
		defer start(t, h)()
		synctest.Wait()
		assert.ErrorIs(t, h.Snapshot().Checks[0].Err, errCanary)
	})
}
