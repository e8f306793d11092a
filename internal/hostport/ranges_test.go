package hostport_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/knownhops/knownhops/internal/conferr"
	"github.com/knownhops/knownhops/internal/hostport"
)

// checkRanges compares a compiled list with a look at one prefix after the
// other, at both ends of each prefix and just outside.
func checkRanges(t *testing.T, prefixes []netip.Prefix, more ...netip.Addr) {
	t.Helper()
	from := make([]string, len(prefixes))
	for i, p := range prefixes {
		from[i] = p.String()
	}
	var errs conferr.Errors
	s := hostport.ParseFrom("From", from, &errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	for _, p := range prefixes {
		last := lastAddr(p)
		more = append(more, p.Addr(), p.Addr().Prev(), last, last.Next())
	}
	for _, addr := range more {
		want := false
		for _, p := range prefixes {
			want = want || p.Contains(addr)
		}
		if got := s.Has(addr); got != want {
			t.Fatalf("Has(%v) is %v with %v", addr, got, from)
		}
	}
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func TestRangeEdges(t *testing.T) {
	probes := []netip.Addr{
		netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("::"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
		netip.MustParseAddr("127.255.255.255"), netip.MustParseAddr("128.0.0.0"), netip.MustParseAddr("::ffff:ffff:ffff:ffff"), netip.MustParseAddr("0:0:0:1::"),
	}
	for _, list := range [][]string{
		{"255.255.255.255/32"}, {"0.0.0.1/32"}, {"0.0.0.0/1"}, {"128.0.0.0/1"}, {"0.0.0.0/1", "128.0.0.0/1"}, {"255.0.0.0/8", "254.0.0.0/8"},
		{"::/1"}, {"8000::/1"}, {"::/1", "8000::/1"}, {"::1/128"}, {"::/64"}, {"0:0:0:1::/64", "::/64"}, {"::/65"}, {"::8000:0:0:0/65"}, {"::/63"}, {"::/127"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "ffff:ffff:ffff:ffff::/64"},
		{"10.0.0.0/9", "10.128.0.0/9"}, {"10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"}, {"10.0.0.0/16", "10.2.0.0/16"}, {"9.255.255.255/32", "10.0.0.0/32", "11.0.0.0/8"},
		{"10.0.0.0/7"}, {"8.0.0.0/5", "12.1.2.3/32"},
	} {
		prefixes := make([]netip.Prefix, len(list))
		for i, text := range list {
			prefixes[i] = netip.MustParsePrefix(text)
		}
		checkRanges(t, prefixes, probes...)
	}
}

// TestRandomRanges crowds prefixes, so that they overlap, touch and nest.
func TestRandomRanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		prefixes := make([]netip.Prefix, 1+rng.IntN(40))
		for i := range prefixes {
			prefixes[i] = randomPrefix(rng)
		}
		var probes []netip.Addr
		for range 50 {
			probes = append(probes, randomPrefix(rng).Addr(), lastAddr(randomPrefix(rng)))
		}
		checkRanges(t, prefixes, probes...)
	}
}

func randomPrefix(rng *rand.Rand) netip.Prefix {
	var b [16]byte
	for i := range b {
		b[i] = []byte{0, 0, 0, 1, 2, 127, 128, 254, 255, byte(rng.Uint32())}[rng.IntN(10)]
	}
	addr := netip.AddrFrom16(b)
	if rng.IntN(2) == 0 || addr.Is4In6() {
		addr = netip.AddrFrom4([4]byte(b[:4]))
	}
	p, err := addr.Prefix(1 + rng.IntN(addr.BitLen()))
	if err != nil || p.Addr().IsUnspecified() && p.IsSingleIP() || p.Addr().Is4In6() {
		return netip.MustParsePrefix("192.0.2.0/24")
	}
	return p
}
