package albtest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// What the audit writes where nobody should believe it. Names of hosts that
// have evil in them are the attacker's.
const (
	evilHost = "evil.example"
	evilPath = "evilpath.example" // in paths, which a service may repeat in its text
	forged   = "192.0.2.66"
)

// sound looks for what no answer of the audit may be: none at all, or an error
// of the server's that a plain request does not get.
func (a *audit) sound(got *reply) string {
	if got.err != nil {
		if got.way == byDirect {
			return "" // who closes the connection has refused
		}
		return "there is no answer"
	}
	usually := got.door
	if usually.way == byNode {
		usually.way = byHTTPS // a plain request of a node's is none of a client's
	}
	if plain := a.plain(usually, got.ask.from).status(); got.status() >= 500 && plain < 500 {
		return fmt.Sprintf("the service fails with %d; it answers %d to a plain request", got.status(), plain)
	}
	return ""
}

// safe wants nothing of the attacker's where somebody would follow it.
func (a *audit) safe(got *reply) string {
	if got.err != nil {
		return ""
	}
	return a.poisoned(got)
}

// safeAndSame wants what is forged to be no danger, and to change nothing.
func (a *audit) safeAndSame(got *reply) string {
	if wrong := a.safe(got); wrong != "" {
		return wrong
	}
	return a.sameAnswer(got)
}

// poisoned looks for the attacker's host.
func (a *audit) poisoned(got *reply) string {
	if to := got.header("Location"); to != "" {
		if why := a.astray(got.at(), to); why != "" {
			return "Location is " + to + ", " + why
		}
	}
	for name, values := range got.resp.Header {
		for _, v := range values {
			if v := strings.ToLower(v); strings.Contains(v, "//"+evilHost) || strings.Contains(v, "domain="+evilHost) {
				return "the header " + name + " has the attacker's host: " + v
			}
		}
	}
	if bytes.Contains(bytes.ToLower(got.body), []byte("//"+evilHost)) {
		return "the page has a link to the attacker's host"
	}
	return ""
}

// astray says what is wrong with where a Location leads; empty: nothing. Other
// names are none of its business: a service may have several.
func (a *audit) astray(from *url.URL, location string) string {
	to, err := browse(from, location)
	if err != nil {
		return "which is no address"
	}
	host := strings.ToLower(to.Hostname())
	_, notIP := netip.ParseAddr(host)
	switch {
	case host == "":
		return "which names no host"
	case strings.Contains(host, "evil"):
		return "which leads to the attacker"
	case notIP == nil:
		return "which is an address for which there is no certificate"
	}
	return ""
}

// browse finds out where a browser goes: for it a backslash is a slash, and
// tabs and line ends are not there.
func browse(from *url.URL, location string) (*url.URL, error) {
	seen := strings.NewReplacer(`\`, "/", "\t", "", "\r", "", "\n", "").Replace(strings.TrimSpace(location))
	if strings.HasPrefix(seen, "//") { // any number of slashes begins a host
		seen = "//" + strings.TrimLeft(seen, "/")
	}
	to, err := url.Parse(seen)
	if err != nil {
		return nil, err
	}
	return from.ResolveReference(to), nil
}

// refused reports whether the service turned down what is forged, which it may.
func (a *audit) refused(got *reply) bool {
	return got.err != nil || isRefusal(got.status()) && !isRefusal(a.plain(got.door, got.ask.from).status())
}

func isRefusal(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusNotFound
}

// believed is who the service takes for the client.
func (a *audit) believed(r *reply) (netip.Addr, bool) {
	if r.err != nil {
		return netip.Addr{}, false
	}
	addr, ok := a.spec.Client(r.answer())
	return addr.Unmap().WithZone(""), ok && addr.IsValid()
}

// name is how an error calls a client.
func (a *audit) name(addr netip.Addr, known bool, in *reply) string {
	switch {
	case !known:
		return "nobody it knows"
	case addr == in.ask.from && in.way != byDirect:
		return addr.String() + ", who it is"
	case addr.String() == directAddr:
		return addr.String() + ", who connected"
	case inSubnetsOf(addr):
		return addr.String() + ", which is in the balancer's networks"
	}
	return addr.String() + ", which is not who connected to the balancer"
}

func inSubnetsOf(addr netip.Addr) bool {
	for _, subnet := range Subnets() {
		if netip.MustParsePrefix(subnet).Contains(addr) {
			return true
		}
	}
	return false
}

// isClient wants the service to know its client.
func (a *audit) isClient(got *reply) string {
	addr, known := a.believed(got)
	if known && addr == got.ask.from {
		return ""
	}
	return fmt.Sprintf("the service takes the client for %s; it is %s", a.name(addr, known, got), got.ask.from)
}

// sameClient wants the service to believe what it believes without the forged
// lines.
func (a *audit) sameClient(got *reply) string {
	if a.refused(got) {
		return ""
	}
	return a.believesAs(got, a.plain(got.door, got.ask.from), "without what is forged")
}

// believesAs wants both answers to name the same client.
func (a *audit) believesAs(got, plain *reply, otherwise string) string {
	addr, known := a.believed(got)
	was, wasKnown := a.believed(plain)
	if addr == was && known == wasKnown {
		return ""
	}
	return fmt.Sprintf("the service takes the client for %s; %s, for %s", a.name(addr, known, got), otherwise, a.name(was, wasKnown, plain))
}

// unknownClient wants the service to say that it does not know.
func (a *audit) unknownClient(got *reply) string {
	addr, known := a.believed(got)
	if !known {
		return ""
	}
	return fmt.Sprintf("the service takes the client for %s; nobody told it", a.name(addr, known, got))
}

// peerOrNobody wants the service to believe its peer, if anybody.
func (a *audit) peerOrNobody(got *reply) string {
	addr, known := a.believed(got)
	if !known || addr.String() == directAddr {
		return ""
	}
	return fmt.Sprintf("the service takes the client for %s; %s connected", a.name(addr, known, got), directAddr)
}

// sameAnswer wants what is forged to change nothing.
func (a *audit) sameAnswer(got *reply) string {
	if a.refused(got) {
		return ""
	}
	return differs(got, a.plain(got.door, got.ask.from), "without what is forged")
}

// differs looks for a difference that the client notices.
func differs(got, plain *reply, otherwise string) string {
	if got.status() != plain.status() {
		return fmt.Sprintf("the service answers %d; %s, %d", got.status(), otherwise, plain.status())
	}
	for _, name := range []string{"Location", "Strict-Transport-Security"} {
		if got.header(name) != plain.header(name) {
			return fmt.Sprintf("%s is %q; %s, %q", name, got.header(name), otherwise, plain.header(name))
		}
	}
	return ""
}

// alike wants no difference, and the same client, if that is known.
func (a *audit) alike(got, plain *reply, otherwise string) string {
	if wrong := differs(got, plain, otherwise); wrong != "" || a.spec.Client == nil {
		return wrong
	}
	return a.believesAs(got, plain, otherwise)
}

// ownPort wants a redirect to the service to name a port that clients can use.
func (a *audit) ownPort(got *reply) string {
	to, err := browse(got.at(), got.header("Location"))
	if err != nil || got.header("Location") == "" || !strings.EqualFold(to.Hostname(), a.spec.Host) {
		return ""
	}
	usable := to.Port() == "" || to.Scheme == "https" && to.Port() == "443" || to.Scheme == "http" && to.Port() == "80"
	if usable {
		return ""
	}
	return "Location names port " + to.Port() + ", on which nobody listens for clients"
}
