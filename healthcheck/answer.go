package healthcheck

import (
	"io"
	"net/http"
	"time"
)

// An endpoint is a question that probes ask.
type endpoint uint8

const (
	endNone endpoint = iota
	endReady
	endLive
	endStartup
	endRPCCheck // grpc.health.v1.Health/Check
	endRPCWatch
	endRPCALB // what ALB asks of gRPC target groups unless it is told otherwise
	endpoints
)

var endpointNames = [endpoints]string{endReady: "ready", endLive: "live", endStartup: "startup", endRPCCheck: "grpc", endRPCWatch: "grpc_watch", endRPCALB: "grpc_alb"}

// A verdict is one of the three answers that a probe may get.
type verdict uint8

const (
	verdictOK verdict = iota
	verdictUnavailable
	verdictDraining
)

// answer is the verdict as constants, so that no probe costs more than
// another, and none learns anything but the verdict.
func (v verdict) answer() (code int, body, length string) {
	switch v {
	case verdictOK:
		return http.StatusOK, "ok\n", "3"
	case verdictDraining:
		return http.StatusServiceUnavailable, "draining\n", "9"
	}
	return http.StatusServiceUnavailable, "unavailable\n", "12"
}

// state is what probes read. It is immutable.
type state struct {
	ready, live, startup verdict
	changed              chan struct{} // closed when another state takes its place
}

func (s *state) verdict(end endpoint) verdict {
	switch {
	case s == nil:
		return verdictOK
	case end == endLive:
		return s.live
	case end == endStartup:
		return s.startup
	}
	return s.ready
}

// answer answers a probe over plain HTTP. The probe is noted down afterwards:
// when a drain learns of an answer, it is on its way.
func (h *Health) answer(w http.ResponseWriter, r *http.Request, end endpoint) {
	v := h.state.Load().verdict(end)
	code := reply(w, r.Method, v)
	h.counts.add(end, code)
	if end == endReady && code != http.StatusMethodNotAllowed {
		countProbe(r)
		h.probers.saw(r, code, time.Now())
	}
}

const allowed = "GET, HEAD, OPTIONS"

// reply writes a verdict. OPTIONS, which HAProxy may probe with, has no body
// and the same meaning.
func reply(w http.ResponseWriter, method string, v verdict) int {
	code, body, length := v.answer()
	switch method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		return replyOptions(w, code)
	default:
		code, body, length = http.StatusMethodNotAllowed, "method not allowed\n", "19"
		w.Header().Set("Allow", allowed)
	}
	lines := [...]string{"text/plain; charset=utf-8", length, "no-store", "nosniff"} // one allocation for all four
	header := w.Header()
	header["Content-Type"] = lines[0:1:1]
	header["Content-Length"] = lines[1:2:2]
	header["Cache-Control"] = lines[2:3:3]
	header["X-Content-Type-Options"] = lines[3:4:4]
	w.WriteHeader(code)
	if method != http.MethodHead {
		io.WriteString(w, body)
	}
	return code
}

func replyOptions(w http.ResponseWriter, code int) int {
	if code == http.StatusOK {
		code = http.StatusNoContent
	}
	w.Header().Set("Allow", allowed)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	return code
}
