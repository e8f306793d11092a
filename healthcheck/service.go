package healthcheck

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// service is one run of ServeAll.
type service struct {
	health    *Health
	endpoints []Endpoint
	profile   Profile
	traffic   *traffic
	log       *slog.Logger

	background sync.WaitGroup
	endChecks  context.CancelFunc
	checked    chan struct{} // closed when the checks have ended
	ended      chan error    // one from each listener that is served no more
	serving    atomic.Bool   // a server has begun to serve
	settled    chan struct{} // closed when the probers know that the service leaves
	failed     []error       // what ended before it was told to
}

// served is the handler that a service puts around a server's.
type served struct {
	next    http.Handler
	headers headerMeter
}

// ServeHTTP hands the request on, and measures what came of it.
func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path // the handler may change it
	s.next.ServeHTTP(w, r)
	s.headers.measure(w.Header(), path)
}

// newService prepares servers that listen already. What it puts around them
// has to be there before the first connection.
func newService(h *Health, endpoints []Endpoint) *service {
	s := &service{health: h, endpoints: endpoints, log: h.logger(), traffic: newTraffic(h), settled: make(chan struct{})}
	var profiles []Profile
	listeners := 0
	for _, e := range endpoints {
		listeners += len(e.Listeners)
		p, ok := carried(e.Server, e.Listeners[0])
		if !ok {
			p = ALB()
		}
		profiles = append(profiles, p)
		s.warn(e.Server, p)
		s.prepare(e.Server, p)
	}
	s.profile = patient(profiles)
	h.profile.Store(&s.profile)
	h.probers.behind(s.profile)
	s.ended = make(chan error, listeners)
	return s
}

// warn logs what Lint finds.
func (s *service) warn(srv *http.Server, p Profile) {
	for _, f := range Lint(srv, p) {
		s.log.Warn("healthcheck: "+f.Message, "code", f.Code, "field", f.Field, "fix", f.Fix)
	}
}

// prepare puts our handler around a server's, and watches its connections.
func (s *service) prepare(srv *http.Server, p Profile) {
	srv.Handler = &served{
		next:    cutStalls(srv, p.stall(), s.traffic.count(inBand(s.health.Draining(), s.settled, srv.Handler))),
		headers: headerMeter{limit: p.MaxResponseHeaderBytes, name: p.name(), log: s.log},
	}
	s.traffic.watch(srv)
	s.noticeServing(srv)
}

// run serves until something says that it is enough, and drains.
func (s *service) run(ctx context.Context, signals <-chan os.Signal) error {
	patience, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	first := make(chan os.Signal, 1)
	s.background.Go(func() { tell(background, signals, first, cut) })
	s.check(background)
	s.start()

	why, open := s.until(ctx, first)
	lost := s.end(patience, why, open)
	end()
	s.background.Wait()
	return s.verdict(lost)
}

// check runs the checks until their part is over: as long as the service may
// still answer probes. Its user may run them already, which is as good.
func (s *service) check(ctx context.Context) {
	ctx, s.endChecks = context.WithCancel(ctx)
	s.checked = make(chan struct{})
	go func() {
		defer close(s.checked)
		if err := s.health.Run(ctx); err != nil && !errors.Is(err, errRunning) {
			s.log.Error("healthcheck: the checks do not run", "error", err)
		}
	}()
}

// start serves every listener. Whether a server speaks TLS is decided before the
// first one: serving gives it a TLSConfig for HTTP/2.
func (s *service) start() {
	for _, e := range s.endpoints {
		serve := e.Server.Serve
		if e.Server.TLSConfig != nil {
			serve = func(l net.Listener) error { return e.Server.ServeTLS(l, "", "") }
		}
		for _, l := range e.Listeners {
			s.background.Go(func() {
				err := serve(l)
				_ = l.Close() // ServeTLS leaves it open if there is no certificate
				s.ended <- err
			})
		}
	}
}

var errUsedServer = errors.New("healthcheck: the server was shut down before it was served, and net/http serves a server once: make a new one")

// noticeServing has a server say that it serves: net/http asks for the base
// context after it has seen that the server was not shut down.
func (s *service) noticeServing(srv *http.Server) {
	inner := srv.BaseContext
	srv.BaseContext = func(l net.Listener) context.Context {
		s.serving.Store(true)
		if inner != nil {
			return inner(l)
		}
		return context.Background()
	}
}

// until waits for a reason to end. It also reports whether the ports are still
// open, so that there is something to drain.
func (s *service) until(ctx context.Context, first <-chan os.Signal) (why string, open bool) {
	select {
	case <-ctx.Done():
		return context.Cause(ctx).Error(), true
	case sig := <-first:
		return sig.String(), true
	case err := <-s.ended:
		switch {
		case !errors.Is(err, http.ErrServerClosed):
			s.failed = append(s.failed, err)
		case !s.serving.Load():
			s.failed = append(s.failed, errUsedServer)
		}
		return err.Error(), cap(s.ended) > 1
	}
}

// end drains and stops the servers.
func (s *service) end(patience context.Context, why string, open bool) *LostError {
	began := time.Now()
	s.log.Info("healthcheck: the drain begins", "why", why, "connections", s.traffic.open())
	s.health.latch()
	go s.health.tell() // OnTransition may take its time
	if open {
		s.leave(patience)
	}
	lost := s.stop(patience)
	if lost == nil {
		s.log.Info("healthcheck: the drain is over, and nothing was lost", "took", time.Since(began).Round(time.Millisecond))
	} else {
		s.log.Error(lost.Error(), "took", time.Since(began).Round(time.Millisecond))
	}
	return lost
}

// verdict is what Serve returns.
func (s *service) verdict(lost *LostError) error {
	for len(s.ended) > 0 {
		if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
			s.failed = append(s.failed, err)
		}
	}
	if lost != nil {
		s.failed = append(s.failed, lost)
	}
	if len(s.failed) == 1 {
		return s.failed[0]
	}
	return errors.Join(s.failed...)
}
