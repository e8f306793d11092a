//go:build linux

package peers

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

const (
	benchHost   = "example.com"
	benchPath   = "/app/items"
	benchClient = "81.2.69.142" // no documentation address: some libraries take those for invalid
	benchV6     = "2001:8b0:1:2::10"
	benchALB    = "10.0.1.23:34567"
	benchNobody = "" // the right answer where nobody can know
)

// trust10 is the list of trusted networks in every case but growth: what people write, and some of a CDN's.
var trust10 = []string{
	"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7",
	"173.245.48.0/20", "104.16.0.0/13", "162.158.0.0/15", "2606:4700::/32",
}

// A benchCase is one request and what is right about it.
type benchCase struct {
	name, about string
	remote      string
	xff         string // empty: none
	forwarded   string // instead of the whole X-Forwarded family
	hops        int    // declared to this module
	want        string
}

func benchCases() []benchCase {
	const kB, mB = 1 << 10, 1 << 20
	direct := "81.2.69.142:51234"
	return []benchCase{
		{name: "a0", about: "direct, no headers", remote: direct, hops: 1, want: benchClient},
		{name: "a1", about: "direct, forged header", remote: direct, xff: "1.2.3.4", hops: 1, want: benchClient},
		{name: "b", about: "one entry from an ALB", remote: benchALB, xff: benchClient, hops: 1, want: benchClient},
		{name: "b6", about: "the same, v6 client", remote: benchALB, xff: benchV6, hops: 1, want: benchV6},
		{name: "c", about: "three hops", remote: "10.0.9.9:34567", xff: benchClient + ", 173.245.48.7, 10.0.1.23",
			hops: 3, want: benchClient},
		{name: "d", about: "[v6]:port", remote: benchALB, xff: "[" + benchV6 + "]:51234", hops: 1, want: benchV6},
		{name: "d4", about: "v4:port", remote: benchALB, xff: benchClient + ":51234", hops: 1, want: benchClient},
		{name: "e", about: "49 forged entries before the real one", remote: benchALB, hops: 1, want: benchClient,
			xff: strings.Repeat("6.6.6.6, ", 49) + benchClient},
		{name: "f", about: "8 KiB of letters before the real entry", remote: benchALB, hops: 1, want: benchClient,
			xff: strings.Repeat("A", 8*kB) + ", " + benchClient},
		{name: "f2", about: "8 KiB of commas before the real entry", remote: benchALB, hops: 1, want: benchClient,
			xff: strings.Repeat(",", 8*kB) + benchClient},
		{name: "f3", about: "2048 times `a.1,`", remote: benchALB, hops: 1, want: benchNobody,
			xff: strings.Repeat("a.1,", 2*kB)},
		{name: "f4", about: "8 KiB of digits, one token", remote: benchALB, hops: 1, want: benchNobody,
			xff: strings.Repeat("1", 8*kB)},
		{name: "g", about: "1 MiB of `A,` before the real entry", remote: benchALB, hops: 1, want: benchClient,
			xff: strings.Repeat("A,", mB/2) + benchClient},
		{name: "g1", about: "1 MiB of letters, one token", remote: benchALB, hops: 1, want: benchNobody,
			xff: strings.Repeat("A", mB)},
		{name: "h", about: "RFC 7239 only", remote: benchALB, hops: 1, want: benchV6,
			forwarded: `for="[` + benchV6 + `]:4711";proto=https;host=example.com;by=10.0.1.23`},
	}
}

// right tells whether an answer is the client's address. A port beside it is no fault: libraries that write into
// RemoteAddr leave or put one there.
func (c benchCase) right(answer string) bool {
	if ap, err := netip.ParseAddrPort(answer); err == nil {
		answer = ap.Addr().String()
	}
	return answer == c.want
}

// request is the case with the headers of a browser, and those that an ALB writes.
func (c benchCase) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, benchPath+"?id=42", nil)
	r.RemoteAddr, r.Host = c.remote, benchHost
	r.Header = http.Header{
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Accept-Language": {"en-US,en;q=0.5"},
		"Cookie":          {"session=0123456789abcdef0123456789abcdef"},
	}
	switch {
	case c.forwarded != "":
		r.Header.Set(rfc7239, c.forwarded)
	case c.xff != "":
		r.Header.Set("X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678")
		r.Header.Set(xff, c.xff)
		r.Header.Set(xfp, "https")
		r.Header.Set("X-Forwarded-Port", "443")
	}
	return r
}

// topology declares the case's hops to this module, each with the whole list, as the other libraries have it. Only the
// outermost sees the client, so the others pass its scheme and port on.
func (c benchCase) topology(trust []string) []forwarded.Hop {
	outermost := forwarded.ALB(trust...)
	if c.forwarded != "" {
		outermost = forwarded.Hop{Name: "rfc7239", From: trust}
		outermost.For, outermost.Proto, outermost.Host =
			forwarded.Appends(rfc7239), forwarded.Appends(rfc7239), forwarded.Appends(rfc7239)
	}
	var hops []forwarded.Hop
	for range c.hops - 1 {
		hops = append(hops, forwarded.Hop{Name: "inner", From: trust, For: forwarded.Appends(xff)})
	}
	return append(hops, outermost)
}

var growthSizes = []struct {
	name string
	n    int
}{{"10", 10}, {"1000", 1000}, {"10000", 10000}}

// trustList is trust10 and random other networks, always the same ones, in random order. A quarter is IPv6, about as
// in the published lists of clouds. None of them holds an address of the benchmarks.
func trustList(n int) []string {
	list := append([]string(nil), trust10...)
	random := rand.New(rand.NewPCG(7239, 2014))
	seen := map[netip.Prefix]bool{}
	for len(list) < n {
		if prefix := randomPrefix(random); !seen[prefix] && !covers(prefix) {
			seen[prefix] = true
			list = append(list, prefix.String())
		}
	}
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func randomPrefix(random *rand.Rand) netip.Prefix {
	if random.IntN(4) == 0 {
		addr := netip.AddrFrom16([16]byte{0x2a, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()),
			byte(random.Uint32()), byte(random.Uint32())})
		return netip.PrefixFrom(addr, 32+random.IntN(17)).Masked()
	}
	addr := netip.AddrFrom4([4]byte{byte(1 + random.IntN(223)), byte(random.Uint32()), byte(random.Uint32()),
		byte(random.Uint32())})
	return netip.PrefixFrom(addr, 16+random.IntN(13)).Masked()
}

// covers tells whether a network holds an address that must stay a client's or a forger's, or overlaps the loopback.
func covers(prefix netip.Prefix) bool {
	for _, addr := range []string{benchClient, benchV6, "1.2.3.4", "6.6.6.6", "127.0.0.1"} {
		if prefix.Contains(netip.MustParseAddr(addr)) {
			return true
		}
	}
	return false
}

// Lists that differ from one run to the next cannot be compared.
func TestTrustListsStayTheSame(t *testing.T) {
	for _, size := range growthSizes {
		list := trustList(size.n)
		if len(list) != size.n {
			t.Errorf("%d networks, want %d", len(list), size.n)
		}
		if again := trustList(size.n); !slices.Equal(again, list) {
			t.Errorf("%d networks differ from one call to the next", size.n)
		}
	}
}

// Speed is worth something only with the right answer: ours must be right in every case, and with every list.
func TestBenchmarksAreAnsweredRightly(t *testing.T) {
	for _, c := range benchCases() {
		for _, size := range growthSizes {
			trust := trustList(size.n)
			for _, target := range []benchTarget{middlewares(t, c, trust)[0], functions(t, c, trust)[0]} {
				target.serve(c.request())
				if answer := target.answer(); !c.right(answer) {
					t.Errorf("%s with %d networks: %s answers %q, want %q", c.name, size.n, target.name, answer, c.want)
				}
			}
		}
	}
}
