package albtest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var testNodes = []netip.Addr{testNode, netip.MustParseAddr("10.0.1.10")}

// startGroup runs a group in memory, inside the test's bubble.
func startGroup(t *testing.T, cfg TargetGroup) *TargetGroupHandle {
	return startGroupIn(t, cfg, true, &environment{network: newMemory(), nodes: testNodes})
}

func startGroupIn(t *testing.T, cfg TargetGroup, inUse bool, env *environment) *TargetGroupHandle {
	g, err := newGroup("app", cfg, inUse, env)
	require.NoError(t, err)
	t.Cleanup(g.close)
	_, err = g.register(cfg.Targets...)
	require.NoError(t, err)
	return &TargetGroupHandle{g}
}

// answers is a handler that can be told what to say.
type answers struct{ code atomic.Int32 }

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if code := a.code.Load(); code != 0 {
		w.WriteHeader(int(code))
	}
}

var okTarget = Target{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}

// names of the targets that n picks get in turn, released at once.
func picks(t *testing.T, h *TargetGroupHandle, n int) (ids []string) {
	for range n {
		l, err := h.group.pick(testNode)
		require.NoError(t, err)
		ids = append(ids, l.target.id)
		l.release()
	}
	return ids
}

func only(h *TargetGroupHandle) Health { return h.Health()[0] }

// Everything with AWS's own numbers: a fresh target needs one check, a healthy
// one fails twice, an unhealthy one recovers after five, every 30 s.
func TestHealthWithTheDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var app answers
		start := time.Now()
		h := startGroup(t, TargetGroup{Targets: []Target{{Handler: &app}}})
		require.NoError(t, h.WaitHealthy(t.Context()))
		assert.Zero(t, time.Since(start), "the first check is made at once")

		time.Sleep(time.Second)
		app.code.Store(500)
		require.NoError(t, h.Wait(t.Context(), Unhealthy))
		assert.Equal(t, 60*time.Second, time.Since(start), "the second failure in a row, at 30 s and at 60 s")
		assert.Equal(t, Health{"10.0.16.10:80", Unhealthy, ResponseCodeMismatch, "Health checks failed with these codes: [500]"}, only(h))

		app.code.Store(200)
		require.NoError(t, h.WaitHealthy(t.Context()))
		assert.Equal(t, (60+5*30)*time.Second, time.Since(start))
		assert.Equal(t, Health{Target: "10.0.16.10:80", State: Healthy}, only(h))

		assert.Equal(t, Transition{Time: start, To: Health{"10.0.16.10:80", Initial, RegistrationInProgress,
			"Target registration is in progress"}}, h.Transitions()[0])
		var states []State
		for _, tr := range h.Transitions() {
			states = append(states, tr.To.State)
		}
		assert.Equal(t, []State{Initial, Initial, Healthy, Unhealthy, Healthy}, states, "Initial for two reasons")
		assert.Equal(t, start.Add(60*time.Second), h.Transitions()[3].Time)
		assert.Equal(t, Healthy, h.Transitions()[3].From.State)
	})
}

func TestHealthOneFailureIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var app answers
		h := startGroup(t, TargetGroup{Targets: []Target{{Handler: &app}}})
		require.NoError(t, h.WaitHealthy(t.Context()))
		for range 3 {
			time.Sleep(29 * time.Second)
			app.code.Store(500)
			time.Sleep(2 * time.Second) // one failure
			app.code.Store(200)
			time.Sleep(29 * time.Second)
		}
		assert.Equal(t, Healthy, only(h).State)
		assert.Len(t, h.Transitions(), 3)
	})
}

func TestHealthOfANewTargetThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := TargetGroup{Targets: []Target{{Absent: true}}}
		start := time.Now()
		h := startGroup(t, cfg)
		require.NoError(t, h.group.settle(t.Context()))
		assert.Zero(t, time.Since(start))
		assert.Equal(t, Unhealthy, only(h).State)

		h = startGroupIn(t, cfg, true, &environment{
			network: newMemory(), nodes: testNodes, unknowns: Unknowns{InitialUntilThreshold: true},
		})
		require.NoError(t, h.group.settle(t.Context()))
		assert.Equal(t, Health{"10.0.16.10:80", Initial, InitialHealthChecking, "Initial health checks in progress"}, only(h))
		require.NoError(t, h.Wait(t.Context(), Unhealthy))
		assert.Equal(t, 30*time.Second, time.Since(start))
	})
}

// The incident: the group held port 80, healthy, and port 443, where nobody
// listens.
func TestStoryNobodyListensOnThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := netip.MustParseAddr("10.0.16.20")
		h := startGroup(t, TargetGroup{Targets: []Target{
			{Handler: okTarget.Handler, IP: machine, Port: 80},
			{Absent: true, IP: machine, Port: 443},
		}})
		require.NoError(t, h.group.settle(t.Context()))
		assert.Equal(t, []Health{
			{Target: "10.0.16.20:80", State: Healthy},
			{"10.0.16.20:443", Unhealthy, FailedHealthChecks, "Health checks failed"},
		}, h.Health())
	})
}

// The incident: the application redirects everything to https, probes too.
func TestStoryTheHealthPathIsRedirected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Forwarded-Proto") != "https" {
					http.Redirect(w, r, "https://"+r.Host+r.RequestURI, http.StatusMovedPermanently)
				}
			}),
		}}})
		require.NoError(t, h.group.settle(t.Context()))
		assert.Equal(t, Health{"10.0.16.10:80", Unhealthy, ResponseCodeMismatch, "Health checks failed with these codes: [301]"}, only(h))
	})
}

func TestHealthSlowTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{{
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(6 * time.Second) }),
		}}})
		start := time.Now()
		require.NoError(t, h.group.settle(t.Context()))
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Equal(t, Health{"10.0.16.10:80", Unhealthy, Timeout, "Request timed out"}, only(h))
	})
}

// Each node checks by itself, and the interval does not stretch with the time
// that an answer takes.
func TestHealthChecksPerNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type check struct {
			node string
			at   time.Duration
		}
		start := time.Now()
		seen := make(chan check, 100)
		h := startGroup(t, TargetGroup{
			HealthCheck: HealthCheck{Interval: 10 * time.Second},
			Targets: []Target{{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				node, _, _ := net.SplitHostPort(r.RemoteAddr)
				seen <- check{node, time.Since(start)}
				time.Sleep(3 * time.Second)
			})}},
		})
		time.Sleep(25 * time.Second)
		h.group.close()
		close(seen)
		byNode := map[string][]time.Duration{}
		for c := range seen {
			byNode[c.node] = append(byNode[c.node], c.at)
		}
		every10 := []time.Duration{0, 10 * time.Second, 20 * time.Second}
		assert.Equal(t, map[string][]time.Duration{"10.0.0.10": every10, "10.0.1.10": every10}, byNode)
	})
}

// What the group reports is what the most pessimistic node thinks; what a node
// does is what it thinks itself.
func TestHealthIsWhatEveryNodeSees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healthyFor atomic.Value
		healthyFor.Store("10.0.0.10")
		picky := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if node, _, _ := net.SplitHostPort(r.RemoteAddr); node != healthyFor.Load() {
				w.WriteHeader(404)
			}
		})
		h := startGroup(t, TargetGroup{Targets: []Target{{Handler: picky}, okTarget}})
		require.NoError(t, h.group.settle(t.Context()))
		assert.Equal(t, Unhealthy, only(h).State)
		assert.Equal(t, []string{"10.0.16.10:80", "10.0.16.11:80"}, picks(t, h, 2), "for this node both are healthy")
		l, err := h.group.pick(testNodes[1])
		require.NoError(t, err)
		assert.Equal(t, "10.0.16.11:80", l.target.id)
		l.release()

		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, h.Wait(short, Unhealthy, "10.0.16.10:80"), context.DeadlineExceeded, "the nodes do not agree")
		healthyFor.Store("nobody")
		assert.NoError(t, h.Wait(t.Context(), Unhealthy, "10.0.16.10:80"))
	})
}

// A check that the end of the server cuts off has found nothing.
func TestHealthOfACheckThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		}}})
		synctest.Wait()
		h.group.close()
		assert.Equal(t, Initial, only(h).State)
	})
}

func TestHealthCheckPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := &environment{network: newMemory(), nodes: testNodes}
		cfg := TargetGroup{HealthCheck: HealthCheck{Port: 9090}, Targets: []Target{okTarget}}
		h := startGroupIn(t, cfg, true, env)
		require.NoError(t, h.group.settle(t.Context()))
		assert.Equal(t, FailedHealthChecks, only(h).Reason, "the checks go to 9090")
		admin := okTarget
		admin.IP = netip.MustParseAddr("10.0.16.10")
		startGroupIn(t, TargetGroup{Port: 9090, Targets: []Target{admin}}, false, env)
		require.NoError(t, h.WaitHealthy(t.Context()))
	})
}

func TestHealthOfAGroupThatNobodyForwardsTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int32
		h := startGroupIn(t, TargetGroup{Targets: []Target{{
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { checks.Add(1) }),
		}}}, false, &environment{network: newMemory(), nodes: testNodes})
		require.NoError(t, h.group.settle(t.Context()))
		time.Sleep(time.Minute)
		assert.Equal(t, Health{"10.0.16.10:80", Unused, NotInUse,
			"Target group is not configured to receive traffic from the load balancer"}, only(h))
		assert.Zero(t, checks.Load())
		require.NoError(t, h.Deregister())
		assert.Equal(t, Draining, only(h).State)
	})
}

func TestHealthOfAStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{})
		assert.Equal(t, []Health{{"192.0.2.1:80", Unused, NotRegistered, "Target is not registered to the target group"}},
			h.Health("192.0.2.1:80"))
		assert.Empty(t, h.Health())
		assert.Error(t, h.Kill("192.0.2.1:80"))
		assert.Error(t, h.Deregister("192.0.2.1:80"))
		assert.Error(t, h.WaitIdle(t.Context(), "192.0.2.1:80"))
	})
}

func TestWaitSaysWhatIsInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{{Absent: true}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := h.WaitHealthy(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.EqualError(t, err, `albtest: group "app": context deadline exceeded: `+
			`10.0.16.10:80 is unhealthy (Target.FailedHealthChecks: Health checks failed)`)

		empty := startGroup(t, TargetGroup{})
		assert.ErrorContains(t, empty.WaitHealthy(ctx), "it has no targets")

		empty.group.close()
		assert.ErrorContains(t, empty.WaitHealthy(t.Context()), "the server is closed")
		_, err = empty.Register(okTarget)
		assert.ErrorContains(t, err, "the server is closed")
	})
}

func TestRegisterRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget}})
		again := okTarget
		again.IP = netip.MustParseAddr("10.0.16.10")
		names, err := h.Register(okTarget, again)
		assert.ErrorContains(t, err, "10.0.16.10:80 is registered already")
		assert.Equal(t, []string{"10.0.16.11:80"}, names, "those before it stay")
		require.NoError(t, h.WaitHealthy(t.Context()))
		_, err = h.Register(Target{Addr: "10.0.16.10:80"})
		assert.NoError(t, err)
		assert.Equal(t, Healthy, only(h).State, "it stays what it is")
		for _, wrong := range []Target{{}, {Addr: "no port"}, {Absent: true, Addr: "192.0.2.1:80"}, {Absent: true, Port: 65536}} {
			_, err = h.Register(wrong)
			var mistakes ConfigErrors
			assert.ErrorAs(t, err, &mistakes)
		}

		other := startGroupIn(t, TargetGroup{}, true, h.group.env)
		_, err = other.Register(again)
		assert.ErrorIs(t, err, syscall.EADDRINUSE, "another group's process listens there")
		_, err = other.Register(Target{Addr: "10.0.16.10:80"})
		require.NoError(t, err, "but the same process can be in two groups")
		assert.NoError(t, other.WaitHealthy(t.Context()))
	})
}

func TestKillAndRevive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget}})
		require.NoError(t, h.WaitHealthy(t.Context()))
		c, err := h.group.env.network.dial(t.Context(), testNode, netip.MustParseAddrPort("10.0.16.10:80"))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, h.Kill())
		require.NoError(t, h.Kill(), "nothing is left to be killed")
		_, err = c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF, "open connections end")
		assert.Equal(t, Healthy, only(h).State, "nobody has noticed")
		require.NoError(t, h.Wait(t.Context(), Unhealthy))
		assert.Equal(t, FailedHealthChecks, only(h).Reason)
		require.NoError(t, h.Revive())
		require.NoError(t, h.Revive(), "nothing is dead")
		require.NoError(t, h.WaitHealthy(t.Context()))
		h.group.close()
		assert.ErrorIs(t, h.Revive(), errClosed)
	})
}

func TestKillWhatIsNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{{Absent: true}}})
		assert.ErrorIs(t, h.Kill(), errNotOurs)
		assert.ErrorIs(t, h.Revive(), errNotOurs)
	})
}

// A process that dies takes along the connections that its handlers took over.
func TestKillEndsHijackedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/tunnel" {
				return
			}
			c, _, err := w.(http.Hijacker).Hijack()
			assert.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			assert.ErrorIs(t, err, net.ErrClosed)
		})}}})
		c, err := h.group.dialDirect(t.Context(), "", "")
		require.NoError(t, err)
		_, err = io.WriteString(c, "GET /tunnel HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, h.Kill())
		_, err = c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
	})
}

// Configure can change everything about a target's server, and it is told of
// its connections as ever.
func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen atomic.Int32
		h := startGroup(t, TargetGroup{Targets: []Target{{Handler: okTarget.Handler, Configure: func(s *http.Server) {
			s.IdleTimeout = 10 * time.Second
			s.ConnState = func(net.Conn, http.ConnState) { seen.Add(1) }
		}}}})
		require.NoError(t, h.WaitHealthy(t.Context()))
		c, err := h.group.dialDirect(t.Context(), "", "")
		require.NoError(t, err)
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		_ = readHead(c)
		start := time.Now()
		_, err = c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		assert.Equal(t, 10*time.Second, time.Since(start))
		assert.NotZero(t, seen.Load())
	})
}

func TestPickRoundRobin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget, okTarget, okTarget}})
		require.NoError(t, h.WaitHealthy(t.Context()))
		a, b, c := "10.0.16.10:80", "10.0.16.11:80", "10.0.16.12:80"
		assert.Equal(t, []string{a, b, c, a, b, c}, picks(t, h, 6))
		require.NoError(t, h.Deregister(b))
		assert.Equal(t, []string{a, c, a, c}, picks(t, h, 4))
	})
}

func TestPickLeastOutstandingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget, okTarget}, Algorithm: LeastOutstandingRequests})
		require.NoError(t, h.WaitHealthy(t.Context()))
		busy, err := h.group.pick(testNode)
		require.NoError(t, err)
		assert.NotContains(t, picks(t, h, 5), busy.target.id)
		busy.release()
		busy.release() // counts once
		assert.Zero(t, busy.target.inFlight)
		assert.Contains(t, picks(t, h, 2), busy.target.id)
	})
}

func TestPickNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{})
		_, err := h.group.pick(testNode)
		assert.ErrorIs(t, err, errNoTargets)
		_, err = h.Register(Target{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(time.Second)
		})})
		require.NoError(t, err)
		_, err = h.group.pick(testNode)
		assert.ErrorIs(t, err, errInitial)
		require.NoError(t, h.WaitHealthy(t.Context()))
		assert.Len(t, picks(t, h, 1), 1)
		require.NoError(t, h.Deregister())
		_, err = h.group.pick(testNode)
		assert.ErrorIs(t, err, errNoTargets)
	})
}

func TestPickFailsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var app answers
		app.code.Store(500)
		h := startGroup(t, TargetGroup{Targets: []Target{{Handler: &app}, {Absent: true}}})
		require.NoError(t, h.group.settle(t.Context()))
		l, err := h.group.pick(testNode)
		require.NoError(t, err)
		assert.True(t, l.failOpen)
		l.release()
		assert.ElementsMatch(t, []string{"10.0.16.10:80", "10.0.16.11:80"}, picks(t, h, 2), "all of them get requests")

		app.code.Store(200)
		require.NoError(t, h.Wait(t.Context(), Healthy, "10.0.16.10:80"))
		assert.Equal(t, []string{"10.0.16.10:80", "10.0.16.10:80"}, picks(t, h, 2))
	})
}

func TestPickWithTooFewHealthyTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget, okTarget, {Absent: true}}, MinimumHealthyTargets: 2})
		require.NoError(t, h.group.settle(t.Context()))
		assert.NotContains(t, picks(t, h, 6), "10.0.16.12:80", "two are healthy: enough")
		require.NoError(t, h.Deregister("10.0.16.11:80"))
		assert.Contains(t, picks(t, h, 2), "10.0.16.12:80")
	})
}

// A target that was deregistered finishes its requests. AWS displays it as
// draining until the delay is over, even if it has nothing to do any more.
func TestDeregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget}})
		require.NoError(t, h.WaitHealthy(t.Context()))
		name := only(h).Target
		l, err := h.group.pick(testNode)
		require.NoError(t, err)
		unwanted := l.unwanted()

		start := time.Now()
		require.NoError(t, h.Deregister())
		require.NoError(t, h.Deregister(), "again, it does nothing")
		assert.Equal(t, Health{name, Draining, DeregistrationInProgress, "Target deregistration is in progress"}, only(h))
		time.AfterFunc(20*time.Second, l.release)
		require.NoError(t, h.WaitIdle(t.Context(), name))
		assert.Equal(t, 20*time.Second, time.Since(start))
		<-unwanted // what is kept for the target is closed
		assert.Equal(t, Draining, only(h).State)
		require.NoError(t, h.Wait(t.Context(), Unused, name))
		assert.Equal(t, 300*time.Second, time.Since(start))
		assert.Equal(t, []Health{{name, Unused, NotRegistered, "Target is not registered to the target group"}}, h.Health(name))
		assert.Empty(t, h.Health(), "and it is gone from the list")
	})
}

func TestDeregisterCutsOffWhatTakesLonger(t *testing.T) {
	for _, tc := range []struct {
		name        string
		delay, want time.Duration
	}{
		{"default", 0, 300 * time.Second},
		{"short", 20 * time.Second, 20 * time.Second},
		{"none", NoDelay, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := startGroup(t, TargetGroup{Targets: []Target{okTarget}, DeregistrationDelay: tc.delay})
				require.NoError(t, h.WaitHealthy(t.Context()))
				l, err := h.group.pick(testNode)
				require.NoError(t, err)
				start := time.Now()
				name := only(h).Target
				require.NoError(t, h.Deregister())
				<-l.cut
				assert.Equal(t, tc.want, time.Since(start))
				assert.NoError(t, h.WaitIdle(t.Context(), name))
				l.release()
			})
		})
	}
}

// Health checks end with the registration: a prober that went silent is how a
// target learns of it.
func TestDeregisterEndsTheChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int32
		h := startGroup(t, TargetGroup{Targets: []Target{{
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { checks.Add(1) }),
		}}})
		require.NoError(t, h.WaitHealthy(t.Context()))
		require.NoError(t, h.Deregister())
		before := checks.Load()
		time.Sleep(time.Hour)
		assert.Equal(t, before, checks.Load())
	})
}

func TestDeregisterWithStragglers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget, okTarget}, Stragglers: 3})
		require.NoError(t, h.WaitHealthy(t.Context()))
		old := only(h).Target
		require.NoError(t, h.Deregister(old))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, h.WaitIdle(short, old), context.DeadlineExceeded, "it will get requests still")
		got := 0
		for _, name := range picks(t, h, 20) {
			if name == old {
				got++
			}
		}
		assert.Equal(t, 3, got)
		assert.NoError(t, h.WaitIdle(t.Context(), old))
	})
}

func TestStragglersEndWithTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget}, Stragglers: 3})
		require.NoError(t, h.WaitHealthy(t.Context()))
		require.NoError(t, h.Deregister())
		l, err := h.group.pick(testNode)
		require.NoError(t, err)
		assert.True(t, l.straggler)
		l.release()
		time.Sleep(301 * time.Second)
		_, err = h.group.pick(testNode)
		assert.ErrorIs(t, err, errNoTargets)
	})
}

func TestRegisterAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget}})
		require.NoError(t, h.WaitHealthy(t.Context()))
		name := only(h).Target
		l, err := h.group.pick(testNode)
		require.NoError(t, err)
		unwanted := l.unwanted()
		require.NoError(t, h.Deregister())
		time.Sleep(100 * time.Second)

		names, err := h.Register(Target{Addr: name})
		require.NoError(t, err)
		assert.Equal(t, []string{name}, names)
		require.NoError(t, h.WaitHealthy(t.Context()))
		assert.True(t, slices.ContainsFunc(h.Transitions(), func(tr Transition) bool {
			return tr.From.State == Draining && tr.To.State == Initial
		}))
		time.Sleep(300 * time.Second)
		select {
		case <-l.cut:
			assert.Fail(t, "the deregistration was taken back")
		default:
		}
		l.release()

		require.NoError(t, h.Deregister())
		<-unwanted // the connections of the first registration as well
		require.NoError(t, h.Wait(t.Context(), Unused, name))
		_, err = h.Register(Target{Addr: name})
		require.NoError(t, err)
		require.NoError(t, h.WaitHealthy(t.Context()), "after its end as well")
		assert.Len(t, picks(t, h, 1), 1)
	})
}

// A new process at the address of an old one that was deregistered.
func TestRegisterAnotherHandlerAtTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget}, DeregistrationDelay: NoDelay})
		require.NoError(t, h.WaitHealthy(t.Context()))
		require.NoError(t, h.Deregister())
		names, err := h.Register(Target{
			IP:      netip.MustParseAddr("10.0.16.10"),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }),
		})
		require.NoError(t, err)
		assert.Equal(t, []string{"10.0.16.10:80"}, names)
		require.NoError(t, h.Wait(t.Context(), Unhealthy))
		assert.Contains(t, only(h).Description, "[404]", "the new one answers")
	})
}

func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget, okTarget}, SlowStart: 100 * time.Second})
		require.NoError(t, h.WaitHealthy(t.Context()))
		assert.Equal(t, []int{10, 10}, counts(t, h, 20), "those registered together with the first get their share at once")

		time.Sleep(time.Second)
		_, err := h.Register(okTarget)
		require.NoError(t, err)
		require.NoError(t, h.WaitHealthy(t.Context()))
		assert.Equal(t, []int{10, 10, 0}, counts(t, h, 20))
		time.Sleep(50 * time.Second)
		assert.Equal(t, []int{20, 20, 10}, counts(t, h, 50))
		time.Sleep(50 * time.Second)
		assert.Equal(t, []int{10, 10, 10}, counts(t, h, 30))

		require.NoError(t, h.Kill("10.0.16.12:80"))
		require.NoError(t, h.Wait(t.Context(), Unhealthy, "10.0.16.12:80"))
		require.NoError(t, h.Revive("10.0.16.12:80"))
		require.NoError(t, h.WaitHealthy(t.Context()))
		assert.Equal(t, []int{10, 10, 0}, counts(t, h, 20), "recovery is a slow start as well")

		require.NoError(t, h.Kill())
		require.NoError(t, h.Wait(t.Context(), Unhealthy))
		assert.Equal(t, []int{10, 10, 10}, counts(t, h, 30), "failing open, nobody is spared")
	})
}

// Without anybody to take the rest of the requests there is no slow start.
func TestSlowStartAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget}, SlowStart: 100 * time.Second})
		require.NoError(t, h.WaitHealthy(t.Context()))
		require.NoError(t, h.Kill())
		require.NoError(t, h.Wait(t.Context(), Unhealthy))
		require.NoError(t, h.Revive())
		require.NoError(t, h.WaitHealthy(t.Context()))
		assert.True(t, h.group.targets[0].slowSince.IsZero())
	})
}

// counts says how many of n picks each target gets.
func counts(t *testing.T, h *TargetGroupHandle, n int) []int {
	var ids []string
	for _, one := range h.Health() {
		ids = append(ids, one.Target)
	}
	got := make([]int, len(ids))
	for _, id := range picks(t, h, n) {
		got[slices.Index(ids, id)]++
	}
	return got
}

func TestTransitionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{Targets: []Target{okTarget}, DeregistrationDelay: NoDelay})
		for range maxTransitions / 2 {
			require.NoError(t, h.Deregister("10.0.16.10:80"))
			_, err := h.Register(Target{Addr: "10.0.16.10:80"})
			require.NoError(t, err)
		}
		assert.Len(t, h.Transitions(), maxTransitions)
	})
}
