package forwardedtest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// A Resolver is the implementation under test: it answers one vector. The vector
// is a copy that it may change. For an unknown client it may say "invalid IP"
// (what the zero netip.Addr prints) and for an unknown scheme "unknown"; both
// count as "". An error fails the vector.
type Resolver func(Vector) (Want, error)

// Run puts every vector to resolve, each in a subtest of its own. A failure shows
// the rule, the request and what differs.
func Run(t *testing.T, resolve Resolver) {
	for _, v := range Vectors() {
		t.Run(v.Name, func(t *testing.T) {
			if problem := check(v, resolve); problem != "" {
				t.Error(problem)
			}
		})
	}
}

// check returns "" if resolve answers v rightly, and otherwise a report.
func check(v Vector, resolve Resolver) string {
	asked := v
	asked.Header = v.Header.Clone()
	got, err := resolve(asked)
	if err != nil {
		return report(v, "error: "+err.Error())
	}
	if diff := differences(normal(got), v.Want); len(diff) > 0 {
		return report(v, diff...)
	}
	return ""
}

// normal folds the two spellings of "unknown" that Resolver permits.
func normal(w Want) Want {
	if w.Client == (netip.Addr{}).String() {
		w.Client = ""
	}
	if w.Scheme == "unknown" {
		w.Scheme = ""
	}
	return w
}

// differences has a line for each field in which got is not want.
func differences(got, want Want) []string {
	var lines []string
	note := func(same bool, field string, got, want any) {
		if !same {
			lines = append(lines, fmt.Sprintf("%-7s got %s, want %s", field+":", known(got), known(want)))
		}
	}
	note(sameAddr(got.Client, want.Client), "client", got.Client, want.Client)
	note(got.Scheme == want.Scheme, "scheme", got.Scheme, want.Scheme)
	note(got.Host == want.Host, "host", got.Host, want.Host)
	note(got.Port == want.Port, "port", got.Port, want.Port)
	note(got.Hops == want.Hops, "hops", got.Hops, want.Hops)
	note(got.Reason == want.Reason, "reason", got.Reason, want.Reason)
	return lines
}

// sameAddr compares addresses, not their text: IPv6 has several spellings. An
// IPv4-mapped address is not its IPv4 address, and one with a zone is not the
// same as one without.
func sameAddr(a, b string) bool {
	addrA, errA := netip.ParseAddr(a)
	addrB, errB := netip.ParseAddr(b)
	if errA != nil || errB != nil {
		return a == b
	}
	return addrA == addrB
}

// known formats one field of a Want.
func known(value any) string {
	switch value {
	case "", uint16(0):
		return "unknown"
	}
	return fmt.Sprintf("%v", value)
}

// report says what was asked and what was wrong with the answer.
func report(v Vector, problems ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", v.Rule)
	for _, problem := range problems {
		fmt.Fprintf(&b, "  %s\n", problem)
	}
	socket := "plain"
	if v.TLS {
		socket = "TLS"
	}
	fmt.Fprintf(&b, "  asked:\n    hops %q\n    from %q, %s, Host %q\n", v.Hops, v.RemoteAddr, socket, v.Host)
	for _, name := range slices.Sorted(maps.Keys(v.Header)) { // sorted: reports of the same vector are equal
		for _, value := range v.Header[name] {
			fmt.Fprintf(&b, "    %s: %s\n", name, quoted(value))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// quoted makes a header value readable, also a very long one: the right end is
// the one that matters.
func quoted(value string) string {
	const most = 200
	if len(value) <= most {
		return fmt.Sprintf("%q", value)
	}
	return fmt.Sprintf("(%d bytes) …%q", len(value), value[len(value)-most:])
}
