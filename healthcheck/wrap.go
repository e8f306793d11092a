package healthcheck

import "net/http"

// Wrap answers probes and hands everything else on, unchanged, to next; only a
// request that calls itself a health checker gets a ResponseWriter of ours, with
// Unwrap. It belongs outermost: nothing that redirects, logs, refuses unknown hosts or
// asks who somebody is may stand before it.
//
// A probe is told by its exact path, and by nothing that a client writes
// besides: whoever sends a balancer's User-Agent gets no further than others.
// GET and HEAD get the answer, OPTIONS its status, other methods a 405. On the
// three paths of gRPC only calls of gRPC are answered.
func (h *Health) Wrap(next http.Handler) http.Handler {
	if h == nil {
		panic("healthcheck: Wrap of a nil *Health; the zero Health is live and ready")
	}
	if next == nil {
		panic("healthcheck: Wrap of a nil handler; " + noHandler)
	}
	return &handler{health: h, paths: h.paths.filled(), next: next}
}

type handler struct {
	health *Health
	paths  Paths
	next   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch end, rpc := h.paths.asked(r); {
	case end == endNone:
		h.health.watchOthers(h.next, w, r)
	case rpc:
		h.health.answerGRPC(w, r, end)
	default:
		h.health.answer(w, r, end)
	}
}

// asked is what a request asks for that Wrap answers, over gRPC or not.
func (p *Paths) asked(r *http.Request) (end endpoint, rpc bool) {
	if end = p.endpoint(r.URL); end == endNone && r.ProtoMajor == 2 && isGRPC(r) {
		return grpcEndpoint(r.URL.Path), true
	}
	return end, false
}

// isProbe returns a function that reports whether Wrap answers a request
// itself.
func (h *Health) isProbe() func(*http.Request) bool {
	paths := h.paths.filled()
	return func(r *http.Request) bool {
		end, _ := paths.asked(r)
		return end != endNone
	}
}

// Ready answers 200 while the service takes requests and 503 when it does not,
// like the paths /healthz and /readyz under [Health.Wrap], wherever it is
// mounted.
func (h *Health) Ready() http.Handler { return h.only(endReady) }

// Live answers 200 unless a [Watchdog] heartbeat is missing, also during a
// drain: a process that leaves must not be killed for it.
func (h *Health) Live() http.Handler { return h.only(endLive) }

// Startup answers 200 once every [Startup] check has passed.
func (h *Health) Startup() http.Handler { return h.only(endStartup) }

func (h *Health) only(end endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.answer(w, r, end) })
}
