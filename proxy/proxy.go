package proxy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/knownhops/knownhops/forwarded"
)

// A Proxy is an http.Handler that takes requests to its upstreams. The zero
// Proxy answers 503. All methods may be called concurrently.
type Proxy struct {
	cfg     Config
	fleet   *fleet
	budget  *budget
	own     *transport   // nil: Config.Transport is not of this package
	made    bool         // own is for this Proxy alone
	handler http.Handler // serve, behind Config.Policy
	noisy   complaints

	retries atomic.Uint64
	active  sync.WaitGroup
	gate    sync.RWMutex // held for reading while a request enters
	closing bool
	tunnels tunnels
}

// To returns a Proxy for one upstream with every default: New(Config{Upstreams:
// []string{upstream}}).
func To(upstream string) (*Proxy, error) {
	return New(Config{Upstreams: []string{upstream}})
}

// New checks a Config, starts the active checks if there are any, and returns
// the Proxy. The error is a ConfigErrors with every mistake. Shutdown ends what
// New starts.
func New(cfg Config) (*Proxy, error) {
	made := cfg.Transport == nil
	ups, err := cfg.check()
	if err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, made: made, budget: newBudget(cfg.Retry.Budget, cfg.Retry.Burst)}
	p.own, _ = cfg.Transport.(*transport)
	for _, up := range ups {
		up.carrier = p.carrier(up)
	}
	p.handler = http.HandlerFunc(p.serve)
	if cfg.Policy != nil {
		p.handler = cfg.Policy.Wrap(p.handler)
	}
	p.fleet = newFleet(ups, &p.cfg)
	p.fleet.start()
	return p, nil
}

// Must returns p, or panics with the mistakes of the Config.
func Must(p *Proxy, err error) *Proxy {
	if err != nil {
		panic(err)
	}
	return p
}

func (p *Proxy) carrier(up *upstream) carrier {
	if p.own != nil {
		return p.own.carrier(up)
	}
	return &roundTrips{rt: p.cfg.Transport, up: up}
}

// ServeHTTP takes one request to an upstream and its answer back.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.handler == nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	if info := forwarded.From(r); info.Status == forwarded.StatusNone && info.Prefix != "" {
		r = r.WithContext(withPrefix(r.Context(), info.Prefix))
	}
	p.handler.ServeHTTP(w, r)
}

// prefixKey finds in a context the prefix that StripPrefix took off before any
// policy ran.
type prefixKey struct{}

// withPrefix keeps the prefix and forgets the Info that held nothing else.
func withPrefix(ctx context.Context, prefix string) context.Context {
	return context.WithValue(forwarded.NewContext(ctx, forwarded.Info{}), prefixKey{}, prefix)
}

// understood is what is known of a request that has come through Config.Policy,
// or another one further out, or none.
func understood(r *http.Request) forwarded.Info {
	info := forwarded.From(r)
	prefix, ok := r.Context().Value(prefixKey{}).(string)
	if info.Status == forwarded.StatusNone {
		if ok {
			local := r.Context().Value(http.LocalAddrContextKey)
			r = r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, local))
		}
		info = nobody.Resolve(r)
	}
	info.Prefix += prefix
	return info
}

// nobody is the policy of a Proxy that was given none.
var nobody forwarded.Policy

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	info := understood(r)
	r, cancel := p.withTotal(r)
	defer cancel()
	rc := http.NewResponseController(w)
	x := &exchange{p: p, w: w, r: r, rc: rc, info: info, patience: deadline{set: rc.SetWriteDeadline}}
	if p.cfg.Timeouts.Total > 0 {
		x.patience.limit, _ = r.Context().Deadline()
	}
	if !p.enter() {
		p.fail(x, &Error{Stage: StageSelect, reason: ReasonShuttingDown})
		return
	}
	defer p.active.Done()
	defer x.release()
	if e := x.run(); e != nil {
		p.fail(x, e)
	}
}

// enter counts a request in, unless Shutdown was called.
func (p *Proxy) enter() bool {
	p.gate.RLock()
	defer p.gate.RUnlock()
	if p.closing {
		return false
	}
	p.active.Add(1)
	return true
}

// Status is what the upstreams are doing. It is for the people who run the
// proxy, not for its clients: it shows internal addresses.
func (p *Proxy) Status() Status {
	if p.fleet == nil {
		return Status{}
	}
	s := Status{Upstreams: p.fleet.status(), Retries: p.retries.Load(), Tunnels: p.tunnels.count()}
	for _, up := range s.Upstreams {
		s.InFlight += up.InFlight
	}
	p.gate.RLock()
	s.Draining = p.closing
	p.gate.RUnlock()
	return s
}

// Shutdown ends the active checks, refuses new requests with 503, waits until
// those in flight and the tunnels have ended, and closes the unused connections.
// When ctx ends first, the tunnels are cut and its error is returned. Call it
// after http.Server.Shutdown, which does not know of tunnels.
func (p *Proxy) Shutdown(ctx context.Context) error {
	if p.fleet == nil {
		return nil
	}
	p.gate.Lock()
	p.closing = true
	p.gate.Unlock()
	p.fleet.stop()
	defer p.closeIdle()

	over := make(chan struct{})
	go func() { p.finish(); close(over) }()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		p.tunnels.cutAll()
		return ctx.Err()
	}
}

// finish waits for the last exchange and leaves no connection behind it.
func (p *Proxy) finish() {
	p.active.Wait()
	if p.made {
		p.own.sockets.cut()
	}
}

// closeIdle closes the unused connections. A transport that others use as well
// stays fit for use.
func (p *Proxy) closeIdle() {
	if p.made {
		p.own.close()
		return
	}
	if t, ok := p.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
