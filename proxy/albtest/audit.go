package albtest

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// AuditSpec says what Audit has to know of a service. The zero value is useful:
// the service is www.example.com, answers health checks at "/" and has a page
// there.
type AuditSpec struct {
	// Host is the public name of the service, without a port. Empty: DefaultHost.
	Host string

	// HealthPath is what the target group's health check asks for: it has to
	// answer 200. It may have a query. Empty: "/".
	HealthPath string

	// Path is a page of the service that anybody may see, asked for with GET
	// over https, and that comes to an end. With Client, it is where the answer
	// tells the client. Empty: "/".
	Path string

	// Client reads from an answer who the service believes its client to be,
	// for example from a header that it writes in tests; false: it does not
	// know. The body can be read, and was read before. Nil: rows that need it
	// are skipped.
	Client func(*http.Response) (netip.Addr, bool)

	// Allow names rows that the service is known to fail. A name that no row
	// has is an error, and so is one whose row passes: the list stays true.
	Allow []string
}

// Audit puts app behind balancers with several settings and sends it what any
// service behind one has to bear: forged headers, odd hosts and paths, health
// checks, requests that go past the balancer. Each row of that battery has a
// name, such as "client/x-real-ip", and at most one error, which says what was
// sent, what was wrong with the answer, why it matters and what to change.
// AuditSpec.Allow takes the names.
//
// The service has to believe Subnets, and nothing else: clients, and whoever
// comes past the balancer, are outside. Rows are judged from the answers alone,
// most of them by comparison with the answer to the same request without what
// is forged, so that the pages of a service may look as they like. A row that
// finds nothing has therefore not proved that there is nothing: a service that
// never redirects passes every row about redirects.
//
// Rows that cannot be judged are skipped: those about the client without
// AuditSpec.Client, and those about WebSockets where Path offers none. They are
// listed, by the reason, through Logf if t has it, as *testing.T does, and otherwise behind the
// first error, if there is one.
//
// No row asks who the client is where mode Preserve passes a forged
// X-Forwarded-For: a target cannot tell that from one which the balancer
// appended, so the setting itself is the mistake there.
//
// app gets some hundred requests, one after the other and within a second or
// so, over connections in memory: Audit also runs in a testing/synctest bubble.
// It has to answer each within ten seconds.
func Audit(t TB, app http.Handler, spec AuditSpec) {
	t.Helper()
	a := newAudit(app, spec)
	defer a.close()
	if err := a.ready(); err != nil {
		t.Fatalf("albtest: Audit: %v", err)
		return
	}
	failed, skipped := a.judgeAll(auditRows(a.spec))
	said := strings.Join(skipped, "\n")
	if l, ok := t.(interface{ Logf(string, ...any) }); ok && said != "" {
		l.Logf("albtest: Audit skipped rows:\n%s", said)
	} else if said != "" && len(failed) > 0 {
		failed[0] += "\nskipped rows:\n" + said
	}
	for _, f := range failed {
		t.Errorf("albtest: Audit: %s", f)
	}
}

// audit is one run of the battery. It is used by one goroutine.
type audit struct {
	app     http.Handler
	spec    AuditSpec
	servers map[setting]*Server
	plains  map[plainKey]*reply

	sessions map[setting]tls.ClientSessionCache
}

func newAudit(app http.Handler, spec AuditSpec) *audit {
	if spec.Host == "" {
		spec.Host = DefaultHost
	}
	if spec.HealthPath == "" {
		spec.HealthPath = "/"
	}
	if spec.Path == "" {
		spec.Path = "/"
	}
	return &audit{
		app: app, spec: spec, servers: make(map[setting]*Server), plains: make(map[plainKey]*reply),
		sessions: make(map[setting]tls.ClientSessionCache),
	}
}

// ready finds mistakes in the spec before a hundred rows fail by them.
func (a *audit) ready() error {
	switch {
	case a.app == nil:
		return fmt.Errorf("the service is nil")
	case !isAuditHost(a.spec.Host):
		return fmt.Errorf("AuditSpec.Host %q is not a host name without a port", a.spec.Host)
	case !isAuditPath(a.spec.Path):
		return fmt.Errorf("AuditSpec.Path %q is not a path that begins with a slash", a.spec.Path)
	case !isAuditPath(a.spec.HealthPath):
		return fmt.Errorf("AuditSpec.HealthPath %q is not a path that begins with a slash", a.spec.HealthPath)
	}
	_, err := a.server(usual)
	return err
}

func isAuditHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/:@?#%\\[]", r) })
}

func isAuditPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// judgeAll asks every row, and holds what it finds against AuditSpec.Allow.
func (a *audit) judgeAll(rows []auditRow) (failed, skipped []string) {
	allow := make(map[string]bool) // and whether a row has the name
	for _, name := range a.spec.Allow {
		allow[name] = false
	}
	for _, row := range rows {
		_, allowed := allow[row.name]
		if allowed {
			allow[row.name] = true
		}
		if why := row.skipped(a); why != "" {
			skipped = note(skipped, why, row.name)
			continue
		}
		wrong := row.ask(a)
		switch {
		case wrong != "" && !allowed:
			failed = append(failed, wrong)
		case wrong == "" && allowed:
			failed = append(failed, fmt.Sprintf("row %q is in AuditSpec.Allow, but passes: take it out", row.name))
		}
	}
	return append(failed, unknownNames(a.spec.Allow, allow)...), skipped
}

// note adds a name to the line of its reason.
func note(lines []string, why, name string) []string {
	for i, line := range lines {
		if strings.HasPrefix(line, why+": ") {
			lines[i] += ", " + name
			return lines
		}
	}
	return append(lines, why+": "+name)
}

func unknownNames(names []string, found map[string]bool) (errs []string) {
	for i, name := range names {
		if !found[name] && !slices.Contains(names[:i], name) {
			errs = append(errs, fmt.Sprintf("AuditSpec.Allow has %q, which is the name of no row", name))
		}
	}
	return errs
}

// close ends the balancers.
func (a *audit) close() {
	for _, s := range a.servers {
		s.Close()
	}
}
