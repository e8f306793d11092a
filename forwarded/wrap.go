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
//
// The Info lives in the context: a request that is made anew with that context
// and sent through Wrap again is taken for one that has passed it, and one
// whose context was replaced is resolved anew.
func (p *Policy) Wrap(next http.Handler) http.Handler {
	if p == nil {
		panic("forwarded: Wrap of a nil *Policy; the zero Policy believes nobody")
	}
	return &handler{policy: p, next: next}
}

type handler struct {
	policy *Policy
	next   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	outer, prefix := carriedOrPrefix(r)
	if outer != nil {
		if t := h.policy.load(); outer.topo.limits != t.limits {
			t.warnNested(outer.walk.info.Peer.Addr())
		}
		h.next.ServeHTTP(w, r)
		return
	}
	c := &carrier{Context: r.Context(), topo: h.policy.load(), orig: r}
	in := reader{header: r.Header}
	c.topo.resolve(r, &c.walk, &in, nil)
	c.walk.info.Prefix += prefix
	seen := c.topo.scan(r, &c.walk)
	c.report(&in, &seen)
	if why := c.refuses(&seen); why != "" {
		w.Header().Set("Cache-Control", "private, no-store")
		http.Error(w, why, http.StatusBadRequest)
		return
	}
	c.req = *r.WithContext(c)
	if seen.drop > 0 || in.leftovers() {
		c.req.Header = c.topo.cleaned(r.Header, &c.walk)
	}
	c.finish()
	defer c.returnForm()
	h.next.ServeHTTP(w, &c.req)
}

// report tells those who want to know what was found.
func (c *carrier) report(in *reader, seen *sighting) {
	if set := c.topo.warnings(c.orig, &c.walk, in, seen); set != 0 {
		c.topo.warn(c.orig, &c.walk, in, set)
	}
	if c.topo.cfg.OnResult != nil {
		c.topo.cfg.OnResult(c.orig, c.walk.info)
	}
}

// refuses names the reason for a 400, or "".
func (c *carrier) refuses(seen *sighting) string {
	switch {
	case seen.hostDiffers:
		return "Bad Request: the Host header contradicts :authority"
	case c.topo.cfg.RejectUnknown && c.walk.info.Status == StatusUnknown:
		return "Bad Request: the client's address could not be established"
	}
	return ""
}

// finish changes what few requests and Policies need changed.
func (c *carrier) finish() {
	if c.orig.Trailer != nil {
		c.topo.cleanTrailer(&c.req)
	}
	if c.topo.cfg.RewriteRemoteAddr {
		c.req.RemoteAddr = remoteAddr(c.walk.info)
	}
}

// returnForm gives a form that was parsed from the copy back to the request
// that net/http made: it removes temporary files of its own request only.
func (c *carrier) returnForm() {
	if c.orig.MultipartForm == nil {
		c.orig.MultipartForm = c.req.MultipartForm
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
