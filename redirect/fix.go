package redirect

import (
	"net/http"

	"github.com/knownhops/knownhops/forwarded"
)

// fixes say, for each reason, what an operator should change. The causes of
// loops have sentences of their own.
var fixes = [reasons]string{
	ReasonUnknownHost: "nothing, if strangers ask for it; if the host is yours, add it to Aliases or to PlainHosts",
	ReasonIPHost: "nothing, if strangers scan addresses; a balancer's health checks are answered by healthcheck.Wrap around this handler, " +
		"and programs of your own should use a name from PlainHosts",
	ReasonHostLost: "have the proxy pass the client's Host (nginx: proxy_set_header Host $host; Apache: ProxyPreserveHost On) and declare it with ReplacesHost: false",
	ReasonDirectAccess: "nothing, if a stranger went past the balancer, except to let only the balancer reach this port; " +
		"if the request did come through it, declare the peer's network in its Hop",
	ReasonNoProof:   "make https work for this host: a certificate in the balancer or tlsterm in this process; one https request through a declared hop is proof for an hour",
	ReasonWebSocket: "have the page connect to wss://; browsers do not follow redirects of WebSockets",
}

// schemeFixes are those for schemes that are unknown or contradictory.
var schemeFixes = map[forwarded.Reason]string{
	forwarded.ReasonSchemeLost:    "no hop's word about the scheme survives, see Policy.Lint: have the outermost proxy send X-Forwarded-Proto and declare it with Proto: Sets, and have every proxy behind it pass the header on (" + nginxPasses + ") with Proto: Passes()",
	forwarded.ReasonSchemeMissing: "have the outermost proxy send X-Forwarded-Proto, or declare the header in which it says the scheme; an NLB that ends TLS needs NLBTLS and the PROXY protocol",
	forwarded.ReasonNotVisible:    "have the hops write the client's address, or declare where they do: see Policy.Lint",
	forwarded.ReasonLocal:         "answer health checks with healthcheck.Wrap around this handler; if visitors come like this, the hop writes no forwarding header: an NLB needs NLBTLS or NLBTCP and the PROXY protocol",
	forwarded.ReasonSkippedHop:    "let only the innermost proxy reach this port, or remove the skipped hop from Hops",
	forwarded.ReasonBadPeer:       "something in front of this handler changes RemoteAddr; put forwarded.Policy.Wrap outside of it",
	forwarded.ReasonObfuscated:    "have the proxy write the client's address instead of a pseudonym",
	forwarded.ReasonNoPolicy:      "put forwarded.Policy.Wrap around this handler, or set Config.Policy",
	forwarded.ReasonBadProto:      "a hop writes something else than http or https into the header that declares the scheme: see forwarded's explain page",
	forwarded.ReasonMismatch:      "a hop writes fewer or more entries than Hops says: see forwarded's explain page and its warnings W1 and W9",
	forwarded.ReasonMalformed:     "a hop writes something that is no address: see forwarded's explain page",
	forwarded.ReasonTooLong:       "nothing, if strangers send endless headers; otherwise have the hop write fewer entries",
	forwarded.ReasonConflict:      "two sources of the scheme contradict each other: declare the one that is right",
	forwarded.ReasonBadSecret:     "have the proxy send the secret header that Hops declares; whoever lacks it came past your proxy",
}

func fixOf(reason Reason, info *forwarded.Info) string {
	if reason == ReasonUnknownHost && info.HostReason == forwarded.ReasonHostNotAllowed {
		return "nothing, if strangers ask for it; if the host is yours, add it to forwarded.Config.Hosts, and to Aliases or PlainHosts here"
	}
	if reason != ReasonUnknownScheme && reason != ReasonBadScheme {
		return fixes[reason]
	}
	if info.SchemeReason == forwarded.ReasonSchemeMissing && schemeFixes[info.Reason] != "" {
		return schemeFixes[info.Reason] // the scheme is missing because the way to the client was lost
	}
	if info.SchemeReason == forwarded.ReasonSchemeLost && info.Hops > 0 && !info.Complete {
		return "nothing, if a stranger went past the outermost hop, except to let only that one reach the hop behind it; if that hop is gone, take it out of Hops"
	}
	return schemeFixes[info.SchemeReason]
}

// fixCredentials is for requests whose secrets went over the wire in clear
// before anybody could redirect them.
const fixCredentials = "have the client use https from the start, and revoke what it has sent in clear"

// diagnose writes the fix for an http request, the cause of a loop first. What
// has a fix of its own keeps it.
func (v *verdict) diagnose(r, original *http.Request) {
	switch {
	case v.Fix != "" || v.Action == Pass:
	case len(v.Signals) > 0:
		v.Fix = cause(&v.info, r, original, v.Signals)
	case v.exposed:
		v.Fix = fixCredentials
	}
}

// fixCircle is for redirects that one client gets again and again, where
// nothing else shows why.
func fixCircle(reason Reason) string {
	if reason == ReasonHostRedirected {
		return "if it is no client that asks for the alias each time, another layer redirects the canonical host back: let one place decide, and remove the host rule of the balancer, the CDN or the application"
	}
	return "if it is one client that asks for http each time, have it use https; if it never arrives over https, a proxy ends TLS and no header says so: see Probe"
}
