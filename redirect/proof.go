package redirect

import (
	"sync/atomic"
	"time"
)

// proved is when https for a host last came in through a hop, as Unix seconds.
type proved = atomic.Int64

// proofTime is how long the Enforcer's own memory lasts: longer than the gaps
// between requests at night, shorter than a deleted balancer goes unnoticed.
const proofTime = time.Hour

// asksForProof reports whether anybody wants to know.
func (e *Enforcer) asksForProof() bool { return e.cfg.Proof != nil || e.cfg.RefuseWithoutProof }

// remember notes that https works on the way through the hops. A request that
// came in directly shows nothing: it may have used a certificate that nobody
// accepts.
func (e *Enforcer) remember(v *verdict) {
	if e.asksForProof() && v.info.Hops > 0 && v.site.proves != nil {
		v.site.proves.Store(time.Now().Unix())
	}
}

// proved reports whether a redirect to https leads somewhere, as far as it is
// asked.
func (e *Enforcer) proved(v *verdict) bool {
	if !e.asksForProof() {
		return true
	}
	if v.info.Hops > 0 && v.site.needs != nil {
		if at := v.site.needs.Load(); at != 0 && time.Since(time.Unix(at, 0)) < proofTime {
			return true
		}
	}
	return e.cfg.Proof != nil && e.cfg.Proof(v.info, v.site.host)
}
