package healthcheck

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/knownhops/knownhops/internal/family"
)

// maxHints is how many kinds of mis-aimed probes are remembered.
const maxHints = 16

// maxPathShown is how much of a path is shown.
const maxPathShown = 128

// agents is how probers call themselves in User-Agent. It is for hints only:
// what anybody can write opens nothing.
var agents = [...]string{"ELB-HealthChecker/", "GoogleHC/", "kube-probe/", "Amazon-Route53-Health-Check-Service", "Consul Health Check", "Envoy/HC"}

// A Hint is a kind of probe that asks at a path which is none of ours, so that
// the application answered it.
type Hint struct {
	Agent string // as it calls itself; for people to read, anybody can write it
	Peer  string // the address of the first one
	Path  string
	Code  int // of the last answer
	Count uint64
	Last  time.Time
}

// String says what to change.
func (h Hint) String() string {
	return fmt.Sprintf("%s from %s probes %q, which the application answered with %d", h.Agent, h.Peer, h.Path, h.Code)
}

// hints remembers mis-aimed probes. The zero value is ready for use,
// concurrently too.
type hints struct {
	mu   sync.Mutex
	list []Hint
}

// watchOthers hands a request on that is no probe by its path. What calls
// itself a probe is looked after: a balancer that probes "/" and gets a redirect
// takes the target for a sick one, and nobody sees why.
func (h *Health) watchOthers(next http.Handler, w http.ResponseWriter, r *http.Request) {
	defer h.probers.sawOther(r, probesOn(r))
	if !looksLikeProbe(r) {
		next.ServeHTTP(w, r)
		return
	}
	seen := &codeWriter{ResponseWriter: w, code: http.StatusInternalServerError} // what a panic comes to
	defer h.hint(r, r.URL.Path, seen)                                            // the handler may change the path
	next.ServeHTTP(seen, r)
	seen.returned()
}

// hint notes down a mis-aimed probe.
func (h *Health) hint(r *http.Request, path string, seen *codeWriter) {
	hint := Hint{Agent: strings.Clone(clip(r.UserAgent(), maxAgent)), Peer: "unix", Path: strings.Clone(clip(path, maxPathShown)), Code: seen.code, Last: time.Now()}
	if peer, ok := peerOf(r); ok {
		hint.Peer = peer.String()
	}
	if h.hints.add(hint) {
		h.logger().Warn("healthcheck: a probe asks where nothing is made for it", "hint", hint.String(), "fix", "set its path to "+h.paths.filled().Health)
	}
}

// looksLikeProbe reports whether a request calls itself a balancer's probe. A
// balancer hands the same words of a client on with forwarding headers.
func looksLikeProbe(r *http.Request) bool {
	agent := r.Header["User-Agent"]
	if len(agent) != 1 {
		return false
	}
	for _, known := range agents {
		if strings.HasPrefix(agent[0], known) {
			return !family.In(r.Header)
		}
	}
	return false
}

// add reports whether the hint is a new one.
func (h *hints) add(hint Hint) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.list {
		if old := &h.list[i]; old.Agent == hint.Agent && old.Path == hint.Path {
			old.Code, old.Last = hint.Code, hint.Last
			old.Count++
			return false
		}
	}
	if len(h.list) == maxHints {
		return false
	}
	hint.Count = 1
	h.list = append(h.list, hint)
	return true
}

func (h *hints) all() []Hint {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Hint(nil), h.list...)
}

// A codeWriter remembers the status.
type codeWriter struct {
	http.ResponseWriter
	code  int
	wrote bool
}

func (w *codeWriter) WriteHeader(code int) {
	if !w.wrote && code >= 200 {
		w.code, w.wrote = code, true
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write is here because it sends a status of 200 if there is none yet.
func (w *codeWriter) Write(p []byte) (int, error) {
	w.returned()
	w.wrote = true
	return w.ResponseWriter.Write(p)
}

// returned says that the handler did not panic.
func (w *codeWriter) returned() {
	if !w.wrote {
		w.code = http.StatusOK
	}
}

// Unwrap is for http.ResponseController.
func (w *codeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
