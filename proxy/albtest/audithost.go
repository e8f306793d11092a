package albtest

import "strings"

const (
	whyHost    = "addresses made of it lead clients to the attacker: by a redirect, a link in a mail, or a page that a cache gives to others"
	readHost   = "make addresses of the Host header, and that only if it is one of the service's names; the balancer passes every other header on as the client wrote it"
	knownNames = "answer 421 to hosts that are not the service's, with no Location, or redirect to a name that stands in the configuration"
)

// hostRows are about the name of the service: in headers that the balancer
// passes on, and in Host itself.
func hostRows(spec AuditSpec) (rows []auditRow) {
	for _, line := range []string{
		"X-Forwarded-Host: " + evilHost, "X_Forwarded_Host: " + evilHost, "X.Forwarded.Host: " + evilHost,
		"X-Forwarded-Server: " + evilHost, "X-Host: " + evilHost, "X-Original-Host: " + evilHost,
		"X-HTTP-Host-Override: " + evilHost, "Forwarded: host=" + evilHost, "X-Forwarded-Prefix: //" + evilPath,
	} {
		name := "host/" + strings.ToLower(strings.SplitN(line, ":", 2)[0])
		rows = append(rows, auditRow{
			name: name, over: doors(byHTTP, byHTTPS, byHTTP2), send: ask{lines: []string{line}}, judge: (*audit).safeAndSame,
			why: whyHost, change: readHost,
		})
	}
	for _, r := range []struct{ name, host string }{
		{"unknown", evilHost},
		{"suffix", spec.Host + "." + evilHost},
		{"ip", publicAddr.String()},
		{"ip-port", publicAddr.String() + ":8080"},
		{"ip-of-target", firstMachine},
		{"ipv6", "[2001:db8::80]"},
	} {
		rows = append(rows, auditRow{
			name: "host/" + r.name, over: doors(byHTTP, byHTTPS), send: ask{host: r.host}, judge: (*audit).safe,
			why: whyHost, change: knownNames,
		})
	}
	return append(rows, targetRows(spec)...)
}

// targetRows are about request targets that say something about the host, or
// that other headers replace.
func targetRows(spec AuditSpec) []auditRow {
	absolute := ask{target: "http://" + evilHost + "/", host: spec.Host}
	elsewhere := "/albtest-audit-no-such-page"
	return []auditRow{
		{
			name: "host/absolute-form", over: []door{{byHTTP, usual}, {byHTTPS, usual}, {byHTTP, preservingHost}, {byHTTPS, preservingHost}},
			send: absolute, judge: (*audit).safe, why: "the host of an absolute request target replaces Host, at the balancer and in net/http", change: knownNames,
		},
		{
			name: "host/port", over: []door{{byHTTP, preservingHost}, {byHTTPS, preservingHost}}, send: ask{host: spec.Host + ":8080"},
			judge: (*audit).ownPort, why: "with routing.http.preserve_host_header.enabled a port in Host arrives as the client wrote it",
			change: "leave the port of Host out of addresses",
		},
		{
			name: "host/x-original-url", over: doors(byHTTP, byHTTPS), send: ask{lines: []string{"X-Original-URL: " + elsewhere}},
			judge: (*audit).sameAnswer, why: "who answers for another path than the one that was asked for lets clients past the rules for paths", change: "route by the request target alone",
		},
		{
			name: "host/x-rewrite-url", over: doors(byHTTP, byHTTPS), send: ask{lines: []string{"X-Rewrite-URL: " + elsewhere}},
			judge: (*audit).sameAnswer, why: "who answers for another path than the one that was asked for lets clients past the rules for paths", change: "route by the request target alone",
		},
	}
}
