package redirect

import (
	"context"
	"net/http"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/family"
	"github.com/knownhops/knownhops/internal/unverified"
)

// understand finds out what is known about r. noPolicy: there are forwarding
// headers, and nobody has judged them. To believe them would be to believe
// anybody; to ignore them, and take the socket's word, would redirect for ever
// what a proxy sends over http. So the scheme is unknown then.
func (e *Enforcer) understand(r *http.Request) (info forwarded.Info, noPolicy bool) {
	info, ok := forwarded.FromContext(r.Context())
	if ok && info != (forwarded.Info{Prefix: info.Prefix}) {
		return info, false
	}
	if ok { // proxy.StripPrefix left its prefix before any policy ran
		prefix := info.Prefix
		info, noPolicy = e.understand(withoutInfo(r))
		info.Prefix += prefix
		return info, noPolicy
	}
	if e.cfg.Policy != nil {
		return e.cfg.Policy.Resolve(r), false
	}
	info = e.nobody.Resolve(r)
	if !family.In(r.Header) {
		return info, false
	}
	return forwarded.Info{
		Status: forwarded.StatusUnknown, Reason: forwarded.ReasonNoPolicy, SchemeReason: forwarded.ReasonNoPolicy,
		Peer: info.Peer, Host: info.Host, HostReason: info.HostReason,
	}, true
}

// withoutInfo keeps of r's context what a policy reads.
func withoutInfo(r *http.Request) *http.Request {
	local := r.Context().Value(http.LocalAddrContextKey)
	return r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, local))
}

// originalOf is r with the headers that forwarded removed. They are for
// diagnosis: no answer but an error depends on them.
func originalOf(r *http.Request) *http.Request {
	if s := unverified.From(r.Context()); s != nil {
		return s.Original()
	}
	return r
}
