package albtest

import (
	"fmt"
	"net/http"
	"strings"
)

// maxHops is how many redirects are followed: as many as browsers do.
const maxHops = 20

// answerRows are about ordinary clients, who have to be served.
func answerRows(spec AuditSpec) []auditRow {
	const loop = "behind a balancer that ends TLS, a service that redirects to https whenever its own connection has none redirects for ever"
	const readProto = "decide by the scheme that the client used, from the X-Forwarded-Proto of the balancer, and by nothing else"
	return []auditRow{
		{
			name: "answer/https", over: doors(byHTTPS), judge: (*audit).served,
			why: "this is how every client comes", change: "answer AuditSpec.Path for AuditSpec.Host, or name another page or host there",
		},
		{
			name: "answer/http2", over: doors(byHTTP2), judge: (*audit).asHTTP1,
			why: "browsers speak HTTP/2 to the balancer, which speaks HTTP/1.1 to the service", change: "do not depend on the version of HTTP that the client speaks",
		},
		{
			name: "answer/capitals", over: doors(byHTTP, byHTTPS), send: ask{host: strings.ToUpper(spec.Host)}, judge: (*audit).sameStatus,
			why: "host names are the same in capitals (RFC 9110, section 4.2.3)", change: "compare hosts in lower case",
		},
		{
			name: "answer/loop-https", over: doors(byHTTPS), judge: (*audit).arrives,
			why: loop, change: readProto,
		},
		{
			name: "answer/loop-http", over: doors(byHTTP), judge: (*audit).arrives,
			why: loop, change: readProto,
		},
	}
}

// served wants an answer from the service, be it that the client has to log in.
func (a *audit) served(got *reply) string {
	switch s := got.status(); {
	case s >= 500, s == http.StatusBadRequest, s == http.StatusMisdirectedRequest:
		return fmt.Sprintf("the service answers %d", s)
	}
	return ""
}

// asHTTP1 wants the same answer as over HTTP/1.1.
func (a *audit) asHTTP1(got *reply) string {
	return a.alike(got, a.plain(door{byHTTPS, got.setting}, got.ask.from), "over HTTP/1.1")
}

// sameStatus wants the status of a plain request.
func (a *audit) sameStatus(got *reply) string {
	if plain := a.plain(got.door, got.ask.from); got.status() != plain.status() {
		return fmt.Sprintf("the service answers %d; to the name in lower case, %d", got.status(), plain.status())
	}
	return ""
}

// arrives follows redirects as long as they stay with the service.
func (a *audit) arrives(got *reply) string {
	seen := map[string]bool{}
	for range maxHops + 1 {
		at := got.at()
		if seen[at.String()] {
			return "the redirects go round in a circle, by " + at.String()
		}
		seen[at.String()] = true
		to, err := browse(at, got.header("Location"))
		if got.header("Location") == "" || err != nil || !strings.EqualFold(to.Hostname(), a.spec.Host) || a.ownPort(got) != "" {
			return ""
		}
		way := byHTTP
		if to.Scheme == "https" {
			way = byHTTPS
		}
		got = a.send(door{way, got.setting}, ask{from: got.ask.from, target: to.RequestURI()})
		if got.err != nil {
			return "behind the redirect to " + to.String() + " there is no answer: " + got.err.Error()
		}
	}
	return fmt.Sprintf("after %d redirects there is another one", maxHops)
}
