package forwarded

import (
	"net/http"
	"net/netip"
)

// Wrap resolves each request once, hands the Info on in the request's context
// (see From), and removes from the copy of the request that next gets every
// forwarding header that nobody vouched for, in headers and trailers. The
// caller's request is not changed, but for its MultipartForm, which is handed
// back so that net/http removes the form's temporary files.
//
// Wrap inside itself does nothing; inside another Policy it does nothing and
// warns. A well-formed request costs one allocation.
func (p *Policy) Wrap(next http.Handler) http.Handler {
	return &handler{policy: p, next: next}
}

type handler struct {
	policy *Policy
	next   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if outer := carried(r); outer != nil {
		if outer.policy != h.policy {
			h.policy.warnNested(outer)
		}
		h.next.ServeHTTP(w, r)
		return
	}
	c := &carrier{Context: r.Context(), policy: h.policy, topo: h.policy.load(), orig: r}
	c.topo.resolve(r, &c.walk, nil)
	seen := c.topo.scan(r, &c.walk)
	if warnings := c.topo.warnings(r, &c.walk, &seen); warnings != 0 {
		h.policy.warn(c.topo, r, &c.walk, &seen, warnings)
	}
	if c.topo.cfg.OnResult != nil {
		c.topo.cfg.OnResult(r, c.walk.info)
	}
	if why := c.refuse(&seen); why != "" {
		w.Header().Set("Cache-Control", "private, no-store")
		http.Error(w, why, http.StatusBadRequest)
		return
	}
	c.req = *r.WithContext(c)
	c.clean(&seen)
	defer c.returnForm()
	h.next.ServeHTTP(w, &c.req)
}

// refuse names the reason for a 400, or "".
func (c *carrier) refuse(seen *sighting) string {
	switch {
	case seen.hostDiffers:
		return "Bad Request: the Host header contradicts :authority"
	case c.topo.cfg.RejectUnknown && c.walk.info.Status == StatusUnknown:
		return "Bad Request: the client's address could not be established"
	}
	return ""
}

// returnForm gives a form that was parsed from the copy back to the request
// that net/http made: it removes temporary files of its own request only.
func (c *carrier) returnForm() {
	if c.orig.MultipartForm == nil {
		c.orig.MultipartForm = c.req.MultipartForm
	}
}

// clean makes the copy tell only what Info tells.
func (c *carrier) clean(seen *sighting) {
	if seen.drop > 0 || c.walk.more {
		c.req.Header = c.topo.cleaned(c.orig.Header, &c.walk)
	}
	if c.orig.Trailer != nil && !c.topo.cfg.DangerouslyKeepUnverified {
		c.topo.cleanTrailer(&c.req)
	}
	if c.topo.cfg.RewriteRemoteAddr {
		c.req.RemoteAddr = remoteAddr(c.walk.info)
	}
}

// remoteAddr never falls back to the peer: an unknown client must not get the
// identity of an internal address.
func remoteAddr(info Info) string {
	if !info.Client.IsValid() {
		return "unknown:0"
	}
	return netip.AddrPortFrom(info.Client, info.ClientPort).String()
}
