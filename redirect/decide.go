package redirect

import (
	"net/http"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/hostport"
)

// A verdict is a Decision and what it was made of.
type verdict struct {
	Decision
	info     forwarded.Info
	site     *site // nil: the host is not ours
	hsts     bool
	marker   bool
	exposed  bool // credentials came in clear
	noPolicy bool
}

// Decide says what Wrap would do with r. It changes nothing and logs nothing,
// but https through a hop is remembered as proof (see Config.Proof).
func (e *Enforcer) Decide(r *http.Request) Decision {
	v := e.judge(r)
	return v.Decision
}

// judge is the decision table; the first row that matches wins.
func (e *Enforcer) judge(r *http.Request) (v verdict) {
	v.info, v.noPolicy = e.understand(r)
	if !goodTarget(r) {
		v.refuse(http.StatusBadRequest, ReasonBadTarget)
		return v
	}
	var reason Reason
	if v.site, reason = e.hosts.ours(&v.info); reason != 0 {
		if reason == ReasonUnknownHost && v.info.Host == "" && namesAddress(r.Host) { // forwarded.Config.Hosts has refused it already
			reason = ReasonIPHost
		}
		v.refuse(http.StatusMisdirectedRequest, reason)
		return v
	}
	switch {
	case e.cfg.RequireProxy && !v.info.Complete:
		v.refuse(http.StatusMisdirectedRequest, ReasonDirectAccess)
	case v.site == &plainSite:
		v.pass(ReasonPlainHost)
	case v.info.Scheme == forwarded.HTTPS:
		e.judgeHTTPS(r, &v)
	case v.info.Scheme == forwarded.HTTP:
		e.judgeHTTP(r, &v)
	default:
		e.judgeUnknown(&v)
	}
	return v
}

// goodTarget reports whether r asks for a path. "http:.evil.com/x" and its like
// (RFC 3986 calls them rootless) are URLs to net/http, and whoever puts them
// behind a host name makes another host of it.
func goodTarget(r *http.Request) bool {
	switch {
	case r.Method == http.MethodConnect || r.URL == nil || r.URL.Opaque != "":
		return false
	case r.URL.Path == "*":
		return r.Method == http.MethodOptions && r.URL.RawPath == ""
	case r.URL.Path == "":
		return true // "GET http://www.example.com HTTP/1.1": the path is "/" (RFC 9110 §4.2.3)
	}
	// http.StripPrefix can leave "%2F@evil.example" where the decoded path begins with a slash.
	return r.URL.Path[0] == '/' && (r.URL.RawPath == "" || r.URL.RawPath[0] == '/')
}

func namesAddress(host string) bool {
	host, _, ok := hostport.ParseHost(host)
	return ok && hostport.IsIP(host)
}

func (e *Enforcer) judgeHTTPS(r *http.Request, v *verdict) {
	v.hsts = true
	e.remember(v)
	switch {
	case v.site.canonical:
		v.pass(ReasonPassedHTTPS)
	case isRead(r):
		v.redirect(r, v.site.https, http.StatusMovedPermanently, ReasonHostRedirected)
	default:
		v.redirect(r, v.site.https, http.StatusPermanentRedirect, ReasonHostRedirected)
	}
}

func (e *Enforcer) judgeHTTP(r *http.Request, v *verdict) {
	if e.isExempt(r) {
		v.pass(ReasonExempt)
		return
	}
	original := originalOf(r)
	v.Signals = e.signals(original.Header, v.info.Host)
	switch {
	case len(v.Signals) > 0 && v.Signals[0].Strength == Proof:
		v.refuse(http.StatusInternalServerError, ReasonLoopBroken)
	case !e.proved(v):
		e.judgeUnproved(r, v)
	case isWebSocket(r):
		v.refuse(http.StatusForbidden, ReasonWebSocket)
	case isRead(r):
		v.marker = !e.cfg.NoLoopMarker && !isLocal(v.info.Host)
		v.redirect(r, v.site.http, http.StatusMovedPermanently, ReasonRedirected)
	case e.cfg.RefuseUnsafe:
		v.refuse(http.StatusForbidden, ReasonUnsafeRefused)
	default:
		v.redirect(r, v.site.http, http.StatusPermanentRedirect, ReasonPreserved)
	}
	v.exposed = !isRead(r) && carriesCredentials(r)
	v.diagnose(r, original)
}

// judgeUnproved is about http where nothing shows that https works: a redirect
// might lead nowhere. What carries no credentials may be served in clear.
func (e *Enforcer) judgeUnproved(r *http.Request, v *verdict) {
	refuse := e.cfg.RefuseWithoutProof || e.cfg.HSTS.MaxAge > 0
	if refuse || !isRead(r) || carriesCredentials(r) {
		v.refuse(http.StatusServiceUnavailable, ReasonNoProof)
		return
	}
	v.pass(ReasonNoProof)
}

// judgeUnknown is about requests of which nobody knows the scheme. That a hop
// contradicts itself is an error. Otherwise the request passes: to refuse it
// would turn a missing header into an outage, and would protect nobody. An
// attacker between the client and the proxy can speak https to the proxy
// himself, and the request would come in as https; only HSTS, in the browser,
// helps against him. What is lost is the redirect of a visitor who typed http,
// which is why it is warned about.
func (e *Enforcer) judgeUnknown(v *verdict) {
	switch v.info.SchemeReason {
	case forwarded.ReasonBadProto, forwarded.ReasonMismatch, forwarded.ReasonMalformed,
		forwarded.ReasonTooLong, forwarded.ReasonConflict, forwarded.ReasonBadSecret:
		v.refuse(http.StatusBadRequest, ReasonBadScheme)
		return
	}
	if e.cfg.RefuseUnknown {
		v.refuse(http.StatusBadRequest, ReasonUnknownScheme)
		return
	}
	v.pass(ReasonUnknownScheme)
}

func (v *verdict) pass(reason Reason) {
	v.Action, v.Status, v.Reason, v.Fix = Pass, 0, reason, fixOf(reason, &v.info)
}

func (v *verdict) refuse(status int, reason Reason) {
	v.Action, v.Status, v.Reason, v.Fix = Refuse, status, reason, fixOf(reason, &v.info)
}

// redirect sends the client to origin, a constant.
func (v *verdict) redirect(r *http.Request, origin string, status int, reason Reason) {
	to, ok := location(origin, &v.info, r)
	if !ok {
		v.marker = false
		v.refuse(http.StatusRequestURITooLong, ReasonTooLong)
		return
	}
	v.Action, v.Status, v.Location, v.Reason = Redirect, status, to, reason
}

// isExempt compares the path as it was sent: "/a%2Fb" is not "/a/b" to every
// router.
func (e *Enforcer) isExempt(r *http.Request) bool {
	return len(e.exempt) > 0 && slices.Contains(e.exempt, sentPath(r.URL))
}

// isRead reports whether a redirect loses nothing of r (RFC 9110 §15.4.2).
func isRead(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == ""
}

func isWebSocket(r *http.Request) bool {
	for _, line := range r.Header["Upgrade"] {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(token, " \t"), "websocket") {
				return true
			}
		}
	}
	return false
}

func carriesCredentials(r *http.Request) bool {
	return len(r.Header["Cookie"]) > 0 || len(r.Header["Authorization"]) > 0
}
