package forwarded

import (
	"net/netip"
	"strconv"

	"github.com/knownhops/knownhops/internal/hostport"
)

// An entry is what a hop wrote about who connected to it.
type entry struct {
	addr   netip.Addr
	port   uint16
	id     string // when the hop gave no address
	reason Reason // zero: addr is valid
}

// parseAddress reads an address that can be somebody's, without its zone.
func parseAddress(s string) (addr netip.Addr, port uint16, ok bool) {
	addr, port, ok = hostport.ParseAddr(s)
	if addr = withoutZone(addr); !ok || addr.IsUnspecified() {
		return netip.Addr{}, 0, false
	}
	return addr, port, true
}

// parseEntry reads one element of X-Forwarded-For, or a header that holds just
// an address: v4, v4:port, v6, [v6] or [v6]:port. The unspecified address is
// nobody's. maybe is false for what is known to be no address.
func parseEntry(s string, maybe bool, e *entry) {
	if maybe {
		if addr, port, ok := parseAddress(s); ok {
			*e = entry{addr: addr, port: port}
			return
		}
	}
	*e = entry{reason: ReasonMalformed}
	if id, rest, ok := cutIdentifier(s); ok && rest == "" {
		e.id, e.reason = id, ReasonObfuscated
	}
}

func withoutZone(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		return addr.WithZone("")
	}
	return addr
}

// bracket puts an IPv6 address into brackets, as a URL wants it.
func bracket(host string) string {
	for i := range len(host) {
		if host[i] == ':' {
			return "[" + host + "]"
		}
	}
	return host
}

func joinHostPort(host string, port uint16) string {
	return bracket(host) + ":" + strconv.Itoa(int(port))
}
