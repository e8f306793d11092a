package healthcheck

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A connectionBalancer passes connections to targets, as an NLB does: each new
// one goes to a target that is healthy, and those that stand go on. Its nodes
// ask each target for health.
type connectionBalancer struct {
	wire    *wire
	targets []string
	health  map[string]*int // failures in a row
	next    int
	mu      sync.Mutex
}

const (
	probeEvery = 5 * time.Second
	probeFails = 2
)

// probe asks one target for health until the context ends.
func (b *connectionBalancer) probe(ctx context.Context, from, target string) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return b.wire.dial(ctx, from, target)
		},
	}}
	for {
		resp, err := client.Get("http://" + target + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		b.mu.Lock()
		if err == nil && resp.StatusCode == 200 {
			*b.health[target] = 0
		} else {
			*b.health[target]++
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
		}
	}
}

// dial opens a connection for a client: to the next target that is healthy. The
// target sees the balancer, not the client.
func (b *connectionBalancer) dial(ctx context.Context, from string) (net.Conn, error) {
	target := b.pick()
	if target == "" {
		return nil, errors.New("no target is healthy")
	}
	return b.wire.dial(ctx, from, target)
}

func (b *connectionBalancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.targets {
		b.next++
		if target := b.targets[b.next%len(b.targets)]; *b.health[target] < probeFails {
			return target
		}
	}
	return ""
}

// client returns one whose connections go through the balancer.
func (b *connectionBalancer) client(from string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 50,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return b.dial(ctx, from)
		},
	}}
}

// deployOfOne stops one of two targets behind a connectionBalancer, under load.
// The balancer connects to targets with the address given for clients.
func deployOfOne(t *testing.T, clientsFrom string, visitor, naive bool) (l *load, took time.Duration) {
	b := &connectionBalancer{
		wire:    newWire(time.Millisecond),
		targets: []string{"198.51.100.1:80", "198.51.100.2:80"},
		health:  map[string]*int{"198.51.100.1:80": new(int), "198.51.100.2:80": new(int)},
	}
	var background sync.WaitGroup
	defer background.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := NLB()
	p.ProbeInterval = probeEvery
	processes := make([]*process, len(b.targets))
	for i, target := range b.targets {
		processes[i] = newProcess(p)
		processes[i].naive = naive
		background.Go(func() { processes[i].serve(b.wire.listen(target)) })
	}
	synctest.Wait()
	for _, target := range b.targets {
		background.Go(func() { b.probe(ctx, "10.0.16.9", target) })
	}
	if visitor {
		background.Go(func() { pollThrough(ctx, b.client(clientsFrom)) })
	}
	time.Sleep(13 * time.Second)

	l = newLoad(b.client(clientsFrom), "http://www.example.com/orders")
	loading, endLoad := context.WithCancel(ctx)
	background.Go(func() { time.Sleep(time.Second); took = processes[0].end(); time.Sleep(time.Second); endLoad() })
	l.run(loading)
	l.client.CloseIdleConnections()
	processes[1].end()
	return l, took
}

// end signals a process, and waits for its end.
func (p *process) end() time.Duration {
	began := time.Now()
	p.signals <- syscall.SIGTERM
	<-p.done
	return time.Since(began)
}

// pollThrough asks for health ten times a second.
func pollThrough(ctx context.Context, client *http.Client) {
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		if resp, err := client.Get("http://www.example.com/readyz"); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestDeployZeroLossL4: behind a balancer of connections, which has no reason to
// give up those that stand; the answers themselves end them.
func TestDeployZeroLossL4(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, took := deployOfOne(t, "203.0.113.10", false, false)
		nothingLost(t, l)
		assert.Less(t, took, 20*time.Second)
	})
}

// TestDeployL4NaiveLoses is its control.
func TestDeployL4NaiveLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := deployOfOne(t, "203.0.113.10", false, true)
		assert.NotEmpty(t, l.failed)
	})
}

// TestDeployZeroLossL4WhileSomebodyPolls: the balancer hides clients behind its
// own address, and one of them asks for health as fast as it can, so that the
// drain takes its answers for the prober's.
func TestDeployZeroLossL4WhileSomebodyPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, took := deployOfOne(t, "10.0.16.9", true, false)
		nothingLost(t, l)
		assert.GreaterOrEqual(t, took, probeFails*probeEvery)
	})
}
