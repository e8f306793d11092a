package healthcheck

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// node probes from an address every so often until ctx ends.
func node(ctx context.Context, t testing.TB, app http.Handler, addr string, every time.Duration) {
	for ctx.Err() == nil {
		probe(t, app, "/healthz", addr)
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

func TestProberTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		app := h.Wrap(teapot)
		begin := time.Now()
		for range 4 {
			probe(t, app, "/healthz", "10.0.0.1")
			probe(t, app, "/readyz", "10.0.0.1")
			time.Sleep(10 * time.Second)
		}
		probe(t, app, "/livez", "10.0.0.2")
		probe(t, app, "/startupz", "10.0.0.2")
		probe(t, app, "/orders", "10.0.0.2")
		require.Len(t, h.Snapshot().Probers, 1, "only readiness is asked by those who send requests")
		p := h.Snapshot().Probers[0]
		assert.Equal(t, Prober{
			Addr: netip.MustParseAddr("10.0.0.1"), Every: 10 * time.Second, First: begin, Last: begin.Add(30 * time.Second),
			Answers: 8, Code: 200, Active: true,
		}, p)
		time.Sleep(21 * time.Second)
		assert.False(t, h.Snapshot().Probers[0].Active, "three intervals without a probe")
		h.Drain()
		assert.False(t, h.probed())
	})
}

// Whoever sends a request through a balancer is its client, and cannot cut the
// drain short.
func TestForwardedRequestsAreNoProbes(t *testing.T) {
	var h Health
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X_Forwarded_For", "Forwarded", "X-Real-IP", "CF-Connecting-IP"} {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Header[name] = []string{"192.0.2.1"}
		w := httptest.NewRecorder()
		h.Ready().ServeHTTP(w, r)
		assert.Equal(t, 200, w.Code, "it is answered all the same")
		assert.Empty(t, h.Snapshot().Probers, name)
	}
}

func TestFullTableRefusesNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		for i := range 1000 {
			probe(t, h.Ready(), "/", fmt.Sprintf("10.0.%d.%d", i/250, i%250))
		}
		list := h.Snapshot().Probers
		require.Len(t, list, 64)
		assert.Equal(t, "10.0.0.0", list[0].Addr.String())
		assert.Equal(t, "10.0.0.63", list[63].Addr.String())

		for range 40 { // a balancer's nodes change over the years
			time.Sleep(10 * time.Second)
			probe(t, h.Ready(), "/", "10.0.0.5")
		}
		probe(t, h.Ready(), "/", "10.9.9.9")
		list = h.Snapshot().Probers
		assert.Len(t, list, 64)
		assert.Equal(t, "10.9.9.9", list[0].Addr.String(), "in the place of one that is long gone")
		assert.Equal(t, "10.0.0.5", list[5].Addr.String())
	})
}

func TestTableIsFrozenAtDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		for range 4 {
			time.Sleep(10 * time.Second)
			probe(t, h.Ready(), "/", "10.0.0.1")
		}
		h.Drain()
		probe(t, h.Ready(), "/", "10.0.0.2")
		time.Sleep(25 * time.Second)
		probe(t, h.Ready(), "/", "10.0.0.1")
		require.Len(t, h.Snapshot().Probers, 1, "no newcomers")
		assert.Equal(t, 10*time.Second, h.Snapshot().Probers[0].Every, "nothing is learned")
		assert.True(t, h.probed())
	})
}

func TestLearnedInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		every := func() time.Duration { return h.Snapshot().Probers[0].Every }
		step := func(d time.Duration) {
			time.Sleep(d)
			probe(t, h.Ready(), "/", "10.0.0.1")
		}
		step(0)
		assert.Zero(t, every(), "one probe has no interval")
		for range 3 {
			step(3 * time.Second) // two target groups behind one address
			step(7 * time.Second)
		}
		assert.Equal(t, 7*time.Second, every())
		for range 8 {
			step(5 * time.Second)
		}
		assert.Equal(t, 5*time.Second, every(), "eight gaps are looked at")
		step(time.Hour)
		assert.Zero(t, every(), "a pause is no interval")
	})
}

// Answers closer than half the interval count once: they are not the prober's
// next.
func TestFailuresInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		step := func(d time.Duration) int {
			time.Sleep(d)
			probe(t, h.Ready(), "/", "10.0.0.1")
			return h.Snapshot().Probers[0].Failures
		}
		for range 3 {
			assert.Zero(t, step(10*time.Second))
		}
		beat := h.Heartbeat("loop", time.Hour, Local)
		assert.Equal(t, 1, step(10*time.Second))
		for range 4 {
			assert.Equal(t, 1, step(time.Second))
		}
		assert.Equal(t, 2, step(6*time.Second))
		beat()
		assert.Zero(t, step(10*time.Second), "a good answer ends the row")
		h.Drain()
		assert.Equal(t, 1, step(time.Millisecond))
		assert.Equal(t, 2, step(10*time.Second))
	})
}

func TestPeersOfAUnixSocket(t *testing.T) {
	var h Health
	r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	r.RemoteAddr = "@"
	h.Ready().ServeHTTP(httptest.NewRecorder(), r)
	assert.Empty(t, h.Snapshot().Probers, "no address and no unix socket: nobody")
	r = r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/app.sock", Net: "unix"}))
	h.Ready().ServeHTTP(httptest.NewRecorder(), r)
	require.Len(t, h.Snapshot().Probers, 1)
	assert.Equal(t, "unix", h.Snapshot().Probers[0].name())
}

func TestProberAddressesAreUnmapped(t *testing.T) {
	var h Health
	for _, addr := range []string{"10.0.0.1", "[::ffff:10.0.0.1]"} {
		probe(t, h.Ready(), "/", addr)
	}
	assert.Len(t, h.Snapshot().Probers, 1)
}

func TestAgentsAreCut(t *testing.T) {
	var h Health
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("User-Agent", strings.Repeat("x", 100_000))
	h.Ready().ServeHTTP(httptest.NewRecorder(), r)
	assert.Len(t, h.Snapshot().Probers[0].Agent, maxAgent)
}

func TestNoProberNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		h.Drain()
		begin := time.Now()
		assert.Contains(t, h.awaitProbers(t.Context(), ALB()), "nobody probes")
		assert.Zero(t, time.Since(begin))
	})
}

// drainAfter runs nodes for a while and then drains; it returns how long the
// wait took and what ended it.
func drainAfter(t *testing.T, p Profile, learn time.Duration, nodes func(ctx context.Context, app http.Handler)) (took time.Duration, why string) {
	t.Helper()
	h := &Health{logTo: new(logLines).logger()}
	ctx, cancel := context.WithCancel(t.Context())
	nodes(ctx, h.Wrap(teapot))
	time.Sleep(learn)
	begin := time.Now()
	h.Drain()
	why = h.awaitProbers(context.Background(), p)
	took = time.Since(begin)
	cancel()
	synctest.Wait()
	return took, why
}

func TestAwaitProbers(t *testing.T) {
	patient := Profile{UnhealthyThreshold: 2, Wait: time.Hour, ProbeInterval: 10 * time.Second}
	three := patient
	three.UnhealthyThreshold = 3
	capped := patient
	capped.Wait = 15 * time.Second
	one := func(addr string, every time.Duration) func(context.Context, http.Handler) {
		return func(ctx context.Context, app http.Handler) { go node(ctx, t, app, addr, every) }
	}
	for _, row := range []struct {
		name        string
		profile     Profile
		nodes       func(context.Context, http.Handler)
		least, most time.Duration
		why         string
	}{
		{"two answers", patient, one("10.0.0.1", 10*time.Second), 10 * time.Second, 21 * time.Second, "1 of 1 probers have had 2 failing answers"},
		{"three answers", three, one("10.0.0.1", 10*time.Second), 20 * time.Second, 31 * time.Second, "3 failing answers"},
		{"slower than the profile says", patient, one("10.0.0.1", 30*time.Second), 30 * time.Second, 61 * time.Second, "2 failing answers"},
		{"faster than the profile says", patient, one("10.0.0.1", time.Second), time.Second, 3 * time.Second, "2 failing answers"},
		{"capped", capped, one("10.0.0.1", 30*time.Second), 15 * time.Second, 15 * time.Second, "10.0.0.1 has had 0 of 2 failing answers"},
		{"the slowest of several", patient, func(ctx context.Context, app http.Handler) {
			for i, every := range []time.Duration{5 * time.Second, 20 * time.Second, 10 * time.Second} {
				one(fmt.Sprint("10.0.0.", i), every)(ctx, app)
			}
		}, 20 * time.Second, 41 * time.Second, "3 of 3 probers"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took, why := drainAfter(t, row.profile, 104*time.Second, row.nodes)
				assert.GreaterOrEqual(t, took, row.least)
				assert.LessOrEqual(t, took, row.most)
				assert.Contains(t, why, row.why)
			})
		})
	}
}

// A prober that went silent was told by other means; it is not waited for
// longer than two of its intervals.
func TestSilentProberIsOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, why := drainAfter(t, Profile{Wait: time.Hour}, 104*time.Second, func(ctx context.Context, app http.Handler) {
			short, cancel := context.WithTimeout(ctx, 101*time.Second)
			go func() {
				defer cancel()
				node(short, t, app, "10.0.0.1", 10*time.Second)
			}()
		})
		assert.Greater(t, took, 15*time.Second)
		assert.LessOrEqual(t, took, 17*time.Second)
		assert.Contains(t, why, "ask no more")
	})
}

// A visitor who asks again and again from an address of its own is one more
// prober; one who asks through a prober's address counts only every half
// interval, and where clients come from there the profile's time holds.
func TestVisitorsDoNotCutTheDrainShort(t *testing.T) {
	p := Profile{Wait: time.Hour, ProbeInterval: 10 * time.Second, UnhealthyThreshold: 2}
	visitor := func(ctx context.Context, app http.Handler, addr, path string) {
		time.Sleep(100 * time.Second) // the interval is known by then
		for ctx.Err() == nil {
			probe(t, app, path, addr)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	for _, row := range []struct {
		name    string
		visitor string
		paths   []string
		least   time.Duration
	}{
		{"own address", "192.0.2.1", []string{"/healthz"}, 10 * time.Second},
		{"a client behind the prober's address", "10.0.0.1", []string{"/healthz", "/orders"}, 20 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took, _ := drainAfter(t, p, 104*time.Second, func(ctx context.Context, app http.Handler) {
					go node(ctx, t, app, "10.0.0.1", 10*time.Second)
					for _, path := range row.paths {
						go visitor(ctx, app, row.visitor, path)
					}
				})
				assert.GreaterOrEqual(t, took, row.least)
				assert.LessOrEqual(t, took, 21*time.Second, "nor do they draw it out")
			})
		})
	}
}

// Two target groups probe from one address, less than a third of their interval
// apart: both have had two failing answers when the wait is over.
func TestTwoProbersBehindOneAddress(t *testing.T) {
	for _, apart := range []time.Duration{0, 10 * time.Millisecond, 600 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			h := &Health{logTo: new(logLines).logger()}
			app := h.Wrap(teapot)
			ctx, cancel := context.WithCancel(t.Context())
			var fails [2]int
			for i := range fails {
				go func() {
					time.Sleep(time.Duration(i) * apart)
					for ctx.Err() == nil {
						if probe(t, app, "/healthz", "10.0.0.1") == 503 {
							fails[i]++
						}
						time.Sleep(2 * time.Second)
					}
				}()
			}
			time.Sleep(21*time.Second - 10*time.Millisecond)
			h.Drain()
			h.awaitProbers(t.Context(), Profile{Wait: time.Hour, UnhealthyThreshold: 2})
			synctest.Wait()
			assert.GreaterOrEqual(t, min(fails[0], fails[1]), 2, "%v apart", apart)
			cancel()
			time.Sleep(3 * time.Second)
		})
	}
}

// What failed before the drain counts: a target that is out already leaves at
// once.
func TestTargetThatIsOutAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, why := drainAfter(t, ALB(), 104*time.Second, func(ctx context.Context, app http.Handler) {
			app.(*handler).health.Heartbeat("loop", time.Hour, Local)
			go node(ctx, t, app, "10.0.0.1", 10*time.Second)
		})
		assert.Zero(t, took)
		assert.Contains(t, why, "2 failing answers")
	})
}

func TestAwaitProbersEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		probe(t, h.Ready(), "/", "10.0.0.1")
		h.Drain()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		why := h.awaitProbers(ctx, ALB())
		assert.Contains(t, why, "cut short")
		assert.Contains(t, why, "10.0.0.1")
	})
}

func TestForecast(t *testing.T) {
	node := Prober{Addr: netip.MustParseAddr("10.0.0.1"), Every: 10 * time.Second, Active: true}
	for _, row := range []struct {
		name    string
		profile Profile
		edit    func(*Prober)
		needs   time.Duration
		total   time.Duration
		advice  string
	}{
		{"as recommended", ALB(), func(p *Prober) {}, 20 * time.Second, ALB().wait() + ALB().shutdown(), ""},
		{"AWS's defaults", ALB(), func(p *Prober) { p.Every = 30 * time.Second }, time.Minute, ALB().wait() + ALB().shutdown(), "Probe at least every 10s, or raise Wait to 1m0s"},
		{"killed too early", Profile{KillBudget: 10 * time.Second}, func(p *Prober) { p.Every = time.Second }, 2 * time.Second, 15 * time.Second, "kills the process after 10s"},
		{"not known yet", ALB(), func(p *Prober) { p.Every = 0 }, 20 * time.Second, ALB().wait() + ALB().shutdown(), ""},
		{"clients as well", ALB(), func(p *Prober) { p.Every, p.Mixed = time.Second, true }, 20 * time.Second, ALB().wait() + ALB().shutdown(), "more often than the profile says"},
		{"gone", ALB(), func(p *Prober) { p.Active = false }, 0, 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := node
			row.edit(&p)
			f := foresee([]Prober{p}, row.profile)
			assert.Equal(t, row.needs, f.needs)
			assert.Equal(t, row.total, f.total)
			if row.advice == "" {
				assert.Empty(t, f.advice)
				return
			}
			assert.Contains(t, strings.Join(f.advice, "\n"), row.advice)
		})
	}
}
