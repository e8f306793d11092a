package hostport

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/internal/conferr"
)

// The two words of a From list that are no addresses.
const (
	Unix = "unix" // the peer of a unix socket
	Any  = "any"  // everybody; legal only when spelled out
)

// Sources is a compiled From list: who may be at the other end. The zero
// Sources matches nobody. It is immutable and may be used concurrently.
type Sources struct {
	any, unix bool
	ranges    *ranges
	prefixes  []netip.Prefix // as written, for explanations
	zoned     []netip.Addr   // addresses that name a zone match only with it
}

// ParseFrom compiles a From list and adds its mistakes to errs under field.
//
// Permitted: addresses, CIDR prefixes, "unix", "any". Prohibited: an empty
// list or string, host bits in a prefix, an IPv4-mapped prefix shorter than
// 96 bits (which would be all of IPv4 and more), and all of IPv4 or IPv6
// without saying "any".
func ParseFrom(field string, from []string, errs *conferr.Errors) Sources {
	var s Sources
	if len(from) == 0 {
		errs.Add(field, "", "nobody is named, so nothing would ever match",
			`list the addresses or CIDRs it connects from, "unix", or "any" if it is the only way in`)
	}
	for i, text := range from {
		if reason, fix := s.add(text); reason != "" {
			errs.Add(field+index(i), text, reason, fix)
		}
	}
	s.ranges = newRanges(s.prefixes)
	return s
}

func index(i int) string {
	const digits = "0123456789"
	if i < 10 {
		return "[" + digits[i:i+1] + "]"
	}
	return strings.TrimSuffix(index(i/10), "]") + digits[i%10:i%10+1] + "]"
}

func (s *Sources) add(text string) (reason, fix string) {
	switch text {
	case "":
		return "an empty string", "remove it, or check the variable that it was read from"
	case Unix:
		s.unix = true
		return "", ""
	case Any:
		s.any = true
		return "", ""
	}
	if strings.Contains(text, "/") {
		return s.addPrefix(text)
	}
	return s.addAddr(text)
}

func (s *Sources) addAddr(text string) (reason, fix string) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "not an address, a CIDR, \"unix\" or \"any\"", "write it like 10.0.16.0/20 or 2001:db8::/32"
	}
	addr = addr.Unmap()
	switch {
	case !plainZone(addr):
		return "the zone holds more than letters, digits, '.', '_' and '-'", "write the interface's name"
	case addr.IsUnspecified():
		return "nobody connects from the unspecified address", `write "any" if you mean everybody`
	case addr.Zone() != "":
		s.zoned = append(s.zoned, addr)
	default:
		s.prefixes = append(s.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return "", ""
}

func (s *Sources) addPrefix(text string) (reason, fix string) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return "not a CIDR prefix", "write it like 10.0.16.0/20 or 2001:db8::/32"
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return "an IPv4-mapped prefix shorter than /96 holds far more than it looks like", "write it as an IPv4 prefix"
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 {
		return "every address of its family", `write "any" if this service can be reached in no other way`
	}
	if p != p.Masked() {
		return "has bits set behind the prefix length", "write " + p.Masked().String()
	}
	s.prefixes = append(s.prefixes, p)
	return "", ""
}

// Any reports whether the list says "any".
func (s *Sources) Any() bool { return s.any }

// Unix reports whether the peer of a unix socket matches.
func (s *Sources) Unix() bool { return s.unix || s.any }

// OnlyUnix reports whether nothing else does.
func (s *Sources) OnlyUnix() bool {
	return s.unix && !s.any && len(s.prefixes) == 0 && len(s.zoned) == 0
}

// Has reports whether addr, which must be unmapped, matches. Its zone counts
// only against entries that name one.
func (s *Sources) Has(addr netip.Addr) bool {
	if s.any {
		return addr.IsValid()
	}
	if addr.Is4() {
		return s.ranges != nil && s.ranges.has4(bits4(addr))
	}
	if addr.Zone() != "" {
		if slices.Contains(s.zoned, addr) {
			return true
		}
		addr = addr.WithZone("")
	}
	return s.ranges != nil && addr.IsValid() && s.ranges.has6(bits6(addr))
}

// Which says in words what addr matched, for explanations; "" if nothing.
func (s *Sources) Which(addr netip.Addr) string {
	if s.any {
		return Any
	}
	if slices.Contains(s.zoned, addr) {
		return addr.String()
	}
	for _, p := range s.prefixes {
		if p.Contains(addr.WithZone("")) {
			return p.String()
		}
	}
	return ""
}

// Overlap returns a prefix that both lists hold, the narrower of the two.
func (s *Sources) Overlap(o *Sources) (string, bool) {
	if s.any || o.any {
		return Any, true
	}
	for _, p := range s.prefixes {
		for _, q := range o.prefixes {
			if p.Overlaps(q) {
				if q.Bits() > p.Bits() {
					p = q
				}
				return p.String(), true
			}
		}
	}
	for _, a := range s.zoned {
		if o.Has(a) {
			return a.String(), true
		}
	}
	for _, a := range o.zoned {
		if s.Has(a) {
			return a.String(), true
		}
	}
	return "", false
}
