package hostport

import (
	"net/netip"
	"strings"
)

// Limits of a DNS name in its text form (RFC 1035 §2.3.4).
const (
	maxHost  = 253
	maxLabel = 63
)

// Classes of the bytes of a host name.
const (
	hostBad = iota
	hostByte
	hostUpper
	hostDot
	hostColon
)

var hostClass = func() (table [256]uint8) {
	for c := 'a'; c <= 'z'; c++ {
		table[c], table[c-'a'+'A'] = hostByte, hostUpper
	}
	for c := '0'; c <= '9'; c++ {
		table[c] = hostByte
	}
	table['-'], table['_'], table['.'], table[':'] = hostByte, hostByte, hostDot, hostColon
	return table
}()

// ParseHost reads a Host value: a name or an address, and a port.
//
// The host comes back in lower case, without port, brackets or trailing dot;
// only a name with capitals, or an IPv6 address, costs an allocation. The port
// is 0 when none is written ("example.com:" is legal, RFC 3986 §3.2.3).
//
// Prohibited, because programs disagree about them: user information, paths,
// spaces, percent signs, empty labels, IPv6 zones, and names that end in a
// number but are no IPv4 address ("127.1", "0x7f.1"), which browsers take for
// addresses (WHATWG URL, "ends in a number").
func ParseHost(s string) (host string, port uint16, ok bool) {
	if s == "" {
		return "", 0, false
	}
	if s[0] == '[' {
		return parseIPv6Host(s)
	}
	end, upper, ok := scanName(s)
	if !ok {
		return "", 0, false
	}
	if host = strings.TrimSuffix(s[:end], "."); upper {
		host = strings.ToLower(host)
	}
	if len(host) > maxHost || !numberIsAddress(host) {
		return "", 0, false
	}
	if port, ok = hostPort(s[end:]); !ok {
		return "", 0, false
	}
	return host, port, true
}

// scanName checks labels up to the port's colon or the end.
func scanName(s string) (end int, upper, ok bool) {
	label := 0
	for i := 0; i < len(s); i++ {
		class := hostClass[s[i]]
		if class == hostByte {
			continue
		}
		if class == hostUpper {
			upper = true
			continue
		}
		if i == label || i-label > maxLabel || class == hostBad {
			return i, upper, class == hostColon && i == label && i > 0 // the dot before the port is a trailing one
		}
		if class == hostColon {
			return i, upper, true
		}
		label = i + 1
	}
	return len(s), upper, len(s)-label <= maxLabel
}

// numberIsAddress refuses a name whose last label is a number, unless the
// whole of it is an IPv4 address.
func numberIsAddress(host string) bool {
	if host == "" || !hexOrColon[host[len(host)-1]] && host[len(host)-1] != 'x' {
		return true // no number ends like this
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last[0]-'0' > 9 || !isNumber(last) {
		return true
	}
	_, rest, ok := cutIPv4(host)
	return ok && rest == ""
}

// isNumber reports whether a browser would read the label as a number:
// decimal digits, or 0x and hexadecimal digits.
func isNumber(label string) bool {
	digits := "0123456789"
	if strings.HasPrefix(label, "0x") {
		label, digits = label[2:], "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}

func parseIPv6Host(s string) (host string, port uint16, ok bool) {
	end := strings.IndexByte(s, ']')
	if end < 0 || end > maxAddr {
		return "", 0, false
	}
	addr, err := netip.ParseAddr(s[1:end])
	if err != nil || addr.Is4() || addr.Zone() != "" {
		return "", 0, false
	}
	if port, ok = hostPort(s[end+1:]); !ok {
		return "", 0, false
	}
	return addr.String(), port, true
}

// hostPort is cutPort, but an empty port after the colon means the default.
func hostPort(s string) (uint16, bool) {
	if s == ":" {
		return 0, true
	}
	return cutPort(s)
}

// A HostSet is an allow-list of host names, exact ones and "*.example.com",
// which stands for every name below example.com but not for itself. The zero
// HostSet is empty.
type HostSet struct {
	exact  map[string]bool
	suffix []string // ".example.com"
}

// Add reads one pattern; reason says what is wrong with it, if anything.
func (s *HostSet) Add(pattern string) (reason string) {
	name, wild := strings.CutPrefix(pattern, "*.")
	host, port, ok := ParseHost(name)
	switch {
	case !ok:
		return "not a host name"
	case port != 0 || strings.HasSuffix(name, ":"):
		return "a host name has no port here"
	case wild && IsIP(host):
		return "an address has no subdomains"
	case wild:
		s.suffix = append(s.suffix, "."+host)
	default:
		if s.exact == nil {
			s.exact = make(map[string]bool)
		}
		s.exact[host] = true
	}
	return ""
}

// Has reports whether host, as ParseHost gives it, is in the set.
func (s *HostSet) Has(host string) bool {
	if s.exact[host] {
		return true
	}
	for _, suffix := range s.suffix {
		if len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// Empty reports whether nothing was added.
func (s *HostSet) Empty() bool { return len(s.exact) == 0 && len(s.suffix) == 0 }

// IsIP reports whether host, as ParseHost gives it, is an address.
func IsIP(host string) bool {
	if strings.IndexByte(host, ':') >= 0 {
		return true
	}
	_, rest, ok := cutIPv4(host)
	return ok && rest == ""
}
