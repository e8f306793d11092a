//go:build linux

package peers

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/healthcheck"
)

// startHealth serves until the returned function ends it, which returns how long the drain took.
func startHealth(t *testing.T, h *healthcheck.Health, app http.Handler, p healthcheck.Profile) (addr string, end func() time.Duration) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	srv := healthcheck.NewServer("", h.Wrap(app), p)
	go func() {
		done <- healthcheck.ServeAll(ctx, h, healthcheck.Endpoint{Server: srv, Listeners: []net.Listener{ln}})
	}()
	end = func() time.Duration {
		began := time.Now()
		cancel()
		require.NoError(t, <-done)
		return time.Since(began)
	}
	return ln.Addr().String(), end
}

// plainHealth is a Health without checks that logs to the test.
func plainHealth(t *testing.T, checks ...healthcheck.Check) *healthcheck.Health {
	t.Helper()
	h, err := healthcheck.New(healthcheck.Config{Checks: checks, Logger: quietLogger()})
	require.NoError(t, err)
	return h
}

// Two probers behind one address that ask at the same moment, as the nodes of a balancer do behind a NAT when a target
// is registered, are still there a moment later, although they asked within a millisecond.
func TestProbersThatBeginTogether(t *testing.T) {
	p := healthcheck.Profile{Name: "two nodes", ProbeInterval: time.Second, Wait: 600 * time.Millisecond, Quiet: 10 * time.Millisecond}
	addr, end := startHealth(t, plainHealth(t), http.NotFoundHandler(), p)
	for range 2 {
		require.Equal(t, 200, probeOnce(t, "http://"+addr+"/healthz"))
	}
	time.Sleep(100 * time.Millisecond)
	require.GreaterOrEqual(t, end(), p.Wait, "nobody has had a failing answer")
}

// probeOnce asks as a kubelet does: a connection for each probe, and its User-Agent.
func probeOnce(t *testing.T, url string) int {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       exchangeTime,
	}
	r, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header.Set("User-Agent", "kube-probe/1.37")
	r.Header.Set("Accept", "*/*")
	resp, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}
