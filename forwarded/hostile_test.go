package forwarded_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// Headers as large as net/http lets through: about one megabyte in all.
const megabyte = 1 << 20

// hostileHop appends X-Forwarded-For, or whichever header is named, and sets
// the rest as a balancer does.
func hostileHop(header string) refHop {
	h := refHop{from: []string{"10.0.0.0/8"}}
	h.rules[refFor] = refWrites(refAppends, header)
	h.rules[refProto] = refWrites(refSets, "X-Forwarded-Proto")
	h.rules[refPort] = refWrites(refSets, "X-Forwarded-Port")
	return h
}

func repeatHop(h refHop, n int) []refHop { return slices.Repeat([]refHop{h}, n) }

// A hostileCase is one oversized header and what must be said to it. Where
// words are listed, each is right: which budget runs out first is open.
type hostileCase struct {
	name   string
	header string
	lines  []string
	hops   int
	want   string // client address, or reasons separated by blanks
}

func hostileCases() []hostileCase {
	const xff, fwd = "X-Forwarded-For", "Forwarded"
	line := func(s ...string) []string { return s }
	commas := strings.Repeat(",", 500_000)
	token := strings.Repeat("a", megabyte)
	cases := []hostileCase{
		{"commas only", xff, line(commas), 1, "too_long"},
		{"commas left of the client", xff, line(commas + "203.0.113.7"), 1, "203.0.113.7"},
		{"commas right of the client", xff, line("203.0.113.7" + commas), 1, "too_long"},
		{"eight empty items", xff, line("203.0.113.7" + strings.Repeat(",", 8)), 1, "203.0.113.7"},
		{"nine empty items", xff, line("203.0.113.7" + strings.Repeat(",", 9)), 1, "too_long"},
		{"commas and blanks", xff, line(strings.Repeat(", \t", 300_000)), 2, "too_long"},
		{"blanks", xff, line("203.0.113.7" + strings.Repeat(" ", megabyte)), 1, "too_long malformed"},
		{"blanks left", xff, line(strings.Repeat(" ", megabyte) + "203.0.113.7"), 1, "too_long malformed 203.0.113.7"},
		{"trusted addresses", xff, line(strings.Repeat("10.0.0.9, ", 90_000) + "10.0.0.5"), 1, "10.0.0.5"},
		{"trusted addresses, four hops", xff, line(strings.Repeat("10.0.0.9, ", 90_000) + "10.0.0.5"), 4, "10.0.0.9"},
		{"one token", xff, line(token), 1, "too_long malformed"},
		{"token left of the client", xff, line(token + ", 203.0.113.7"), 1, "203.0.113.7"},
		{"token line left of the client", xff, line(token, "203.0.113.7"), 1, "203.0.113.7"},
		{"token where the second hop's entry is", xff, line(token + ", 10.0.0.5"), 2, "too_long malformed"},
		{"digits", xff, line(strings.Repeat("1", megabyte)), 1, "too_long malformed"},
		{"colons", xff, line(strings.Repeat(":", megabyte)), 1, "too_long malformed"},
		{"brackets", xff, line(strings.Repeat("[", megabyte)), 1, "too_long malformed"},
		{"short junk", xff, line(strings.Repeat("a.1,", megabyte/4)), 1, "malformed"},
		{"lines", xff, strings.Split(strings.Repeat("6.6.6.6\n", 10_000)+"203.0.113.7", "\n"), 1, "203.0.113.7"},
		{"empty lines", xff, make([]string, 10_000), 1, "too_long"},
		{"empty lines right of the client", xff, append(line("203.0.113.7"), make([]string, 10_000)...), 1, "too_long"},
		{"trusted lines, four hops", xff, strings.Split(strings.Repeat("10.0.0.9\n", 10_000)+"10.0.0.5", "\n"), 4, "10.0.0.9"},
	}
	for _, unit := range []string{`"`, `\`, `\"`, `"\`, `""`, `\\"`, `;`, `=`, `,`, `a=`, `a="`, `a=b;`, `a=b,`, `for=`, `for="",`, " ", "\t;"} {
		cases = append(cases,
			hostileCase{"Forwarded of " + unit, fwd, line(strings.Repeat(unit, megabyte/len(unit))), 1, "too_long malformed"},
			hostileCase{"Forwarded, left " + unit, fwd, line(strings.Repeat(unit, megabyte/len(unit)) + ", for=203.0.113.7"), 1, "203.0.113.7"},
			hostileCase{"Forwarded, a line of " + unit, fwd, line(strings.Repeat(unit, megabyte/len(unit)), "for=203.0.113.7"), 1, "203.0.113.7"},
			hostileCase{"Forwarded, right " + unit, fwd, line("for=203.0.113.7;x=" + strings.Repeat(unit, megabyte/len(unit))), 1, "too_long malformed"})
	}
	return cases
}

func (c hostileCase) config() refConfig {
	return refConfig{hops: repeatHop(hostileHop(c.header), c.hops)}
}

func (c hostileCase) request() refRequest {
	return refRequest{remote: "10.0.0.1:1024", host: "www.example.com", header: http.Header{
		c.header: c.lines, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"},
	}}
}

// TestHostileHeaders: no size of header makes Resolve panic, allocate by size,
// or name the client wrongly.
func TestHostileHeaders(t *testing.T) {
	for _, c := range hostileCases() {
		t.Run(c.name, func(t *testing.T) {
			p := c.config().policy(t)
			r := c.request().request()
			info := p.Resolve(r)
			got := info.Reason.String()
			if info.Client.IsValid() {
				got = info.Client.String()
			}
			if !slices.Contains(strings.Fields(c.want), got) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if info.Reason == forwarded.ReasonTooLong && info.Scheme != forwarded.SchemeUnknown {
				t.Errorf("the scheme is %v beside a refused address list", info.Scheme)
			}
			allowed := 1.0
			if info.Client.IsValid() {
				allowed = 0
			}
			if n := testing.AllocsPerRun(5, func() { p.Resolve(r) }); n > allowed {
				t.Errorf("%v allocations, want at most %v", n, allowed)
			}
		})
	}
}

// TestHostileOtherHeaders puts the same sizes where scheme, port, host and
// prefix are read.
func TestHostileOtherHeaders(t *testing.T) {
	hop := hostileHop("X-Forwarded-For")
	hop.rules[refHost] = refWrites(refSets, "X-Forwarded-Host")
	hop.rules[refPrefix] = refWrites(refSets, "X-Forwarded-Prefix")
	p := refConfig{hops: []refHop{hop}}.policy(t)
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Host", "X-Forwarded-Prefix"} {
		for _, unit := range []string{",", "a", "https,", " ", "/", "/a", "1", "[", ":", ".", "a."} {
			header := http.Header{"X-Forwarded-For": {"203.0.113.7"}, name: {strings.Repeat(unit, megabyte/len(unit))}}
			r := refRequest{remote: "10.0.0.1:1024", host: "www.example.com", header: header}.request()
			info := p.Resolve(r)
			if info.Client != netip.MustParseAddr("203.0.113.7") || info.Scheme != 0 || info.Port != 0 || info.Prefix != "" || info.Host != "www.example.com" && info.Host != "" {
				t.Errorf("%s of %q: %+v", name, unit, info)
			}
			if n := testing.AllocsPerRun(5, func() { p.Resolve(r) }); n > 1 {
				t.Errorf("%s of %q: %v allocations", name, unit, n)
			}
		}
	}
}

// TestHostileHost: the Host itself, and the peer's address, come from outside
// too.
func TestHostileHost(t *testing.T) {
	var p forwarded.Policy
	for _, unit := range []string{"a", "a.", ".", ":", "[", "%", "\x00", "é"} {
		text := strings.Repeat(unit, megabyte/len(unit))
		r := refRequest{remote: "203.0.113.7:1024", host: text}.request()
		if info := p.Resolve(r); info.Host != "" || info.HostReason != forwarded.ReasonBadHost {
			t.Errorf("a megabyte of %q became the host %.40q (%v)", unit, info.Host, info.HostReason)
		}
		r = refRequest{remote: text, host: "www.example.com"}.request()
		if info := p.Resolve(r); info.Client.IsValid() || info.Reason != forwarded.ReasonBadPeer {
			t.Errorf("a megabyte of %q became the client %v (%v)", unit, info.Client, info.Reason)
		}
	}
}

// TestHostileThroughWrap sends the same headers through everything Wrap does:
// deciding, removing, handing on.
func TestHostileThroughWrap(t *testing.T) {
	for _, c := range hostileCases() {
		p := c.config().policy(t)
		served := false
		p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			served = true
			info := forwarded.From(r)
			if left := r.Header.Values(c.header); !info.Client.IsValid() && len(left) > 0 {
				t.Errorf("%s: the client is unknown, and %d lines of %s were handed on", c.name, len(left), c.header)
			}
		})).ServeHTTP(nopWriter{}, c.request().request())
		if !served {
			t.Errorf("%s: not served", c.name)
		}
	}
}

// nopWriter is a ResponseWriter that costs nothing.
type nopWriter struct{}

func (nopWriter) Header() http.Header         { return nil }
func (nopWriter) Write(p []byte) (int, error) { return len(p), nil }
func (nopWriter) WriteHeader(int)             {}

// TestFriendlyRequestsAllocateNothing: what honest proxies send costs no
// garbage, whatever the shape.
func TestFriendlyRequestsAllocateNothing(t *testing.T) {
	for _, c := range benchCases() {
		p, r := c.policy(t), c.request()
		info := p.Resolve(r)
		if info.Client.IsValid() != c.known {
			t.Errorf("%s: client %v (%v), known should be %v", c.name, info.Client, info.Reason, c.known)
		}
		allowed := 1.0
		if c.known {
			allowed = 0
		}
		if n := testing.AllocsPerRun(50, func() { p.Resolve(r) }); n > allowed {
			t.Errorf("%s: Resolve allocates %v times, want at most %v", c.name, n, allowed)
		}
	}
}

// TestWrapAllocatesOnce: handing the result on costs one object where nothing
// has to be removed.
func TestWrapAllocatesOnce(t *testing.T) {
	for _, c := range benchCases() {
		if !slices.Contains([]string{"a0", "b", "b6", "c", "d", "d4", "h", "probe"}, c.name) {
			continue
		}
		h := c.policy(t).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { forwarded.From(r) }))
		r := c.request()
		if n := testing.AllocsPerRun(50, func() { h.ServeHTTP(nopWriter{}, r) }); n > 1 {
			t.Errorf("%s: Wrap allocates %v times", c.name, n)
		}
	}
}

// TestLongPrefixListsAllocateNothing does the same for lists as clouds
// publish them.
func TestLongPrefixListsAllocateNothing(t *testing.T) {
	for _, count := range benchPrefixCounts {
		p := benchBehind(t, benchPrefixes(count))
		r := benchRequest("10.0.0.1:34567", http.Header{"X-Forwarded-For": {benchClient}, "X-Forwarded-Proto": {"https"}})
		if info := p.Resolve(r); info.Client.String() != benchClient {
			t.Errorf("%d prefixes: client %v (%v)", count, info.Client, info.Reason)
		}
		if n := testing.AllocsPerRun(50, func() { p.Resolve(r) }); n > 0 {
			t.Errorf("%d prefixes: %v allocations", count, n)
		}
	}
}
