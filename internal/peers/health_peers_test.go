//go:build linux

package peers

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/healthcheck"
	"github.com/knownhops/knownhops/internal/peers/cmd/probecost/contest"
)

// What is compared is the same: everybody answers that all is well, and has run the checks that it was given.
func TestProbeContestants(t *testing.T) {
	for _, c := range contest.All() {
		var runs atomic.Int64
		h, err := c.Start(t.Context(), func(context.Context) error { runs.Add(1); return nil })
		require.NoError(t, err, c.Name)
		addr := listenFront(t, "127.0.0.1:0", h, false)
		require.Equal(t, 200, probeOnce(t, "http://"+addr+"/"), c.Name)
		require.EqualValues(t, contest.Checks, runs.Load(), c.Name)
	}
}

// BenchmarkProbe is the cost of one probe, without a network. Program probecost makes a table of it.
func BenchmarkProbe(b *testing.B) {
	contestants := contest.All()
	if *reverse {
		slices.Reverse(contestants)
	}
	for _, c := range contestants {
		b.Run(c.Name, func(b *testing.B) {
			h, err := c.Start(b.Context(), func(context.Context) error { return nil })
			require.NoError(b, err)
			measureHandler(b, enforceCase{status: http.StatusOK}, enforcer{name: c.Name, handler: answers200(h), request: enforceCases()[0].request()})
		})
	}
}

// answers200 says so for handlers that leave it to net/http.
func answers200(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(*statusWriter).status = http.StatusOK
		h.ServeHTTP(w, r)
	})
}

// A checked service runs checks, and listens.
type checked struct {
	health *healthcheck.Health
	addr   string
	runs   *atomic.Int64
}

// startChecked serves with a Local check, which may take the service out, and returns once it has passed.
func startChecked(t *testing.T, every, timeout time.Duration, check func(context.Context) error) checked {
	t.Helper()
	c := checked{runs: new(atomic.Int64)}
	c.health = plainHealth(t, healthcheck.Check{
		Name: "disk", Kind: healthcheck.Local, Every: every, Timeout: timeout, Failures: 1, Successes: 1,
		Func: func(ctx context.Context) error { c.runs.Add(1); return check(ctx) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.health.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })
	c.addr = listenFront(t, "127.0.0.1:0", c.health.Wrap(http.NotFoundHandler()), false)
	c.becomes(t, true)
	return c
}

// startSlow is startChecked with a check whose second run and all later ones go on until a channel is closed. It returns
// while the second is under way.
func startSlow(t *testing.T, goOn <-chan struct{}) checked {
	t.Helper()
	var runs atomic.Int64
	c := startChecked(t, 50*time.Millisecond, exchangeTime, func(ctx context.Context) error {
		if runs.Add(1) == 1 {
			return nil
		}
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	require.Eventually(t, func() bool { return c.runs.Load() == 2 }, exchangeTime, time.Millisecond)
	return c
}

func (c checked) becomes(t *testing.T, ready bool) {
	t.Helper()
	require.Eventually(t, func() bool { return c.health.Snapshot().Ready == ready }, exchangeTime, time.Millisecond)
}

func (c checked) probe(t *testing.T) int {
	t.Helper()
	return probeOnce(t, "http://"+c.addr+"/healthz")
}

// Somebody who asks and hangs up, again and again and while a check is running, changes nothing for the next one, and
// makes no check run.
func TestProbeHangUp(t *testing.T) {
	goOn := make(chan struct{})
	c := startSlow(t, goOn)
	for range 300 {
		conn, err := net.Dial("tcp", c.addr)
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).SetLinger(0)) // the end is a reset
		require.NoError(t, conn.Close())
	}
	require.Equal(t, 200, c.probe(t))
	require.EqualValues(t, 2, c.runs.Load())
	close(goOn)
	require.Eventually(t, func() bool { return c.runs.Load() > 2 }, exchangeTime, time.Millisecond)
	require.Equal(t, 200, c.probe(t), "the check that was running has passed")
}

// A check that hangs, and does not listen to its context, is a failure at its time-out; probes do not wait for it, no
// second run joins it, and when it comes to its senses the service is ready again.
func TestProbeWhileACheckHangs(t *testing.T) {
	var hang atomic.Bool
	goOn := make(chan struct{})
	c := startChecked(t, 20*time.Millisecond, 100*time.Millisecond, func(context.Context) error {
		if hang.Load() {
			<-goOn
		}
		return nil
	})
	hang.Store(true)
	c.becomes(t, false)
	runs := c.runs.Load()
	require.Equal(t, 503, c.probe(t))
	time.Sleep(200 * time.Millisecond)
	require.Equal(t, runs, c.runs.Load(), "one run at a time")
	hang.Store(false)
	close(goOn)
	c.becomes(t, true)
	require.Equal(t, 200, c.probe(t))
}

// A check that panics is a check that fails.
func TestProbeWhileACheckPanics(t *testing.T) {
	var wrong atomic.Bool
	c := startChecked(t, 20*time.Millisecond, time.Second, func(context.Context) error {
		if wrong.Load() {
			panic("the disk is on fire")
		}
		return nil
	})
	wrong.Store(true)
	c.becomes(t, false)
	require.Equal(t, 503, c.probe(t))
	require.Equal(t, 200, probeOnce(t, "http://"+c.addr+"/livez"))
	require.NotZero(t, c.health.Snapshot().Checks[0].Panics)
	wrong.Store(false)
	c.becomes(t, true)
}

// 500 probes at once, while a check is running that takes long: none waits for it, and none makes one run.
func TestManyProbesAtOnce(t *testing.T) {
	c := startSlow(t, nil)
	transport := &http.Transport{MaxIdleConnsPerHost: 100, MaxConnsPerHost: 100}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: exchangeTime}
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			resp, err := client.Get("http://" + c.addr + "/healthz")
			if assert.NoError(t, err) {
				assert.Equal(t, 200, resp.StatusCode)
				assert.NoError(t, resp.Body.Close())
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 2, c.runs.Load())
}
