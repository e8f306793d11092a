package albtest

import (
	"fmt"
	"net/http"
	"net/netip"
)

// probeRows are the balancer's health checks, and clients that look like them.
func probeRows(spec AuditSpec) (rows []auditRow) {
	for _, p := range []struct {
		name     string
		to       string
		unknowns Unknowns
	}{
		{"plain", firstMachine + ":80", Unknowns{}},
		{"port", firstMachine + ":8080", Unknowns{}},
		{"ipv6", "[2001:db8:16::10]:80", Unknowns{}},
		{"accept-encoding", firstMachine + ":80", Unknowns{HealthCheckAcceptEncoding: true}},
		{"trace-id", firstMachine + ":80", Unknowns{HealthCheckTraceID: true}},
	} {
		check := prober{to: netip.MustParseAddrPort(p.to), check: HealthCheck{Path: spec.HealthPath}, unknowns: p.unknowns}
		rows = append(rows, auditRow{
			name: "probe/" + p.name, over: doors(byNode), send: ask{whole: string(check.request())}, judge: (*audit).healthy,
			why: "a target whose checks are not answered with 200 is unhealthy; where all are, the service is down (503), or the deploy never ends",
			change: "answer AuditSpec.HealthPath before hosts and schemes are looked at: a health check has the target's address for a Host, " +
				"no X-Forwarded-Proto, and follows no redirect",
		})
	}
	return append(rows, lookAlikeRows()...)
}

// healthy wants what the matcher of a target group wants, unless it is told otherwise.
func (a *audit) healthy(got *reply) string {
	if got.status() == http.StatusOK {
		return ""
	}
	return fmt.Sprintf("the health check fails: %s, with these codes: [%d]", ResponseCodeMismatch, got.status())
}

// lookAlikeRows are strangers who know what a health check looks like.
func lookAlikeRows() []auditRow {
	const agent = "User-Agent: ELB-HealthChecker/2.0"
	const why = "anybody can send the User-Agent of a health check; if it opens a way past the redirect or a login, it opens it to all"
	const change = "know health checks by their exact path, or by their peer and the absence of X-Forwarded-For, never by their User-Agent"
	return []auditRow{
		{
			name: "probe/look-alike", over: doors(byHTTP, byHTTPS), send: ask{lines: []string{agent}},
			judge: (*audit).sameAnswer, why: why, change: change,
		},
		{
			name: "probe/look-alike-host", over: doors(byHTTP, byHTTPS), send: ask{host: firstMachine, lines: []string{agent}},
			judge: (*audit).asWithoutLines, why: why, change: change,
		},
		{
			name: "probe/look-alike-direct", over: doors(byDirect), send: ask{host: firstMachine, lines: []string{agent}},
			judge: (*audit).asWithoutLines, why: why, change: change,
		},
	}
}

// asWithoutLines wants the answer to the same request without its lines.
func (a *audit) asWithoutLines(got *reply) string {
	q := got.ask
	q.lines = nil
	return differs(got, a.send(got.door, q), "without that User-Agent")
}
