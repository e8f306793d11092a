package healthcheck

import (
	"context"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knownhops/knownhops/internal/family"
)

// settle is how often a drain looks whether the traffic has ended.
const settle = 50 * time.Millisecond

// traffic is what goes on at the servers that are drained together: which
// requests are being answered, which connections are open, and when the last
// request came. Its methods may be called concurrently.
type traffic struct {
	health *Health
	probe  func(*http.Request) bool // asks for health, as probers do when clients have long gone

	mu       sync.Mutex
	requests map[*http.Request]exchange
	conns    map[net.Conn]*connection
	last     time.Time // when a client's request was answered
	stopping bool      // the shutdown has begun
	dropped  int       // requests that came too late for it
}

// exchange is a request that is being answered. It has copies: handlers may
// change the request.
type exchange struct {
	method, path string
	began        time.Time
	probe        bool
	probes       uint64 // answered on its connection before
}

// connection is an open connection that is still the server's.
type connection struct {
	unheard bool // a request was read from it, which no handler has seen yet

	probes atomic.Uint64 // that were answered on it
}

// probesOn is how many probes were answered on a request's connection.
func probesOn(r *http.Request) uint64 {
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		return conn.probes.Load()
	}
	return 0
}

// countProbe notes on its connection that a request is a probe. One that was
// handed on is a client's.
func countProbe(r *http.Request) {
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok && !family.In(r.Header) {
		conn.probes.Add(1)
	}
}

// connectionKey is where a request's context has its connection.
type connectionKey struct{}

func newTraffic(h *Health) *traffic {
	return &traffic{
		health:   h,
		probe:    h.isProbe(),
		requests: make(map[*http.Request]exchange),
		conns:    make(map[net.Conn]*connection),
		last:     time.Now(),
	}
}

// watch makes a server report its connections here; what it reported to before
// hears of them as well.
func (t *traffic) watch(srv *http.Server) {
	observer, context := srv.ConnState, srv.ConnContext
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		t.connState(c, state)
		if observer != nil {
			observer(c, state)
		}
	}
	srv.ConnContext = t.connContext(context)
}

// connContext puts the connection into the context of its requests, so that
// the one can be told from the other.
func (t *traffic) connContext(inner func(context.Context, net.Conn) context.Context) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, c net.Conn) context.Context {
		if inner != nil {
			ctx = inner(ctx, c)
		}
		if ctx == nil {
			return nil // net/http is about to complain
		}
		if !isKey(c) {
			return ctx
		}
		state := new(connection)
		t.mu.Lock()
		t.conns[c] = state
		t.mu.Unlock()
		return context.WithValue(ctx, connectionKey{}, state)
	}
}

// isKey reports whether a connection can be told from others. One of a type that
// cannot be compared is legal, and left alone.
func isKey(c net.Conn) bool { return reflect.TypeOf(c).Comparable() }

// connState follows one connection. net/http reports it active when it has
// read a request and before it looks whether a shutdown has begun; a
// connection that ends between the two has lost that request.
func (t *traffic) connState(c net.Conn, state http.ConnState) {
	if !isKey(c) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	conn := t.conns[c]
	if conn == nil {
		return
	}
	switch state {
	case http.StateActive:
		conn.unheard = true
	case http.StateIdle:
		conn.unheard = false
	case http.StateClosed, http.StateHijacked:
		delete(t.conns, c)
		if conn.unheard && t.stopping {
			t.dropped++
		}
	}
}

// count notes the requests that a handler is answering.
func (t *traffic) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.enter(r)
		defer t.leave(r)
		if !t.probe(r) {
			defer t.health.probers.sawOther(r, probesOn(r))
		}
		next.ServeHTTP(w, r)
	})
}

// enter notes a request. One for health that carries a forwarding header was
// sent by a client and handed on by a balancer, so it shows that the balancer
// still sends requests here.
func (t *traffic) enter(r *http.Request) {
	x := exchange{method: r.Method, path: r.URL.Path, began: time.Now(), probes: probesOn(r), probe: t.probe(r) && !family.In(r.Header)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests[r] = x
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		conn.unheard = false
	}
}

// leave notes that a request was answered; one that a handler of ours answered as
// a probe, wherever it was mounted, is no client's.
func (t *traffic) leave(r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.requests[r]; !x.probe && probesOn(r) == x.probes {
		t.last = time.Now()
	}
	delete(t.requests, r)
}

// stop says that the shutdown begins.
func (t *traffic) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopping = true
}

// idle reports whether no request is being answered.
func (t *traffic) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.requests) == 0
}

// calm reports whether nobody seems to send requests here any more: none is
// being answered, and none came for the time given. Where no connection is
// open either, a tenth of it is enough: what a balancer had already begun to
// send here when it took the server out has arrived by then.
func (t *traffic) calm(quiet time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.conns) == 0 {
		quiet /= 10
	}
	return len(t.requests) == 0 && time.Since(t.last) >= quiet
}

// await looks again and again until something is so, or the context ends.
func await(ctx context.Context, so func() bool) bool {
	for !so() {
		select {
		case <-ctx.Done():
			return so()
		case <-time.After(settle):
		}
	}
	return true
}

// inFlight returns the requests that are being answered, oldest first.
func (t *traffic) inFlight() []LostRequest {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []LostRequest
	for _, x := range t.requests {
		list = append(list, LostRequest{Method: x.method, Path: x.path, Age: time.Since(x.began)})
	}
	slices.SortFunc(list, func(a, b LostRequest) int { return int(b.Age - a.Age) })
	return list
}

// tooLate is how many requests came after the shutdown had begun.
func (t *traffic) tooLate() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// open is how many connections are open.
func (t *traffic) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}
