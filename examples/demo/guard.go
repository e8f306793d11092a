package main

import (
	"net/http"
	"strconv"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// A guard is where a chain decides about https: in the proxy, or in the
// application behind somebody else's proxy. One place is enough.
type guard struct {
	part     string // of the chain
	policy   *forwarded.Policy
	enforcer *redirect.Enforcer
	visits   *visits
}

// guard makes one for a canonical host. This is all that a service configures.
func (d *demo) guard(part string, policy *forwarded.Policy, canonical string, aliases ...string) (*guard, error) {
	enforcer, err := redirect.New(redirect.Config{
		Canonical: canonical, Aliases: aliases, PlainHosts: []string{hostInside, "localhost"},
		HSTS: redirect.OneHour, Logger: d.logs.logger(),
	})
	return &guard{part: part, policy: policy, enforcer: enforcer, visits: &d.visits}, err
}

// rulingHeader tells the page which decision an answer is about.
const rulingHeader = "Demo-Ruling"

// Wrap goes inside of the policy's. It keeps what will be decided, for the page,
// and leaves the rest to the enforcer.
func (g *guard) Wrap(next http.Handler) http.Handler {
	enforced := g.enforcer.Wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ruling := g.enforcer.Decide(r)
		v := visit{Part: g.part, Ruling: &ruling, Arrived: arrivedLines(r), Believed: g.policy.Explain(r)}
		v.trace()
		w.Header().Set(rulingHeader, strconv.Itoa(g.visits.add(v)))
		enforced.ServeHTTP(w, r)
	})
}
