package redirect

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/hostport"
)

// hosts are the names of a Config, compiled.
type hosts struct {
	canonical  string
	names      map[string]*site // the canonical host and exact aliases
	wildcards  hostport.HostSet
	patterns   []string // what the wildcards are below
	plain      hostport.HostSet
	plainNames []string // without "*."
	wild       *site    // what is below a wildcard
	any        *Config  // set for DangerouslyAnyHost
}

// A site is one name of ours: where requests for it are sent.
type site struct {
	host      string // as Proof is asked for it
	canonical bool
	http      string // origin to redirect http to: "https://www.example.com"
	https     string // origin to redirect https to; "": it stays
	hsts      string
	proves    *proved // what https for this name shows; nil: nothing
	needs     *proved // what must be shown before http is redirected
}

// ours finds what a host belongs to, or says why it belongs to nobody.
func (h *hosts) ours(info *forwarded.Info) (*site, Reason) {
	if s := h.names[info.Host]; s != nil {
		return s, 0
	}
	host, _, ok := hostport.ParseHost(info.Host) // an Info of the user's own may not be in its final form
	switch {
	case info.HostReason == forwarded.ReasonHostReplaced:
		return nil, ReasonHostLost
	case isAddress(info.Host) || ok && hostport.IsIP(host):
		return nil, ReasonIPHost
	case !ok:
		return nil, ReasonUnknownHost
	case h.names[host] != nil:
		return h.names[host], 0
	case h.plain.Has(host):
		return &plainSite, 0
	case h.wildcards.Has(host):
		return h.wild, 0
	case h.any != nil:
		return &site{host: host, canonical: true, http: originOf(host, h.any.HTTPSPort), hsts: headerFor(host, h.any.HSTS.own())}, 0
	}
	return nil, ReasonUnknownHost
}

// isAddress knows IPv6 without its brackets, as Info.Host has it.
func isAddress(host string) bool {
	if strings.IndexByte(host, ':') < 0 {
		return false // and ParseAddr's error would cost an allocation
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// plainSite stands for every one of PlainHosts. It is never changed.
var plainSite site

// compile reads the names and reports every mistake.
func (h *hosts) compile(c *Config, errs *ConfigErrors) {
	var reason, fix string
	if h.canonical, reason, fix = checkHost(c.Canonical); c.Canonical == "" {
		errs.Add("Canonical", "", "no host is named", "name the host that people should end up at")
	} else if reason != "" {
		if strings.HasPrefix(c.Canonical, "*.") {
			reason, fix = "a wildcard names no host to go to", "wildcards are for Aliases"
		}
		errs.Add("Canonical", c.Canonical, reason, fix)
	}
	h.names = map[string]*site{h.canonical: {}}
	for i, name := range c.Aliases {
		h.alias(fmt.Sprintf("Aliases[%d]", i), name, errs)
	}
	for i, name := range c.PlainHosts {
		field := fmt.Sprintf("PlainHosts[%d]", i)
		if host, reason, fix := checkHost(strings.TrimPrefix(name, "*.")); reason != "" {
			errs.Add(field, name, reason, fix)
		} else if enforced := h.enforced(name); enforced != "" {
			errs.Add(field, name, "covers "+enforced+", for which https is enforced", "take it out of one of the lists")
		} else {
			h.plain.Add(name)
			h.plainNames = append(h.plainNames, host)
		}
	}
}

// enforced names the canonical host or an alias that a pattern covers.
func (h *hosts) enforced(pattern string) (covered string) {
	var set hostport.HostSet
	set.Add(pattern)
	for name := range h.names {
		if set.Has(name) && name > covered {
			covered = name
		}
	}
	for _, base := range h.patterns {
		if set.Has("x."+base) && strings.HasPrefix(pattern, "*.") {
			return "*." + base
		}
	}
	return covered
}

func (h *hosts) alias(field, name string, errs *ConfigErrors) {
	base, wild := strings.CutPrefix(name, "*.")
	host, reason, fix := checkHost(base)
	switch {
	case reason != "":
		errs.Add(field, name, reason, fix)
	case wild:
		h.wildcards.Add(name)
		h.patterns = append(h.patterns, host)
	case h.names[host] != nil:
		errs.Add(field, name, "named twice", "leave it out")
	default:
		h.names[host] = &site{}
	}
}

// prepare writes every origin and header once.
func (h *hosts) prepare(c *Config) {
	to, shown := originOf(h.canonical, c.HTTPSPort), new(proved)
	h.wild = &site{host: h.canonical, http: to, https: to, hsts: c.HSTS.own().String(), needs: shown}
	apex := h.apex()
	for name := range h.names {
		own := new(proved)
		s := &site{host: name, http: originOf(name, c.HTTPSPort), https: to, hsts: headerFor(name, c.HSTS.own()), proves: own, needs: own}
		if c.OneHop {
			s.host, s.http, s.needs = h.canonical, to, shown
		}
		if name == apex && c.HSTS.Preload {
			s.hsts = headerFor(name, c.HSTS) // the list takes whole domains, so their bare name must agree
		}
		h.names[name] = s
	}
	h.names[h.canonical] = &site{host: h.canonical, canonical: true, http: to, hsts: c.HSTS.String(), proves: shown, needs: shown}
	if c.DangerouslyAnyHost {
		h.any = c
	}
}

// headerFor is the HSTS header for one host. Local names get none: they are
// those of all programs on a machine.
func headerFor(host string, h HSTS) string {
	if isLocal(host) {
		return ""
	}
	return h.String()
}

// apex is the shortest exact alias that the canonical host is below.
func (h *hosts) apex() (apex string) {
	for name := range h.names {
		if strings.HasSuffix(h.canonical, "."+name) && (apex == "" || len(name) < len(apex)) {
			apex = name
		}
	}
	return apex
}

// plainBelow names a plain host below one whose HSTS holds for subdomains.
func (h *hosts) plainBelow() string {
	for _, name := range h.plainNames {
		for above, s := range h.names {
			if strings.HasSuffix(name, "."+above) && strings.Contains(s.hsts, "includeSubDomains") {
				return name
			}
		}
	}
	return ""
}

func originOf(host string, port uint16) string {
	if port == 0 || port == 443 {
		return "https://" + host
	}
	return "https://" + host + ":" + strconv.Itoa(int(port))
}

// isLocal reports whether browsers trust host over http as over https (W3C
// Secure Contexts §3.1, and the onion services that Firefox adds): they send it
// Sec-Fetch headers and keep Secure cookies for it, which therefore say nothing.
func isLocal(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".onion")
}
