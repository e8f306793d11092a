package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy/albtest"
)

// A process is one instance of a service, as it runs behind a balancer: its own
// Health, its own server, its own signals.
type process struct {
	health  *Health
	profile Profile
	naive   bool // ends as many programs do: Shutdown at the signal, and nothing before it
	signals chan os.Signal
	done    chan error
}

func newProcess(p Profile) *process {
	quiet := Must(New(Config{Logger: slog.New(slog.DiscardHandler)}))
	return &process{health: quiet, profile: p, signals: make(chan os.Signal, 2), done: make(chan error, 1)}
}

// serve is the process's main; it returns when the process ends.
func (p *process) serve(l net.Listener) {
	srv := NewServer("", p.health.Wrap(http.HandlerFunc(work)), p.profile)
	if p.naive {
		p.done <- p.serveNaively(srv, l)
		return
	}
	p.done <- serveAll(context.Background(), p.signals, p.health, []Endpoint{{Server: srv, Listeners: []net.Listener{l}}})
}

func (p *process) serveNaively(srv *http.Server, l net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case <-p.signals:
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return srv.Shutdown(ctx)
	case err := <-ended:
		return errors.Join(err, srv.Close())
	}
}

// work is the service: it takes some time over what it is sent, and sends it back.
func work(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(body) > 0 {
		time.Sleep(time.Duration(body[len(body)-1]) * time.Millisecond)
	}
	w.Write(body)
}

// A load sends requests at random moments, and counts those that fail. They
// are POSTs whose bodies cannot be sent twice, so that nobody repeats them.
type load struct {
	client *http.Client
	url    string
	rate   int // requests a second
	random *rand.Rand

	requests sync.WaitGroup
	mu       sync.Mutex
	sent     int
	failed   []string
}

func newLoad(client *http.Client, url string) *load {
	return &load{client: client, url: url, rate: loadRate, random: rand.New(rand.NewPCG(5, 2026))}
}

// run sends until the context ends, and waits for the answers.
func (l *load) run(ctx context.Context) {
	defer l.requests.Wait()
	for ctx.Err() == nil {
		time.Sleep(time.Duration(l.random.ExpFloat64() / float64(l.rate) * float64(time.Second)))
		body := fmt.Sprintf("%d/%c", l.sent, byte(1+l.random.IntN(40)))
		l.sent++
		l.requests.Go(func() {
			if err := l.send(body); err != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.failed = append(l.failed, err.Error())
			}
		})
	}
}

func (l *load) send(body string) error {
	resp, err := l.client.Post(l.url, "text/plain", io.LimitReader(strings.NewReader(body), int64(len(body))))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || string(got) != body {
		return fmt.Errorf("%s for %q: %q, %v", resp.Status, body, got, err)
	}
	return nil
}

// A fleet is a number of processes behind an emulated ALB.
type fleet struct {
	t       *testing.T
	alb     *albtest.Server
	group   *albtest.TargetGroupHandle
	profile Profile
	naive   bool
	mu      sync.Mutex
	running map[string]*process // by target
}

// newFleet starts the processes and waits until they are healthy, and until
// the probers' intervals are known.
func newFleet(t *testing.T, size int, profile Profile, check albtest.HealthCheck, stragglers int) *fleet {
	return newFleetOf(t, size, profile, check, stragglers, false)
}

func newFleetOf(t *testing.T, size int, profile Profile, check albtest.HealthCheck, stragglers int, naive bool) *fleet {
	f := &fleet{t: t, profile: profile, naive: naive, running: make(map[string]*process)}
	check.Path, check.HealthyThreshold = "/healthz", 2
	group := albtest.TargetGroup{HealthCheck: check, Stragglers: stragglers}
	for i := range size {
		group.Targets = append(group.Targets, f.target(i))
	}
	f.alb = albtest.Start(t, albtest.Config{
		InMemory:     true,
		TargetGroups: map[string]albtest.TargetGroup{"app": group},
		Listeners:    []albtest.Listener{{Port: 80, Default: albtest.ForwardTo("app")}},
	})
	f.group = f.alb.TargetGroup("app")
	time.Sleep(2*check.Interval + check.Interval/2)
	return f
}

// target is a machine on which a process starts whenever it is switched on. The
// process takes the listener that the emulator made: the server that was to
// have it asks for its BaseContext first, and gets that when the process ends.
func (f *fleet) target(i int) albtest.Target {
	ip := netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + i)})
	return albtest.Target{
		Handler: http.NotFoundHandler(), IP: ip,
		Configure: func(srv *http.Server) {
			p := newProcess(f.profile)
			p.naive = f.naive
			f.mu.Lock()
			defer f.mu.Unlock()
			f.running[f.name(i)] = p
			srv.BaseContext = func(l net.Listener) context.Context {
				p.serve(l)
				return context.Background()
			}
		},
	}
}

func (f *fleet) name(i int) string { return fmt.Sprintf("198.51.100.%d:80", 1+i) }

func (f *fleet) process(name string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[name]
}

// terminate signals a process, waits for its end, and returns how long that took.
func (f *fleet) terminate(name string) time.Duration {
	began := time.Now()
	p := f.process(name)
	p.signals <- syscall.SIGTERM
	err := <-p.done
	if !f.naive {
		assert.NoError(f.t, err, "a drain that lost nothing")
	}
	return time.Since(began)
}

// restart is a deploy on the machine itself: the balancer is told nothing.
func (f *fleet) restart(name string) time.Duration {
	took := f.terminate(name)
	require.NoError(f.t, f.group.Kill(name))
	require.NoError(f.t, f.group.Revive(name))
	return took
}

// add registers a new process and waits until it is healthy.
func (f *fleet) add(i int) {
	_, err := f.group.Register(f.target(i))
	require.NoError(f.t, err)
	f.waitHealthy(f.name(i))
}

func (f *fleet) waitHealthy(name string) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Minute)
	defer cancel()
	require.NoError(f.t, f.group.Wait(ctx, albtest.Healthy, name))
}

// under runs a deploy under load, and returns the load when it has ended.
func (f *fleet) under(deploy func()) *load {
	l := newLoad(f.alb.Client(), f.alb.HTTPURL+"/orders")
	ctx, stop := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx) })
	time.Sleep(time.Second)
	deploy()
	time.Sleep(time.Second)
	stop()
	running.Wait()
	return l
}

// poll asks for health through the balancer, ten times a second, as somebody
// would who wants the drain to end early.
func (f *fleet) poll() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var polling sync.WaitGroup
	client := f.alb.ClientFrom(netip.MustParseAddr("192.0.2.66"))
	polling.Go(func() {
		for ctx.Err() == nil {
			if resp, err := client.Get(f.alb.HTTPURL + "/healthz"); err == nil {
				resp.Body.Close()
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	return func() { cancel(); polling.Wait() }
}

// nothingLost asserts that a load met no deploy.
func nothingLost(t *testing.T, l *load) {
	t.Helper()
	assert.Greater(t, l.sent, 2*loadRate)
	assert.Empty(t, l.failed, "of %d", l.sent)
}

// fast is how a target group should check: every 5 s.
func fast() albtest.HealthCheck {
	return albtest.HealthCheck{Interval: 5 * time.Second, Timeout: 2 * time.Second}
}

// TestDeployZeroLossHealthOnly: a restart on the machine itself, of which the
// balancer learns from its health checks alone.
func TestDeployZeroLossHealthOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, ALB(), fast(), 0)
		nothingLost(t, f.under(func() {
			assert.Less(t, f.restart(f.name(0)), 16*time.Second)
		}))
		f.waitHealthy(f.name(0))
	})
}

// TestDeployZeroLossByThePreset: with the interval that the preset expects, the
// drain ends within what ECS waits by default.
func TestDeployZeroLossByThePreset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ALB()
		f := newFleet(t, 2, p, albtest.HealthCheck{Interval: p.ProbeInterval, Timeout: 5 * time.Second}, 0)
		nothingLost(t, f.under(func() {
			assert.Less(t, f.terminate(f.name(0)), p.KillBudget-p.shutdown())
		}))
	})
}

// TestDeployNaiveLoses is the control of all the others: without the drain the
// same deploy loses requests, so a load that loses none means something.
func TestDeployNaiveLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetOf(t, 2, ALB(), fast(), 0, true)
		l := f.under(func() {
			assert.Less(t, f.terminate(f.name(0)), time.Second)
			time.Sleep(12 * time.Second)
		})
		assert.Greater(t, len(l.failed), loadRate/2, "of %d", l.sent)
	})
}

// TestDeployZeroLossECS: a new task is registered, and the old one is
// deregistered in the moment in which it gets its signal; some requests still
// come, since the nodes learn of it one after another.
func TestDeployZeroLossECS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, ALB(), fast(), 50)
		nothingLost(t, f.under(func() {
			f.add(2)
			require.NoError(t, f.group.Deregister(f.name(0)))
			f.terminate(f.name(0))
		}))
	})
}

// TestDeployZeroLossECSSpot: the signal comes first, and the balancer is told
// two seconds later.
func TestDeployZeroLossECSSpot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, ALB(), fast(), 50)
		nothingLost(t, f.under(func() {
			told := time.AfterFunc(2*time.Second, func() { assert.NoError(t, f.group.Deregister(f.name(0))) })
			defer told.Stop()
			f.terminate(f.name(0))
		}))
	})
}

// TestDeployZeroLossSlowInterval: the balancer asks less than half as often as the
// profile says; what was observed counts, within the cap.
func TestDeployZeroLossSlowInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ALB()
		p.ProbeInterval, p.Wait, p.KillBudget = 5*time.Second, 60*time.Second, 120*time.Second
		f := newFleet(t, 2, p, albtest.HealthCheck{Interval: 12 * time.Second, Timeout: 2 * time.Second}, 0)
		nothingLost(t, f.under(func() {
			assert.Greater(t, f.terminate(f.name(0)), 12*time.Second)
		}))
	})
}

// TestDeployZeroLossSingleTargetFailOpen: the only target leaves, so that the
// balancer sends it requests although it is unhealthy, until the new one is
// healthy.
func TestDeployZeroLossSingleTargetFailOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ALB()
		p.Wait, p.KillBudget = 40*time.Second, 60*time.Second
		f := newFleet(t, 1, p, fast(), 0)
		nothingLost(t, f.under(func() {
			late := time.AfterFunc(12*time.Second, func() { f.add(1) })
			defer late.Stop()
			assert.Greater(t, f.terminate(f.name(0)), 12*time.Second, "the drain went on while requests came")
		}))
	})
}

// TestDeployZeroLossWhileSomebodyPolls: asking for health through the balancer
// gets the same answer as the balancer, but nobody is a prober by that.
func TestDeployZeroLossWhileSomebodyPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, ALB(), fast(), 0)
		defer f.poll()()
		time.Sleep(5 * time.Second)
		nothingLost(t, f.under(func() {
			assert.Greater(t, f.terminate(f.name(0)), 5*time.Second)
		}))
	})
}
