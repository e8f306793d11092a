package healthcheck

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// relay is a probe that a proxy beside the service handed on.
func relay(h *Health) {
	r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "10.0.16.5")
	h.Ready().ServeHTTP(httptest.NewRecorder(), r)
}

// Where a proxy hands a balancer's probes on like everything else, nobody is
// seen to probe. A drain that did not wait there would lose requests.
func TestDrainWaitsForProbesThroughAProxy(t *testing.T) {
	for name, row := range map[string]struct {
		profile Profile
		since   time.Duration // the last such probe
		want    time.Duration
	}{
		"ALB":         {ALB(), 10 * time.Second, 20 * time.Second},
		"Kubernetes":  {Kubernetes(), time.Second, 15 * time.Second},
		"long ago":    {ALB(), 31 * time.Second, 0},
		"no interval": {Direct(), time.Second, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &Health{logTo: new(logLines).logger()}
			h.probers.behind(row.profile)
			relay(h)
			time.Sleep(row.since)
			h.Drain()
			began := time.Now()
			h.awaitProbers(t.Context(), row.profile)
			assert.Equal(t, row.want, time.Since(began), name)
			assert.Equal(t, row.since < 31*time.Second, h.probed(), name)
		})
	}
}

// A visitor who asks for readiness through the balancer can make a drain last as
// long as the probers need by the profile, and neither shorter nor longer.
func TestVisitorsCannotShortenADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		h.probers.behind(ALB())
		for range 5 {
			time.Sleep(10 * time.Second)
			probe(t, h.Ready(), "/", "10.0.16.5")
			relay(h)
		}
		h.Drain()
		began, over := time.Now(), make(chan time.Duration, 1)
		go func() {
			h.awaitProbers(t.Context(), ALB())
			over <- time.Since(began)
		}()
		for range 20 {
			time.Sleep(time.Second)
			relay(h)
			if time.Since(began)%(10*time.Second) == 0 {
				probe(t, h.Ready(), "/", "10.0.16.5")
			}
		}
		assert.InDelta(t, 21, (<-over).Seconds(), 1)
	})
}

// Two nodes behind one address that begin together leave a gap that says
// nothing about how often they ask.
func TestProbersThatBeginTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		h.probers.behind(ALB())
		for range 2 {
			probe(t, h.Ready(), "/", "10.0.16.5")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		h.Drain()
		began := time.Now()
		for range 2 { // the second node's first failing answer is none of the first one's
			probe(t, h.Ready(), "/", "10.0.16.5")
		}
		why := h.awaitProbers(t.Context(), ALB())
		assert.GreaterOrEqual(t, time.Since(began), 15*time.Second, why)
	})
}

func TestDetailsSpeakOfProbesThroughAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		alb := ALB()
		h.profile.Store(&alb)
		h.probers.behind(alb)
		relay(h)
		f := h.foresee()
		assert.Equal(t, 20*time.Second, f.needs)
		assert.Contains(t, strings.Join(f.advice, "\n"), "asked for through a proxy")
	})
}

// Two nodes behind one address look like one that asks twice as often.
func TestProbersThatShareAnAddress(t *testing.T) {
	for shared, want := range map[bool]time.Duration{false: 10 * time.Second, true: 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			h := &Health{logTo: new(logLines).logger()}
			p := ALB()
			p.SharedAddress = shared
			h.probers.behind(p)
			for range 10 {
				time.Sleep(5 * time.Second)
				probe(t, h.Ready(), "/", "10.0.16.5")
			}
			h.Drain()
			began := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				for ctx.Err() == nil {
					time.Sleep(5 * time.Second)
					probe(t, h.Ready(), "/", "10.0.16.5")
				}
			}()
			h.awaitProbers(t.Context(), p)
			assert.InDelta(t, want.Seconds(), time.Since(began).Seconds(), 1.1, shared)
			cancel()
			time.Sleep(6 * time.Second)
		})
	}
}
