package hostport_test

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/internal/hostport"
)

// refAddr is ParseAddr with the standard library's parser alone.
func refAddr(s string) (addr netip.Addr, port uint16, ok bool) {
	host, number, bracketed := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return addr, 0, false
		}
		host, number, bracketed = s[1:end], s[end+1:], true
	} else if strings.Count(s, ":") == 1 {
		host, number, _ = strings.Cut(s, ":")
		number = ":" + number
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || bracketed && addr.Is4() {
		return netip.Addr{}, 0, false
	}
	if strings.Trim(addr.Zone(), zoneBytes) != "" || len(s) > 96 {
		return netip.Addr{}, 0, false
	}
	if number == "" {
		return addr.Unmap(), 0, true
	}
	port, ok = refPort(strings.TrimPrefix(number, ":"))
	if !ok || number[0] != ':' {
		return netip.Addr{}, 0, false
	}
	return addr.Unmap(), port, true
}

const zoneBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

func refPort(s string) (uint16, bool) {
	if len(s) > 5 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}

// compareAddr holds ParseAddr to the reference.
func compareAddr(t *testing.T, s string) {
	t.Helper()
	addr, port, ok := hostport.ParseAddr(s)
	wantAddr, wantPort, wantOK := refAddr(s)
	if ok != wantOK || ok && (addr != wantAddr || port != wantPort) {
		t.Errorf("ParseAddr(%q) = %v, %d, %v; want %v, %d, %v", s, addr, port, ok, wantAddr, wantPort, wantOK)
	}
}

func TestParseAddr(t *testing.T) {
	for _, c := range []struct {
		text, addr string // addr "": refused
		port       uint16
	}{
		{"192.0.2.1", "192.0.2.1", 0},
		{"192.0.2.1:80", "192.0.2.1", 80},
		{"0.0.0.0:65535", "0.0.0.0", 65535},
		{"255.255.255.255", "255.255.255.255", 0},
		{"192.0.2.1:00080", "192.0.2.1", 80},
		{"2001:db8::1", "2001:db8::1", 0},
		{"2001:db8::7:4711", "2001:db8::7:4711", 0},
		{"[2001:db8::1]", "2001:db8::1", 0},
		{"[2001:DB8::1]:443", "2001:db8::1", 443},
		{"::", "::", 0},
		{"::ffff:192.0.2.1", "192.0.2.1", 0},
		{"[::ffff:c000:201]:80", "192.0.2.1", 80},
		{"64:ff9b::192.0.2.1", "64:ff9b::c000:201", 0},
		{"fe80::1%eth0", "fe80::1%eth0", 0},
		{"::ffff:192.0.2.1%eth0", "192.0.2.1", 0},
		{"[fe80::1%eth0.100]:80", "fe80::1%eth0.100", 80},

		{"", "", 0}, {" ", "", 0}, {" 192.0.2.1", "", 0}, {"192.0.2.1 ", "", 0}, {"192.0.2.1\n", "", 0},
		{"192.0.2", "", 0}, {"192.0.2.1.2", "", 0}, {"192.0.2.256", "", 0}, {"192.0.2.01", "", 0}, {"0x7f.0.0.1", "", 0},
		{"127.1", "", 0}, {"2130706433", "", 0}, {"192.0.2.-1", "", 0}, {"192.0.2.", "", 0}, {".192.0.2.1", "", 0},
		{"192.0.2.1:", "", 0}, {"192.0.2.1:0", "", 0}, {"192.0.2.1:65536", "", 0}, {"192.0.2.1:000080", "", 0},
		{"192.0.2.1:+80", "", 0}, {"192.0.2.1:80:80", "", 0}, {"192.0.2.1:8a", "", 0}, {"192.0.2.1/32", "", 0},
		{"[192.0.2.1]", "", 0}, {"[192.0.2.1]:80", "", 0}, {"192.0.2.1%eth0", "", 0},
		{"2001:db8::1:", "", 0}, {"2001:db8:::1", "", 0}, {"2001:db8::12345", "", 0}, {"2001:db8::g", "", 0},
		{"[2001:db8::1", "", 0}, {"2001:db8::1]", "", 0}, {"[2001:db8::1]80", "", 0}, {"[2001:db8::1]:", "", 0},
		{"[2001:db8::1]:0", "", 0}, {"[[2001:db8::1]]", "", 0}, {"[]", "", 0}, {"[", "", 0}, {":80", "", 0},
		{"fe80::1%", "", 0}, {"fe80::1%a,192.0.2.1", "", 0}, {"fe80::1%a b", "", 0}, {"fe80::1%a\"", "", 0},
		{"fe80::1%" + strings.Repeat("a", 100), "", 0}, {strings.Repeat("0", 1<<20), "", 0}, {"localhost", "", 0}, {"unknown", "", 0},
	} {
		addr, port, ok := hostport.ParseAddr(c.text)
		if ok != (c.addr != "") || ok && (addr.String() != c.addr || port != c.port) {
			t.Errorf("%.40q: %v, port %d, %v; want %q, %d", c.text, addr, port, ok, c.addr, c.port)
		}
	}
}

// mutate changes a text at a few places, with bytes that matter in addresses.
func mutate(rng *rand.Rand, s string) string {
	const alphabet = "0123456789abcdefABCDEFg.:[]%/ ,-+x\x00\xff"
	b := []byte(s)
	for range rng.IntN(4) {
		i, c := rng.IntN(len(b)+1), alphabet[rng.IntN(len(alphabet))]
		switch {
		case i < len(b) && rng.IntN(2) == 0:
			b[i] = c
		case i < len(b) && rng.IntN(2) == 0:
			b = append(b[:i], b[i+1:]...)
		default:
			b = append(b[:i], append([]byte{c}, b[i:]...)...)
		}
	}
	return string(b)
}

// randomAddr is an address in one of its spellings.
func randomAddr(rng *rand.Rand) string {
	var b [16]byte
	for i := range b {
		if rng.IntN(2) == 0 {
			b[i] = byte(rng.Uint32())
		}
	}
	addr := netip.AddrFrom16(b)
	switch rng.IntN(5) {
	case 0, 1:
		addr = netip.AddrFrom4([4]byte(b[:4]))
	case 2:
		addr = netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]})
	}
	text := addr.String()
	if addr.Is6() && rng.IntN(4) == 0 {
		text += "%eth0"
	}
	if addr.Is6() && rng.IntN(3) == 0 {
		text = addr.StringExpanded()
	}
	if addr.Is6() && rng.IntN(2) == 0 {
		text = "[" + text + "]"
	}
	if rng.IntN(2) == 0 {
		text += ":" + strconv.Itoa(rng.IntN(70_000))
	}
	return text
}

// TestParseAddrAgreesWithNetip on texts that are addresses or almost.
func TestParseAddrAgreesWithNetip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	good := 0
	for range 100_000 {
		s := mutate(rng, randomAddr(rng))
		compareAddr(t, s)
		if _, _, ok := hostport.ParseAddr(s); ok {
			good++
		}
		if t.Failed() {
			break
		}
	}
	if !t.Failed() && (good < 20_000 || good > 80_000) {
		t.Errorf("%d of 100000 texts are addresses: the test has become one-sided", good)
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"", "192.0.2.1:80", "[2001:db8::1%eth0]:443", "::ffff:192.0.2.1", "1.2.3.4.5", "fe80::1%a,b", "[::]:0"} {
		f.Add(s)
	}
	f.Fuzz(compareAddr)
}

func TestParsePort(t *testing.T) {
	for text, want := range map[string]uint16{
		"1": 1, "80": 80, "65535": 65535, "00443": 443,
		"": 0, "0": 0, "00000": 0, "65536": 0, "99999": 0, "000443": 0, "-1": 0, "+1": 0, "8 0": 0, "0x50": 0, "٣": 0,
	} {
		if got, ok := hostport.ParsePort(text); ok != (want != 0) || ok && got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, ok, want)
		}
	}
}

func TestParseAddrAllocates(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:443", "::ffff:192.0.2.1", "localhost", "192.0.2.256", ""} {
		if n := testing.AllocsPerRun(100, func() { hostport.ParseAddr(s) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}
