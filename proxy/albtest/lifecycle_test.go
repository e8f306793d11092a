package albtest

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// namedTarget answers with its name, and as slowly as the path says.
func namedTarget(name string) Target {
	return Target{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d, err := time.ParseDuration(r.URL.Path[1:]); err == nil {
			time.Sleep(d)
		}
		_, _ = io.WriteString(w, name)
	})}
}

// plainBalancer is a balancer in memory whose listener 80 forwards.
func plainBalancer(t *testing.T, g TargetGroup) *Server {
	return Start(t, Config{
		InMemory:     true,
		Attributes:   Attributes{IdleTimeout: 4000 * time.Second},
		Listeners:    []Listener{{Port: 80, Default: ForwardTo(DefaultGroup)}},
		TargetGroups: map[string]TargetGroup{DefaultGroup: g},
	})
}

// askPath returns the status and the body.
func askPath(t *testing.T, s *Server, path string) (int, string) {
	resp, err := s.Client().Get(s.HTTPURL + path)
	if !assert.NoError(t, err) {
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	assert.NoError(t, err)
	return resp.StatusCode, string(body)
}

// newestEntry of the server's log.
func newestEntry(s *Server) Entry {
	log := s.Log()
	return log[len(log)-1]
}

// A deploy as ECS makes it: the new target comes first, the old one goes when it
// has nothing left to do. Nobody notices.
func TestDeployLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := plainBalancer(t, TargetGroup{Targets: []Target{namedTarget("old")}})
		g := s.TargetGroup(DefaultGroup)
		require.NoError(t, g.WaitHealthy(t.Context()))
		old := only(g).Target

		stop := make(chan struct{})
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Millisecond):
					}
					code, _ := askPath(t, s, "/2s")
					assert.Equal(t, 200, code)
				}
			})
		}
		time.Sleep(5 * time.Second)
		_, err := g.Register(namedTarget("new"))
		require.NoError(t, err)
		require.NoError(t, g.WaitHealthy(t.Context()))
		start := time.Now()
		require.NoError(t, g.Deregister(old))
		require.NoError(t, g.WaitIdle(t.Context(), old))
		assert.LessOrEqual(t, time.Since(start), 2*time.Second, "the requests in flight, not the delay")
		require.NoError(t, g.Kill(old))
		time.Sleep(5 * time.Second)
		close(stop)
		clients.Wait()
		_, body := askPath(t, s, "/")
		assert.Equal(t, "new", body)
	})
}

// A request that outlives the deregistration delay gets 502 from the balancer.
func TestDeregistrationDelayCutsOffARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := plainBalancer(t, TargetGroup{Targets: []Target{namedTarget("old")}})
		g := s.TargetGroup(DefaultGroup)
		require.NoError(t, g.WaitHealthy(t.Context()))
		start := time.Now()
		time.AfterFunc(time.Second, func() { assert.NoError(t, g.Deregister()) })
		code, _ := askPath(t, s, "/1000s")
		assert.Equal(t, 502, code)
		assert.Equal(t, 301*time.Second, time.Since(start))
		assert.Equal(t, ByBalancer, newestEntry(s).AnsweredBy)
		assert.Equal(t, NoStatus, newestEntry(s).TargetStatusCode)
		code, _ = askPath(t, s, "/")
		assert.Equal(t, 503, code, "and now there is no target")
	})
}

// The incident: after a reboot nothing listens behind the balancer. It says 502,
// until somebody starts the process.
func TestStoryTheBackendIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := plainBalancer(t, TargetGroup{Targets: []Target{namedTarget("app")}})
		g := s.TargetGroup(DefaultGroup)
		require.NoError(t, g.WaitHealthy(t.Context()))
		require.NoError(t, g.Kill())
		code, _ := askPath(t, s, "/")
		assert.Equal(t, 502, code)
		assert.Equal(t, ByBalancer, newestEntry(s).AnsweredBy)

		require.NoError(t, g.Wait(t.Context(), Unhealthy))
		assert.Equal(t, FailedHealthChecks, only(g).Reason)
		code, _ = askPath(t, s, "/")
		assert.Equal(t, 502, code, "it fails open: a single dead target is asked still")

		require.NoError(t, g.Revive())
		code, body := askPath(t, s, "/")
		assert.Equal(t, 200, code)
		assert.Equal(t, "app", body)
	})
}

// A target that dies takes requests down until the checks notice, and none
// afterwards.
func TestOneOfTwoTargetsDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := plainBalancer(t, TargetGroup{Targets: []Target{namedTarget("a"), namedTarget("b")}})
		g := s.TargetGroup(DefaultGroup)
		require.NoError(t, g.WaitHealthy(t.Context()))
		dead := only(g).Target
		require.NoError(t, g.Kill(dead))
		codes := map[int]int{}
		for range 10 {
			code, _ := askPath(t, s, "/")
			codes[code]++
		}
		assert.Equal(t, map[int]int{200: 5, 502: 5}, codes)
		require.NoError(t, g.Wait(t.Context(), Unhealthy, dead))
		for range 10 {
			code, _ := askPath(t, s, "/")
			assert.Equal(t, 200, code)
		}
	})
}
