package forwarded

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/internal/conferr"
	"github.com/knownhops/knownhops/internal/hostport"
)

// ConfigErrors is every mistake found in one Config, in field order; New's
// error is one.
type ConfigErrors = conferr.Errors

// ConfigError is one mistake: field, value, reason and fix.
type ConfigError = conferr.Error

// Config is what New makes a Policy of. The zero Config is legal and the
// safest: it believes nobody.
type Config struct {
	// Hops are the proxies in front, nearest first. Empty: believe nobody.
	Hops []Hop

	// Hosts is an allow-list for Info.Host and Info.URL: exact names and
	// "*.example.com", which means every name below it. Empty: any valid host.
	Hosts []string

	// ClientCAs are who may have signed client certificates that a hop hands
	// on; see ClientCert. Nil: none is accepted.
	ClientCAs *x509.CertPool

	// RewriteRemoteAddr puts the client's address and port into RemoteAddr of
	// the request handed on, for code that you do not own. The port is 0 where
	// it is unknown; an unknown client becomes "unknown:0", never a proxy's
	// address. It costs a second allocation.
	RewriteRemoteAddr bool

	// RejectUnknown answers 400 where the client is unknown. Health checks
	// (StatusLocal) pass.
	RejectUnknown bool

	// SchemeFromPort takes the scheme from the port where the topology loses
	// the scheme but a hop vouches for the port: 443 is https, 80 is http.
	SchemeFromPort bool

	// DangerouslyLocalPeerIsClient takes a trusted peer that wrote nothing for
	// the client itself. The attack: whoever makes the proxy drop its header
	// (CVE-2022-31813) becomes an internal caller.
	DangerouslyLocalPeerIsClient bool

	// DangerouslyKeepUnverified leaves headers in the request that nobody
	// vouched for. The attack: any later code that reads X-Forwarded-For,
	// X-Real-IP or an alias of them believes the client.
	DangerouslyKeepUnverified bool

	// OnResult is called for each request that Wrap resolves, with the request
	// as it came: for metrics. It must not block, and may run concurrently.
	OnResult func(*http.Request, Info)

	// Logger gets the findings of Lint once, and warnings about requests at
	// most once a minute for each code and peer network. Nil: slog.Default.
	Logger *slog.Logger
}

// maxHops bounds a topology; real ones have up to four.
const maxHops = 16

// clone is a deep copy: what the caller changes later changes nothing here.
func (c Config) clone() Config {
	c.Hops = slices.Clone(c.Hops)
	for i, h := range c.Hops {
		c.Hops[i] = h.clone()
	}
	c.Hosts = slices.Clone(c.Hosts)
	if c.ClientCAs != nil {
		c.ClientCAs = c.ClientCAs.Clone()
	}
	return c
}

// compile validates cfg field by field and compiles it.
func compile(cfg Config) (*topology, error) {
	t := &topology{cfg: cfg.clone(), nodes: make([]node, len(cfg.Hops))}
	var errs ConfigErrors
	if len(cfg.Hops) > maxHops {
		errs.Add("Hops", fmt.Sprint(len(cfg.Hops)), "more hops than any real deployment has", fmt.Sprintf("declare at most %d", maxHops))
	}
	for i := range t.cfg.Hops {
		var own ConfigErrors
		compileHop(fmt.Sprintf("Hops[%d]", i), t.cfg.Hops, i, &t.nodes[i], &own)
		errs = append(errs, inFieldOrder(own)...)
	}
	for i, pattern := range cfg.Hosts {
		if reason := t.hosts.Add(pattern); reason != "" {
			errs.Add(fmt.Sprintf("Hosts[%d]", i), pattern, reason, `write a name like "example.com" or "*.example.com"`)
		}
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	t.compileNodes()
	return t, nil
}

// hopFields is the order of Hop's fields.
var hopFields = []string{"From", "Self", "ReplacesHost", "Secret", "Vouches", "For", "Proto", "Host", "Port", "Prefix", "ClientCert"}

// inFieldOrder sorts one hop's mistakes, whose fields read "Hops[0].From[1]".
func inFieldOrder(errs ConfigErrors) ConfigErrors {
	rank := func(e ConfigError) int {
		_, field, _ := strings.Cut(e.Field, ".")
		return slices.IndexFunc(hopFields, func(name string) bool {
			return field == name || strings.HasPrefix(field, name+"[") || strings.HasPrefix(field, name+".")
		})
	}
	slices.SortStableFunc(errs, func(a, b ConfigError) int { return rank(a) - rank(b) })
	return errs
}

// compileHop checks one hop and compiles what does not depend on the others.
func compileHop(field string, hops []Hop, i int, n *node, errs *ConfigErrors) {
	h := &hops[i]
	n.from = hostport.ParseFrom(field+".From", h.From, errs)
	if i > 0 && n.from.OnlyUnix() {
		errs.Add(field+".From", hostport.Unix, "only the first hop can connect through a unix socket", "list the addresses that it connects from")
	}
	checkSelf(field+".Self", h, n, errs)
	n.proof = compileSecret(field+".Secret", h.Secret, errs)
	for k := range kinds {
		checkRule(field, h, k, errs)
	}
	checkVouches(field+".Vouches", h, errs)
	checkPROXY(field, h, i, errs)
	checkHeaders(field, h, errs)
}

func checkSelf(field string, h *Hop, n *node, errs *ConfigErrors) {
	switch wants := h.For.op == appendsSelf; {
	case wants && len(h.Self) == 0:
		errs.Add(field, "", "AppendsWithSelf adds an address of the hop's own, and none is named", "list the balancer's own addresses")
	case wants:
		n.self = hostport.ParseFrom(field, h.Self, errs)
	case len(h.Self) > 0:
		errs.Add(field, fmt.Sprint(h.Self), "no rule reads it", "set For to AppendsWithSelf, or remove it")
	}
}

// forbidden are headers that a forwarding rule cannot name.
var forbidden = []string{"Host", "Connection", "Transfer-Encoding", "Content-Length", "Te", "Trailer", "Upgrade", "Cookie", "Authorization"}

func headerNameProblem(name string) string {
	switch {
	case name == "":
		return "no header is named"
	case !isToken(name):
		return "not a header name"
	case slices.Contains(forbidden, http.CanonicalHeaderKey(name)):
		return "not a forwarding header"
	}
	return ""
}

// checkRule checks one rule by itself.
func checkRule(field string, h *Hop, k kind, errs *ConfigErrors) {
	rule := *h.rule(k)
	add := func(reason, fix string) { errs.Add(field+"."+k.String(), rule.String(), reason, fix) }
	switch {
	case rule.writes():
		switch reason := headerNameProblem(rule.header); {
		case k == kindHost && rule.header == "Host":
			add("the Host rule speaks of headers that carry a host, not of Host itself", "set ReplacesHost if it sends a Host of its own")
		case reason != "":
			add(reason, "name the header that the hop writes, like X-Forwarded-"+k.String())
		case rule.header == rfc7239 && k >= kindPort:
			add("RFC 7239 has no such parameter", "name a header of its own")
		}
		if rule.op == appendsSelf && k != kindFor {
			add("only For has an address of the hop's own", "use Appends")
		}
		if rule.op == relays && (k == kindFor || k == kindCert) {
			add("Relays is for what a proxy says once about the whole way", "use Appends or Sets")
		}
		if rule.op == appends && k == kindCert {
			add("a client certificate is no list", "use Sets")
		}
	case rule.op == drops && rule.header != "":
		for _, name := range splitNames(rule.header) {
			if reason := headerNameProblem(name); reason != "" {
				add(reason, "name forwarding headers")
			}
		}
	}
}

// checkVouches keeps headers that decide something out of a list that decides
// nothing.
func checkVouches(field string, h *Hop, errs *ConfigErrors) {
	for i, name := range h.Vouches {
		at := fmt.Sprintf("%s[%d]", field, i)
		if reason := headerNameProblem(name); reason != "" {
			errs.Add(at, name, reason, "name a header that the hop replaces or removes, like X-Forwarded-User")
			continue
		}
		for k := range kinds {
			if rule := *h.rule(k); rule.writes() && rule.header == http.CanonicalHeaderKey(name) {
				errs.Add(at, name, "the "+k.String()+" rule names the same header", "remove it here: what the rule reads stays")
			}
		}
		if h.speaksPROXY() {
			errs.Add(at, name, "a hop that speaks PROXY writes no headers", "remove it")
		}
	}
}

// checkPROXY keeps PROXY rules to where they can work.
func checkPROXY(field string, h *Hop, i int, errs *ConfigErrors) {
	for k := kindProto; k < kinds; k++ {
		rule := *h.rule(k)
		switch {
		case rule.op == fromPROXY && k != kindProto && k != kindPort:
			errs.Add(field+"."+k.String(), rule.String(), "a PROXY header says nothing of it", "use Passes")
		case rule.op == fromPROXY && !h.speaksPROXY():
			errs.Add(field+"."+k.String(), rule.String(), "the hop's For rule is not FromPROXY", "use NLBTLS or NLBTCP")
		case rule.writes() && h.speaksPROXY():
			errs.Add(field+"."+k.String(), rule.String(), "a hop that speaks PROXY passes bytes and writes no headers", "use Passes")
		}
	}
	if !h.speaksPROXY() {
		return
	}
	if i > 0 {
		errs.Add(field+".For", h.For.String(), "a PROXY header comes from the nearest hop only", "list this hop first")
	}
	if !h.Secret.IsZero() {
		errs.Add(field+".Secret", h.Secret.String(), "a hop that speaks PROXY writes no headers", "remove it")
	}
	if h.ReplacesHost {
		errs.Add(field+".ReplacesHost", "true", "a hop that speaks PROXY passes bytes", "set it to false")
	}
}

// checkHeaders finds headers that two rules of one hop treat differently, or
// that hold two kinds though only Forwarded can.
func checkHeaders(field string, h *Hop, errs *ConfigErrors) {
	for k := range kinds {
		rule := *h.rule(k)
		if !rule.writes() {
			continue
		}
		for other := range kinds {
			o := *h.rule(other)
			switch {
			case o.dropsHeader(rule.header):
				errs.Add(field+"."+k.String(), rule.String(), "the hop's "+other.String()+" rule drops that header", "keep one of the two")
			case other <= k || !o.writes() || o.header != rule.header:
			case rule.header != rfc7239:
				errs.Add(field+"."+other.String(), o.String(), "the "+k.String()+" rule names the same header", "name the header that holds it")
			case rule.op != o.op:
				errs.Add(field+"."+other.String(), o.String(), "the "+k.String()+" rule treats the same header differently", "use the same word for both")
			}
		}
		if h.Secret.Header != "" && http.CanonicalHeaderKey(h.Secret.Header) == rule.header {
			errs.Add(field+".Secret.Header", h.Secret.Header, "the "+k.String()+" rule names the same header", "use a header of its own")
		}
	}
}
