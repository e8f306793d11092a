package redirect_test

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// The names that the table's settings are about.
const (
	canonical = "www.example.com"
	apex      = "example.com"      // an alias, and the domain that preloading takes
	other     = "shop.example.net" // an alias elsewhere
	wildcard  = "*.old.example"
	plain     = "orders.internal"
)

// A kindOfHost is what a Host header means to the service.
type kindOfHost int

const (
	canonicalHost kindOfHost = iota
	apexHost
	otherHost
	wildcardHost
	plainHost
	strangeHost
	addressHost
	emptyHost
	malformedHost
	lostHost // a hop sent a Host of its own
)

// A hostCase is one Host header.
type hostCase struct {
	raw  string
	kind kindOfHost
	name string // as a Location shows it
}

// A question is what the table asks about a request.
type question struct {
	method    string
	webSocket bool
	target    string // path and query, or a name of targets below
	host      hostCase
	scheme    forwarded.Scheme
	why       forwarded.Reason // the scheme is unknown
	hops      int
	complete  bool
	marker    bool // the loop marker came back
	secrets   bool // other cookies, or Authorization
}

// Targets that are no path and query.
const (
	starTarget     = "*"
	opaqueTarget   = "opaque"
	rootlessTarget = "rootless"
)

// An answer is what the table says. Empty fields are headers that must not be there.
type answer struct {
	action   redirect.Action
	status   int
	reason   redirect.Reason
	location string
	hsts     string
	marker   bool
	vary     bool
	retry    bool
}

// A setting is a Config, with the two forms of its HSTS header written out.
type setting struct {
	name      string
	cfg       redirect.Config
	hsts      string // of the canonical host
	aliasHSTS string
	proved    bool // what cfg.Proof says
}

// oracle is the decision table, row by row, as slowly as it is written there.
func oracle(s setting, q question) answer {
	for _, row := range []func(setting, question) (answer, bool){
		row1Target, row2Host, row3Proxy, row3aPlain, row4Canonical, row5Alias, row6Exempt,
		row7Loop, row7aProof, row8WebSocket, row9Safe, row10Unsafe, row11Bad,
	} {
		if a, ok := row(s, q); ok {
			return a
		}
	}
	return row12Unknown(s)
}

func refusal(status int, reason redirect.Reason) (answer, bool) {
	return answer{action: redirect.Refuse, status: status, reason: reason}, true
}

func passes(reason redirect.Reason) (answer, bool) {
	return answer{action: redirect.Pass, reason: reason}, true
}

func row1Target(_ setting, q question) (a answer, ok bool) {
	switch {
	case q.method == "CONNECT", q.target == opaqueTarget, q.target == rootlessTarget, q.target == starTarget && q.method != "OPTIONS":
		return refusal(400, redirect.ReasonBadTarget)
	}
	return a, false
}

func row2Host(s setting, q question) (a answer, ok bool) {
	switch q.host.kind {
	case addressHost:
		return refusal(421, redirect.ReasonIPHost)
	case emptyHost, malformedHost:
		return refusal(421, redirect.ReasonUnknownHost)
	case lostHost:
		return refusal(421, redirect.ReasonHostLost)
	case strangeHost:
		if !s.cfg.DangerouslyAnyHost {
			return refusal(421, redirect.ReasonUnknownHost)
		}
	}
	return a, false
}

func row3Proxy(s setting, q question) (a answer, ok bool) {
	if s.cfg.RequireProxy && !q.complete {
		return refusal(421, redirect.ReasonDirectAccess)
	}
	return a, false
}

func row3aPlain(_ setting, q question) (a answer, ok bool) {
	if q.host.kind == plainHost {
		return passes(redirect.ReasonPlainHost)
	}
	return a, false
}

func row4Canonical(s setting, q question) (a answer, ok bool) {
	if q.scheme != forwarded.HTTPS || q.host.kind != canonicalHost && q.host.kind != strangeHost {
		return a, false
	}
	a, ok = passes(redirect.ReasonPassedHTTPS)
	a.hsts = s.hsts
	if q.host.kind == strangeHost {
		a.hsts = s.aliasHSTS
	}
	return a, ok
}

func row5Alias(s setting, q question) (a answer, ok bool) {
	if q.scheme != forwarded.HTTPS {
		return a, false
	}
	a = answer{action: redirect.Redirect, status: byMethod(q), reason: redirect.ReasonHostRedirected, location: to(s, canonical, q), hsts: s.aliasHSTS}
	if q.host.kind == apexHost && s.cfg.HSTS.Preload {
		a.hsts = s.hsts
	}
	return a, true
}

func row6Exempt(s setting, q question) (a answer, ok bool) {
	path, _, _ := strings.Cut(q.target, "?")
	for _, exempt := range s.cfg.Exempt {
		if q.scheme == forwarded.HTTP && path == exempt {
			return passes(redirect.ReasonExempt)
		}
	}
	return a, false
}

// Nobody's marker comes back where none is set.
func row7Loop(s setting, q question) (a answer, ok bool) {
	if q.scheme != forwarded.HTTP || !q.marker || s.cfg.NoLoopMarker {
		return a, false
	}
	return answer{action: redirect.Refuse, status: 500, reason: redirect.ReasonLoopBroken, vary: true}, true
}

func row7aProof(s setting, q question) (a answer, ok bool) {
	asked := s.cfg.Proof != nil || s.cfg.RefuseWithoutProof
	if !asked || q.scheme != forwarded.HTTP || s.proved {
		return a, false
	}
	strict := s.cfg.RefuseWithoutProof || s.cfg.HSTS.MaxAge > 0 && s.cfg.Proof != nil
	if !strict && safe(q) && !q.marker && !q.secrets {
		return passes(redirect.ReasonNoProof)
	}
	return answer{action: redirect.Refuse, status: 503, reason: redirect.ReasonNoProof, vary: true, retry: true}, true
}

func row8WebSocket(_ setting, q question) (a answer, ok bool) {
	if q.scheme != forwarded.HTTP || !q.webSocket {
		return a, false
	}
	return answer{action: redirect.Refuse, status: 403, reason: redirect.ReasonWebSocket, vary: true}, true
}

func row9Safe(s setting, q question) (a answer, ok bool) {
	if q.scheme != forwarded.HTTP || !safe(q) {
		return a, false
	}
	return answer{action: redirect.Redirect, status: 301, reason: redirect.ReasonRedirected,
		location: to(s, sameHost(s, q), q), marker: !s.cfg.NoLoopMarker, vary: true}, true
}

func row10Unsafe(s setting, q question) (a answer, ok bool) {
	switch {
	case q.scheme != forwarded.HTTP:
		return a, false
	case s.cfg.RefuseUnsafe:
		return answer{action: redirect.Refuse, status: 403, reason: redirect.ReasonUnsafeRefused, vary: true}, true
	}
	return answer{action: redirect.Redirect, status: 308, reason: redirect.ReasonPreserved, location: to(s, sameHost(s, q), q), vary: true}, true
}

func row11Bad(_ setting, q question) (a answer, ok bool) {
	switch q.why {
	case forwarded.ReasonBadProto, forwarded.ReasonMismatch, forwarded.ReasonMalformed, forwarded.ReasonTooLong, forwarded.ReasonConflict, forwarded.ReasonBadSecret:
		return refusal(400, redirect.ReasonBadScheme)
	}
	return a, false
}

func row12Unknown(s setting) (a answer) {
	if s.cfg.RefuseUnknown {
		a, _ = refusal(400, redirect.ReasonUnknownScheme)
		return a
	}
	a, _ = passes(redirect.ReasonUnknownScheme)
	return a
}

func safe(q question) bool { return q.method == http.MethodGet || q.method == http.MethodHead }

func byMethod(q question) int {
	if safe(q) {
		return 301
	}
	return 308
}

// sameHost is where http is sent: the host itself, but the canonical one for
// what is below a wildcard, and for all with OneHop.
func sameHost(s setting, q question) string {
	if q.host.kind == wildcardHost || s.cfg.OneHop && q.host.kind != strangeHost {
		return canonical
	}
	return q.host.name
}

func to(s setting, host string, q question) string {
	port := ""
	if s.cfg.HTTPSPort != 0 && s.cfg.HTTPSPort != 443 {
		port = ":" + strconv.Itoa(int(s.cfg.HTTPSPort))
	}
	if q.target == starTarget {
		return "https://" + host + port
	}
	return "https://" + host + port + q.target
}
