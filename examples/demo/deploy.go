package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/knownhops/knownhops/healthcheck"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// A deployment is what happens when one of two instances behind a balancer ends
// while requests come in, as at each deploy. It has a balancer of its own, which
// runs only as long as it lasts.
type deployment struct {
	naive    bool // the instance ends at once, as many programs do
	inMemory bool // in a testing/synctest bubble

	logs    logbook // of the instance that leaves
	leaving *healthcheck.Health

	mu       sync.Mutex
	step     string // what happens at the moment; "": it is over
	sent     int
	answered map[string]int // by which instance
	lost     []string       // what became of those that were not
	err      error
}

// perSecond is how many requests come.
const perSecond = 100

// instances are the addresses of the two, the leaving one first.
var instances = [2]netip.Addr{netip.MustParseAddr("10.0.24.11"), netip.MustParseAddr("10.0.40.12")}

func newDeployment(naive, inMemory bool) *deployment {
	d := &deployment{naive: naive, inMemory: inMemory, answered: make(map[string]int)}
	d.step = "two instances start"
	d.leaving = healthcheck.Must(healthcheck.New(healthcheck.Config{Logger: d.logs.logger()}))
	return d
}

// run takes about a quarter of a minute: two probes have to fail, and AWS permits
// one every five seconds.
func (d *deployment) run() {
	ctx, sigterm := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	group := group(albtest.Target{Handler: http.NotFoundHandler(), IP: instances[0], Configure: d.process(ctx, ended)})
	group.Targets = append(group.Targets, albtest.Target{Handler: new(healthcheck.Health).Wrap(work(instances[1])), IP: instances[1]})
	balancer, err := albtest.New(albtest.Config{
		InMemory: d.inMemory, ClientAddr: visitor,
		Listeners:    []albtest.Listener{{Port: 80, Default: albtest.ForwardTo("deploy")}},
		TargetGroups: map[string]albtest.TargetGroup{"deploy": group},
	})
	if err != nil {
		sigterm(err)
		d.over(err)
		return
	}
	defer balancer.Close()

	load, stop := context.WithCancel(context.Background())
	var requests sync.WaitGroup
	requests.Go(func() { d.load(load, balancer) })
	d.enter("requests come, and both instances answer")
	time.Sleep(time.Second)
	d.enter("instance " + instances[0].String() + " was told to end")
	sigterm(errors.New("as after SIGTERM"))
	err = <-ended
	d.enter("it has ended, and requests go on coming")
	if d.naive {
		time.Sleep(10 * time.Second) // until the balancer has noticed
	}
	time.Sleep(time.Second)
	stop()
	requests.Wait()
	d.over(err)
}

// process makes a server of albtest's hand its listener to one of ours, which
// drains when ctx ends.
func (d *deployment) process(ctx context.Context, ended chan<- error) func(*http.Server) {
	return func(theirs *http.Server) {
		theirs.BaseContext = func(l net.Listener) context.Context {
			profile := healthcheck.ALB()
			profile.ProbeInterval = 5 * time.Second
			ours := healthcheck.NewServer("", d.leaving.Wrap(work(instances[0])), profile)
			if d.naive {
				ended <- endAtOnce(ctx, ours, l)
			} else {
				ended <- healthcheck.ServeAll(ctx, d.leaving, healthcheck.Endpoint{Server: ours, Listeners: []net.Listener{l}})
			}
			return context.Background()
		}
	}
}

// endAtOnce is what many programs do: nobody is told, and the port is closed.
func endAtOnce(ctx context.Context, srv *http.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	<-ctx.Done()
	rest, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := srv.Shutdown(rest)
	<-served
	return err
}

// work takes a moment over each request.
func work(instance netip.Addr) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(5 * time.Millisecond)
		fmt.Fprint(w, instance)
	})
}

// load sends POSTs, which nobody may send twice, and notes who answered.
func (d *deployment) load(ctx context.Context, balancer *albtest.Server) {
	var under sync.WaitGroup
	defer under.Wait()
	client := balancer.Client()
	defer client.CloseIdleConnections()
	next := time.NewTicker(time.Second / perSecond)
	defer next.Stop()
	for ctx.Err() == nil {
		under.Go(func() { d.note(post(client, balancer.HTTPURL+"/orders")) })
		<-next.C
	}
}

// post returns the answer of an instance, or an error.
func post(client *http.Client, url string) (instance string, err error) {
	body := strings.NewReader("order")
	resp, err := client.Post(url, "text/plain", io.LimitReader(body, body.Size()))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(text), err
}

func (d *deployment) note(instance string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent++
	if err != nil {
		d.lost = append(d.lost, err.Error())
		return
	}
	d.answered[instance]++
}

func (d *deployment) enter(step string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step = step
	d.logs.logger().Info("demo: "+step, slog.Int("requests", d.sent), slog.Int("lost", len(d.lost)))
}

func (d *deployment) over(err error) {
	d.enter("it is over")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step, d.err = "", err
}

// A deployView is a deployment as the page shows it.
type deployView struct {
	Step     string // what happens at the moment; "": nothing
	Ran      bool
	Naive    bool
	Sent     int
	Lost     int
	Why      string // the last that was lost
	Leaver   string
	First    int // how many each instance answered
	Second   int
	Log      []string
	Mistaken string // why it could not run
}

// view may be asked of none.
func (d *deployment) view() *deployView {
	if d == nil {
		return &deployView{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	v := &deployView{
		Step: d.step, Ran: true, Naive: d.naive, Sent: d.sent, Lost: len(d.lost), Leaver: instances[0].String(),
		First: d.answered[instances[0].String()], Second: d.answered[instances[1].String()], Log: d.logs.with(""),
	}
	if v.Lost > 0 {
		v.Why = d.lost[v.Lost-1]
	}
	if d.err != nil {
		v.Mistaken = d.err.Error()
	}
	return v
}
