package hostport

import (
	"net/netip"
	"strings"
)

// maxAddr is the longest text that can hold an address: an IPv6 address with
// an embedded IPv4 one (45), brackets, a zone and a port.
const maxAddr = 96

// ParseAddr reads an address as balancers and net/http write it: "192.0.2.1",
// "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:80".
//
// An IPv4-mapped address comes back as IPv4. A zone stays on the address;
// whoever hands the address out drops it. The port is 0 when none is written;
// port 0 itself is refused.
func ParseAddr(s string) (addr netip.Addr, port uint16, ok bool) {
	if addr, port, ok = ParseIPv4(s); ok {
		return addr, port, true
	}
	if len(s) < 2 || len(s) > maxAddr {
		return netip.Addr{}, 0, false
	}
	rest := ""
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return netip.Addr{}, 0, false
		}
		s, rest = s[1:end], s[end+1:]
	}
	if addr, ok = parseIPv6(s); !ok {
		return netip.Addr{}, 0, false
	}
	port, ok = cutPort(rest)
	return addr, port, ok
}

// ParseIPv4 is ParseAddr for IPv4 only. It never allocates.
func ParseIPv4(s string) (addr netip.Addr, port uint16, ok bool) {
	addr, rest, ok := cutIPv4(s)
	if !ok {
		return netip.Addr{}, 0, false
	}
	port, ok = cutPort(rest)
	return addr, port, ok
}

// parseIPv6 reads a bare IPv6 address. netip's parser builds an error for each
// text it refuses, so what is plainly something else never reaches it.
func parseIPv6(s string) (netip.Addr, bool) {
	if s == "" || !hexOrColon[s[0]] || strings.IndexByte(s, ':') < 0 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Is4() || !plainZone(addr) {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// plainZone keeps a list from passing for an address: netip takes whatever
// follows a percent sign, commas included, for the zone.
func plainZone(addr netip.Addr) bool {
	zone := addr.Zone()
	for i := range len(zone) {
		if hostClass[zone[i]] == hostBad || zone[i] == ':' {
			return false
		}
	}
	return true
}

var hexOrColon = [256]bool{
	':': true, '0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true,
	'9': true, 'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true,
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true,
}

// cutIPv4 reads four decimal octets without leading zeros at the start of s
// and returns what follows them. It agrees with netip.ParseAddr, and takes
// about half of its time: it runs twice for each request.
func cutIPv4(s string) (addr netip.Addr, rest string, ok bool) {
	var sum uint32
	i := 0
	for dots := 0; ; dots++ {
		if i >= len(s) || s[i]-'0' > 9 {
			return netip.Addr{}, "", false
		}
		value := uint32(s[i] - '0')
		for i++; value != 0 && i < len(s) && s[i]-'0' <= 9; i++ {
			if value = value*10 + uint32(s[i]-'0'); value > 255 {
				return netip.Addr{}, "", false
			}
		}
		if sum = sum<<8 | value; dots == 3 {
			break
		}
		if i >= len(s) || s[i] != '.' {
			return netip.Addr{}, "", false
		}
		i++
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), s[i:], true
}

// cutPort reads what may follow an address: nothing, or a colon and a port.
func cutPort(s string) (port uint16, ok bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != ':' {
		return 0, false
	}
	return ParsePort(s[1:])
}

// ParsePort reads one to five digits, 1 to 65535.
func ParsePort(s string) (port uint16, ok bool) {
	if s == "" || len(s) > 5 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	return uint16(n), 0 < n && n <= 65535
}
