package forwarded_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// The cases are those of the comparison with other libraries, under the same
// short names, so that figures can be laid side by side.
const (
	benchClient   = "81.2.69.142"
	benchClientV6 = "2001:8b0:1:2::10"
	benchALB      = "10.0.1.23:34567"
)

// A benchCase is one request and the hops it came through.
type benchCase struct {
	name  string
	hops  []forwarded.Hop
	peer  string
	known bool // the client can be told
	lines http.Header
}

func xffLines(xff string) http.Header {
	return http.Header{"X-Forwarded-For": {xff}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"}}
}

func benchCases() []benchCase {
	alb := []forwarded.Hop{forwarded.ALB("10.0.0.0/20")}
	chain := []forwarded.Hop{
		forwarded.Trusted("10.0.9.0/24"), forwarded.Trusted("10.0.1.0/24"), forwarded.Trusted("173.245.48.0/20"),
	}
	chain[0].Proto, chain[1].Proto = forwarded.Passes(), forwarded.Passes()
	chain[2].Port = forwarded.Sets("X-Forwarded-Port")
	rfc7239 := forwarded.Hop{
		Name: "rfc7239", From: []string{"10.0.0.0/20"},
		For: forwarded.Appends("Forwarded"), Proto: forwarded.Appends("Forwarded"), Host: forwarded.Appends("Forwarded"),
	}
	element := `for="[` + benchClientV6 + `]:4711";proto=https;host=example.com;by=203.0.113.43`
	return []benchCase{
		{"a0", alb, "81.2.69.142:5555", true, http.Header{}},
		{"a1", alb, "81.2.69.142:5555", true, http.Header{"X-Forwarded-For": {"1.2.3.4"}, "X-Forwarded-Proto": {"https"}}},
		{"b", alb, benchALB, true, xffLines(benchClient)},
		{"b6", alb, benchALB, true, xffLines(benchClientV6)},
		{"c", chain, "10.0.9.9:34567", true, xffLines(benchClient + ", 173.245.48.7, 10.0.1.23")},
		{"d", alb, benchALB, true, xffLines("[" + benchClientV6 + "]:51234")},
		{"d4", alb, benchALB, true, xffLines(benchClient + ":51234")},
		{"e", alb, benchALB, true, xffLines(strings.Repeat("6.6.6.6, ", 49) + benchClient)},
		{"f", alb, benchALB, true, xffLines(strings.Repeat("A", 8192) + ", " + benchClient)},
		{"f2", alb, benchALB, true, xffLines(strings.Repeat(",", 8192) + benchClient)},
		{"f3", alb, benchALB, false, xffLines(strings.Repeat("a.1,", 2048))},
		{"f4", alb, benchALB, false, xffLines(strings.Repeat("1", 8192))},
		{"h", []forwarded.Hop{rfc7239}, benchALB, true, http.Header{"Forwarded": {element}}},
		{"1MB_commas", alb, benchALB, false, xffLines(strings.Repeat(",", megabyte))},
		{"1MB_token", alb, benchALB, false, xffLines(strings.Repeat("a", megabyte))},
		{"1MB_left", alb, benchALB, true, xffLines(strings.Repeat("6.6.6.6,", megabyte/8) + benchClient)},
		{"1MB_quotes", []forwarded.Hop{rfc7239}, benchALB, false, http.Header{"Forwarded": {strings.Repeat(`"`, megabyte)}}},
		{"1MB_backslashes", []forwarded.Hop{rfc7239}, benchALB, false, http.Header{"Forwarded": {strings.Repeat(`\`, megabyte) + `"`}}},
		{"probe", alb, benchALB, false, http.Header{}},
	}
}

func (c benchCase) policy(tb testing.TB) *forwarded.Policy {
	tb.Helper()
	p, err := forwarded.New(forwarded.Config{Hops: c.hops, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func (c benchCase) request() *http.Request { return benchRequest(c.peer, c.lines) }

// benchRequest is a browser's request as it arrives behind a balancer.
func benchRequest(peer string, lines http.Header) *http.Request {
	header := http.Header{
		"User-Agent": {"Mozilla/5.0"}, "Accept": {"text/html"}, "Accept-Encoding": {"gzip"},
		"Accept-Language": {"en"}, "Cookie": {"theme=0123456789abcdef"},
	}
	for name, values := range lines {
		header[name] = values
	}
	return refRequest{remote: peer, host: "example.com", header: header}.request()
}

func BenchmarkResolve(b *testing.B) {
	for _, c := range benchCases() {
		b.Run(c.name, func(b *testing.B) {
			p, r := c.policy(b), c.request()
			b.ReportAllocs()
			for b.Loop() {
				p.Resolve(r)
			}
		})
	}
}

func BenchmarkWrap(b *testing.B) {
	for _, c := range benchCases() {
		b.Run(c.name, func(b *testing.B) {
			h := c.policy(b).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { forwarded.From(r) }))
			r := c.request()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nopWriter{}, r)
			}
		})
	}
}

var benchPrefixCounts = []int{10, 1000, 10_000}

// benchPrefixes makes n networks that do not touch, so that none merge, and
// puts the balancer's last.
func benchPrefixes(n int) []string {
	prefixes := make([]string, 0, n)
	for i := range n - 1 {
		if i%4 == 3 {
			prefixes = append(prefixes, fmt.Sprintf("2600:%x:%x::/48", i>>8, i&0xff<<1))
			continue
		}
		prefixes = append(prefixes, fmt.Sprintf("%d.%d.%d.0/24", 20+i>>12, i>>4&0xff, i&0xf<<1))
	}
	return append(prefixes, "10.0.0.0/24")
}

func benchBehind(tb testing.TB, prefixes []string) *forwarded.Policy {
	tb.Helper()
	return benchCase{hops: []forwarded.Hop{forwarded.ALB(prefixes...)}}.policy(tb)
}

func BenchmarkPrefixes(b *testing.B) {
	for _, n := range benchPrefixCounts {
		p := benchBehind(b, benchPrefixes(n))
		r := benchRequest("10.0.0.1:34567", xffLines(benchClient))
		b.Run(fmt.Sprint("Resolve/", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Resolve(r)
			}
		})
		h := p.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		b.Run(fmt.Sprint("Wrap/", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nopWriter{}, r)
			}
		})
	}
}
