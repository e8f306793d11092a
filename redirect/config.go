package redirect

import (
	"fmt"
	"log/slog"
	"net/http"
	pathpkg "path"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/conferr"
	"github.com/knownhops/knownhops/internal/hostport"
)

// ConfigErrors is every mistake found in one Config, in field order; New's
// error is one.
type ConfigErrors = conferr.Errors

// ConfigError is one mistake: field, value, reason and fix.
type ConfigError = conferr.Error

// Config is what New makes an Enforcer of. Canonical is required; the zero
// value of everything else is a safe default.
type Config struct {
	// Canonical is the host that people should end up at: a name like
	// "www.example.com", without scheme, port or path.
	Canonical string

	// Aliases are other names of the same site: exact ones, or "*.old.example"
	// for every name below old.example. Over https they are redirected to
	// Canonical; over http to https of their own name first, which preloading
	// demands (hstspreload.org), or, below a wildcard, to Canonical.
	Aliases []string

	// PlainHosts are names that are ours as well and served over whatever
	// scheme arrives, never redirected and without HSTS: "localhost",
	// "orders.internal". Wildcards as in Aliases.
	PlainHosts []string

	// HSTS is sent with every answer over https for Canonical and the aliases,
	// except local names, for which it would bind all programs there. Zero: none.
	HSTS HSTS

	// HTTPSPort is where https is. Zero: 443, which is never written into a
	// Location.
	HTTPSPort uint16

	// OneHop redirects an alias over http straight to https of Canonical: for
	// aliases that have no certificate.
	OneHop bool

	// RefuseUnsafe answers 403 instead of 308 to http requests with a method
	// other than GET and HEAD: for APIs, whose clients should notice that they
	// sent their credentials in clear. A script on an http page whose POST is
	// redirected is told that it failed, although it was carried out over https:
	// its page is of another origin (Fetch Standard).
	RefuseUnsafe bool

	// RefuseUnknown answers 400 instead of passing where the scheme is unknown.
	RefuseUnknown bool

	// RequireProxy answers 421 to requests that did not come through all
	// declared hops (forwarded.Info.Complete): those who go past the balancer,
	// whatever they say.
	RequireProxy bool

	// Exempt are exact paths that are served over http too. A path that a client
	// wrote with needless percent-encoding is not exempt.
	Exempt []string

	// Proof reports whether https is known to work for host, on the way on
	// which the request came in (info.Hops; 0: directly). Nil: it is not asked
	// for, unless RefuseWithoutProof is set. It must be quick and safe for
	// concurrent use. What an Enforcer has seen itself within an hour, https
	// for that host through a hop, counts as proof for requests through hops;
	// with several hops, RequireProxy keeps a stranger from writing it who asks an
	// inner one.
	Proof func(info forwarded.Info, host string) bool

	// RefuseWithoutProof answers 503 with Retry-After to every http request that
	// would be redirected where nothing proves that https works. HSTS implies it
	// where Proof is set. Without it GET and HEAD requests that carry neither
	// Cookie nor Authorization are served over http, with a warning, and the
	// rest gets 503.
	RefuseWithoutProof bool

	// Policy resolves requests that carry no forwarded.Info. Nil: requests with
	// a forwarding header then have an unknown scheme, and an error is logged.
	Policy *forwarded.Policy

	// NoLoopMarker leaves out the cookie that breaks loops at the second
	// request.
	NoLoopMarker bool

	// DangerouslyAnyHost takes every valid host name for an alias that is its
	// own canonical host. The attack: a cache or a mail that repeats the
	// Location sends people to whatever host an attacker wrote. Addresses and
	// malformed hosts are refused all the same.
	DangerouslyAnyHost bool

	// OnDecision is called for each request, before it is answered: for metrics.
	// It must not block, and may run concurrently.
	OnDecision func(*http.Request, Decision)

	// ProbeTransport is what Probe sends its requests with. Nil: a transport of
	// its own that uses no proxy.
	ProbeTransport http.RoundTripper

	// Logger gets a line for what an operator should know, at most one a minute
	// for each reason, peer network and host of ours. Nil: slog.Default.
	Logger *slog.Logger
}

// clone is a deep copy: what the caller changes later changes nothing here.
func (c Config) clone() Config {
	c.Aliases, c.PlainHosts, c.Exempt = slices.Clone(c.Aliases), slices.Clone(c.PlainHosts), slices.Clone(c.Exempt)
	return c
}

// compile validates c field by field.
func (c *Config) compile() (*Enforcer, error) {
	var errs ConfigErrors
	e := &Enforcer{cfg: c.clone()}
	e.hosts.compile(c, &errs)
	c.HSTS.check(&errs)
	if c.HSTS.MaxAge > 0 && isLocal(e.hosts.canonical) {
		errs.Add("HSTS", c.HSTS.String(), "browsers would insist on https for every program on "+e.hosts.canonical, "leave it zero for local names")
	}
	if c.HTTPSPort == 80 {
		errs.Add("HTTPSPort", "80", "the port of http", "use the port that https is on, or leave it zero for 443")
	}
	if c.OneHop && c.HSTS.Preload {
		errs.Add("OneHop", "true", "preloading demands that http is redirected to https of the same host first", "leave one of them out")
	}
	for i, path := range c.Exempt {
		if reason := badExempt(path); reason != "" {
			errs.Add(fmt.Sprintf("Exempt[%d]", i), path, reason, `write the exact path, like "/.well-known/assetlinks.json"`)
		}
		e.exempt = append(e.exempt, escaped(path, &pathBytes))
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	e.hosts.prepare(&e.cfg)
	e.warn()
	return e, nil
}

func badExempt(path string) string {
	switch {
	case !strings.HasPrefix(path, "/"):
		return "no path"
	case strings.TrimSuffix(path, "/") != strings.TrimSuffix(pathpkg.Clean(path), "/"):
		return "routers would clean it"
	case strings.ContainsAny(path, "?#%*"):
		return "a path is compared as a whole, decoded and without its query"
	}
	return ""
}

// checkHost reads a name of ours and says what is wrong with it, if anything.
func checkHost(name string) (host, reason, fix string) {
	host, port, ok := hostport.ParseHost(name)
	switch {
	case name == "":
		return "", "empty", "leave it out, or name a host"
	case strings.Contains(name, "://"):
		return "", "a URL", "leave out the scheme and what follows the host"
	case !ok && !isASCII(name):
		return "", "not a host name", "write it in punycode (xn--…)"
	case !ok:
		return "", "not a host name", `write it like "www.example.com"`
	case port != 0 || strings.HasSuffix(name, ":"):
		return "", "a host name has no port here", "leave it out; HTTPSPort is for https on another port"
	case hostport.IsIP(host):
		return "", "an address: requests for addresses get 421, always", "use a name; health checks by address are answered outside of Wrap"
	}
	return host, "", ""
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}
