package proxy

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// testFleet has n upstreams, called http://10.0.0.1 and so on.
func testFleet(t testing.TB, n int, cfg Config) *fleet {
	t.Helper()
	for i := range n {
		cfg.Upstreams = append(cfg.Upstreams, fmt.Sprintf("http://10.0.0.%d", i+1))
	}
	return fleetOf(t, cfg)
}

// fleetOf is the fleet that New would make of cfg, silent if it has no logger.
func fleetOf(t testing.TB, cfg Config) *fleet {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ups, err := cfg.check()
	require.NoError(t, err)
	return newFleet(ups, &cfg)
}

var nobodyKnown = &forwarded.Info{}

func clientInfo(addr string) *forwarded.Info {
	return &forwarded.Info{Client: netip.MustParseAddr(addr)}
}

// picked is a pick that must succeed and is over at once.
func picked(t testing.TB, f *fleet, info *forwarded.Info, not *upstream) *upstream {
	t.Helper()
	u, reason := f.pick(info, not)
	require.NotNil(t, u, reason)
	u.done(verdictNone)
	return u
}

// shares counts n picks by upstream.
func shares(t testing.TB, f *fleet, n int) map[*upstream]int {
	t.Helper()
	got := map[*upstream]int{}
	for range n {
		got[picked(t, f, nobodyKnown, nil)]++
	}
	return got
}

// sicken makes u fail until it is left out.
func sicken(t testing.TB, f *fleet, u *upstream) {
	t.Helper()
	for range f.check.Failures {
		u.take(0)
		u.done(verdictBad)
	}
	require.Equal(t, StateEjected, stateOf(f, u))
}

// unhealthy has the active checks find u not working.
func unhealthy(f *fleet, u *upstream) {
	f.update(func(now time.Time) { f.move(u, change{to: StateUnhealthy, at: now, reason: "test"}) })
}

func stateOf(f *fleet, u *upstream) State { return f.status()[slices.Index(f.ups, u)].State }

func TestRoundRobin(t *testing.T) {
	f := testFleet(t, 3, Config{})
	for _, n := range shares(t, f, 300) {
		assert.Equal(t, 100, n)
	}
}

// The turns of the one that is out go to all others, not to its neighbour.
func TestRoundRobinWithoutOne(t *testing.T) {
	f := testFleet(t, 4, Config{})
	sicken(t, f, f.ups[1])
	got := shares(t, f, 4000)
	assert.Zero(t, got[f.ups[1]])
	for _, i := range []int{0, 2, 3} {
		assert.InDelta(t, 1333, got[f.ups[i]], 130, "upstream %d", i)
	}
}

func TestLeastRequests(t *testing.T) {
	f := testFleet(t, 3, Config{Balance: LeastRequests})
	for range 30 {
		u, reason := f.pick(nobodyKnown, nil)
		require.NotNil(t, u, reason)
	}
	for i, u := range f.ups {
		assert.EqualValues(t, 10, u.inFlight.Load(), "upstream %d", i)
	}
	f.ups[2].done(verdictGood)
	assert.Same(t, f.ups[2], picked(t, f, nobodyKnown, nil))
	f.ups[0].done(verdictGood)
	f.ups[0].done(verdictGood)
	assert.Same(t, f.ups[0], picked(t, f, nobodyKnown, nil))
	assert.Same(t, f.ups[2], picked(t, f, nobodyKnown, f.ups[0]))
}

func TestLeastRequestsDrawsAmongEquals(t *testing.T) {
	f := testFleet(t, 3, Config{Balance: LeastRequests})
	for _, n := range shares(t, f, 3000) {
		assert.InDelta(t, 1000, n, 130)
	}
}

// manyClients are addresses as they come: neighbours.
func manyClients() (list []*forwarded.Info) {
	for i := range 1500 {
		list = append(list, clientInfo(fmt.Sprintf("192.0.%d.%d", 2+i/250, i%250)), clientInfo(fmt.Sprintf("2001:db8::%x:1", i)))
	}
	return list
}

func TestClientHash(t *testing.T) {
	f := testFleet(t, 3, Config{Balance: ClientHash})
	home := map[*forwarded.Info]*upstream{}
	count := map[*upstream]int{}
	for _, client := range manyClients() {
		home[client] = picked(t, f, client, nil)
		count[home[client]]++
	}
	for i, u := range f.ups {
		assert.InDelta(t, 1000, count[u], 120, "upstream %d", i)
	}
	sicken(t, f, f.ups[1])
	moved := map[*upstream]int{}
	for client, u := range home {
		now := picked(t, f, client, nil)
		if u != f.ups[1] {
			require.Same(t, u, now, "a client moves only if its upstream is out")
			continue
		}
		moved[now]++
	}
	assert.Len(t, moved, 2, "the others share the clients of the one that is out")
	assert.InDelta(t, moved[f.ups[0]], moved[f.ups[2]], 130)
}

// Proxies of different versions that share clients must choose alike.
func TestClientHashIsForever(t *testing.T) {
	f := testFleet(t, 5, Config{Balance: ClientHash})
	got := map[string]string{}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8::1", "2001:db8::2"} {
		got[addr] = picked(t, f, clientInfo(addr), nil).name
	}
	assert.Equal(t, map[string]string{
		"192.0.2.1":    "http://10.0.0.3",
		"192.0.2.2":    "http://10.0.0.4",
		"198.51.100.7": "http://10.0.0.2",
		"2001:db8::1":  "http://10.0.0.2",
		"2001:db8::2":  "http://10.0.0.5",
	}, got)
}

func TestClientHashOfTheUnknown(t *testing.T) {
	f := testFleet(t, 3, Config{Balance: ClientHash})
	for _, n := range shares(t, f, 300) {
		assert.Equal(t, 100, n, "unknown clients are served in turn")
	}
}

func TestPickAvoids(t *testing.T) {
	for _, balance := range []Balance{RoundRobin, LeastRequests, ClientHash} {
		f := testFleet(t, 3, Config{Balance: balance})
		info := clientInfo("192.0.2.1")
		for range 60 {
			for _, not := range f.ups {
				require.NotSame(t, not, picked(t, f, info, not))
			}
		}
		sicken(t, f, f.ups[0])
		for range 60 {
			require.Same(t, f.ups[2], picked(t, f, info, f.ups[1]))
		}
		unhealthy(f, f.ups[2])
		for range 60 {
			require.Same(t, f.ups[1], picked(t, f, info, f.ups[1]), "rather the same again than one that is left out")
		}
	}
	f := testFleet(t, 1, Config{})
	assert.Same(t, f.ups[0], picked(t, f, nobodyKnown, f.ups[0]), "there is no other")
}

func TestPickNone(t *testing.T) {
	for n := range 3 {
		f := testFleet(t, n+1, Config{Limits: Limits{InFlight: 1}})
		for _, u := range f.ups {
			picked(t, f, nobodyKnown, nil)
			unhealthy(f, u)
		}
		u, reason := f.pick(nobodyKnown, nil)
		assert.Nil(t, u)
		assert.Equal(t, ReasonNoUpstream, reason)
	}
}

func TestPickOverloaded(t *testing.T) {
	for _, balance := range []Balance{RoundRobin, LeastRequests, ClientHash} {
		for n := range 3 {
			f := testFleet(t, n+1, Config{Balance: balance, Limits: Limits{InFlight: 2}})
			info := clientInfo("192.0.2.1")
			for range 2 * (n + 1) {
				u, reason := f.pick(info, f.ups[0])
				require.NotNil(t, u, reason)
			}
			u, reason := f.pick(info, nil)
			require.Nil(t, u)
			assert.Equal(t, ReasonOverloaded, reason)
			for _, u := range f.ups {
				assert.EqualValues(t, 2, u.inFlight.Load(), "who was refused is not counted")
			}
			f.ups[n].done(verdictGood)
			assert.Same(t, f.ups[n], picked(t, f, info, nil))
		}
	}
}

// Those that are left out do not help when the others are busy: they would
// fail what could be told to come again.
func TestPickOverloadedWithOneOut(t *testing.T) {
	f := testFleet(t, 2, Config{Limits: Limits{InFlight: 1}})
	sicken(t, f, f.ups[0])
	f.pick(nobodyKnown, nil)
	u, reason := f.pick(nobodyKnown, nil)
	assert.Nil(t, u)
	assert.Equal(t, ReasonOverloaded, reason)
}

func TestNoLimit(t *testing.T) {
	f := testFleet(t, 1, Config{})
	for range 1000 {
		u, _ := f.pick(nobodyKnown, nil)
		require.NotNil(t, u)
	}
}

func TestPickConcurrently(t *testing.T) {
	for _, balance := range []Balance{RoundRobin, LeastRequests, ClientHash} {
		f := testFleet(t, 3, Config{Balance: balance, Limits: Limits{InFlight: 2}})
		var wg sync.WaitGroup
		var took atomic.Int64
		for i := range 8 {
			info := clientInfo(fmt.Sprintf("192.0.2.%d", i))
			wg.Go(func() {
				for n := range 500 {
					u, reason := f.pick(info, nil)
					if u == nil {
						assert.Equal(t, ReasonOverloaded, reason)
						continue
					}
					took.Add(1)
					assert.LessOrEqual(t, u.inFlight.Load(), int64(2+8), "more at once than the limit and those about to be refused")
					u.done(verdict(n % 3))
				}
			})
		}
		wg.Wait()
		var ended uint64
		for _, s := range f.status() {
			assert.Zero(t, s.InFlight)
			ended += s.Requests
		}
		assert.EqualValues(t, took.Load(), ended)
	}
}

// The share of one that comes back grows from a tenth to all of it.
func TestSlowReturnShare(t *testing.T) {
	for _, balance := range []Balance{RoundRobin, LeastRequests} {
		synctest.Test(t, func(t *testing.T) {
			f := testFleet(t, 3, Config{Balance: balance})
			sicken(t, f, f.ups[1])
			time.Sleep(10 * time.Second)
			for _, row := range []struct {
				after time.Duration
				share float64
			}{{0, 0.1}, {5 * time.Second, 0.55}, {9 * time.Second, 0.91}, {10 * time.Second, 1}} {
				time.Sleep(time.Until(f.ups[1].health.back.Add(row.after)))
				got := shares(t, f, 9000)
				assert.InDelta(t, 3000*row.share, got[f.ups[1]], 250, "%d after %v", balance, row.after)
				assert.InDelta(t, got[f.ups[0]], got[f.ups[2]], 400, "%d after %v", balance, row.after)
			}
		})
	}
}

// Under ClientHash, clients come back one after the other, and each only once.
func TestSlowReturnOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFleet(t, 3, Config{Balance: ClientHash})
		home := map[*forwarded.Info]*upstream{}
		for _, client := range manyClients() {
			home[client] = picked(t, f, client, nil)
		}
		maps.DeleteFunc(home, func(_ *forwarded.Info, u *upstream) bool { return u != f.ups[1] })
		all := len(home)
		sicken(t, f, f.ups[1])
		time.Sleep(10 * time.Second)
		back := map[*forwarded.Info]bool{}
		for step := range 11 {
			for client, u := range home {
				if now := picked(t, f, client, nil); back[client] {
					require.Same(t, u, now, "a client that has come back stays")
				} else if now == u {
					back[client] = true
				}
			}
			assert.InDelta(t, float64(all)*min(1, 0.1+0.09*float64(step)), len(back), float64(all)/10, "after %d s", step)
			time.Sleep(time.Second)
		}
		assert.Len(t, back, all)
	})
}

// While all come back at once, nobody waits.
func TestAllComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFleet(t, 2, Config{})
		for _, u := range f.ups {
			unhealthy(f, u)
			f.update(func(now time.Time) { f.comeBack(u, now, "test") })
		}
		got := shares(t, f, 2000)
		assert.InDelta(t, got[f.ups[0]], got[f.ups[1]], 250)
	})
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, balance := range []Balance{RoundRobin, LeastRequests, ClientHash} {
		for _, n := range []int{1, 3} {
			f := testFleet(t, n, Config{Balance: balance})
			if n > 1 {
				sicken(t, f, f.ups[1])
			}
			info := clientInfo("2001:db8::1")
			allocs := testing.AllocsPerRun(100, func() {
				u, _ := f.pick(info, nil)
				u.done(verdictGood)
			})
			assert.Zero(t, allocs, "%d of %d", balance, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	info := clientInfo("192.0.2.1")
	for _, row := range []struct {
		name    string
		n       int
		balance Balance
		out     bool
	}{
		{"one", 1, RoundRobin, false},
		{"RoundRobin/3", 3, RoundRobin, false},
		{"RoundRobin/3, one out", 3, RoundRobin, true},
		{"LeastRequests/3", 3, LeastRequests, false},
		{"ClientHash/3", 3, ClientHash, false},
	} {
		b.Run(row.name, func(b *testing.B) {
			f := testFleet(b, row.n, Config{Balance: row.balance, Check: HealthCheck{EjectFor: time.Hour}})
			if row.out {
				sicken(b, f, f.ups[1])
			}
			b.ReportAllocs()
			for b.Loop() {
				u, _ := f.pick(info, nil)
				u.inFlight.Add(-1)
			}
		})
	}
}
