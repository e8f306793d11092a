package hostport_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/internal/conferr"
	"github.com/knownhops/knownhops/internal/hostport"
)

// parseFrom compiles a list that must be right.
func parseFrom(t *testing.T, from ...string) hostport.Sources {
	t.Helper()
	var errs conferr.Errors
	s := hostport.ParseFrom("From", from, &errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseFromMistakes(t *testing.T) {
	for _, c := range []struct {
		from   []string
		field  string
		reason string
		fix    string
	}{
		{nil, "From", "nobody is named", `"any"`},
		{[]string{""}, "From[0]", "empty string", "variable"},
		{[]string{"10.0.0.1", ""}, "From[1]", "empty string", ""},
		{[]string{"localhost"}, "From[0]", "not an address", "10.0.16.0/20"},
		{[]string{"Any"}, "From[0]", "not an address", ""},
		{[]string{"*"}, "From[0]", "not an address", ""},
		{[]string{"10.0.0.1:80"}, "From[0]", "not an address", ""},
		{[]string{"[::1]"}, "From[0]", "not an address", ""},
		{[]string{"10.0.0.01"}, "From[0]", "not an address", ""},
		{[]string{"10.0.0.0/33"}, "From[0]", "not a CIDR", ""},
		{[]string{"10.0.0.0/"}, "From[0]", "not a CIDR", ""},
		{[]string{"10/8"}, "From[0]", "not a CIDR", ""},
		{[]string{"fe80::1%eth0/64"}, "From[0]", "not a CIDR", ""},
		{[]string{"10.0.16.5/20"}, "From[0]", "bits set", "10.0.16.0/20"},
		{[]string{"2001:db8::1/32"}, "From[0]", "bits set", "2001:db8::/32"},
		{[]string{"::ffff:10.0.0.1/104"}, "From[0]", "bits set", "10.0.0.0/8"},
		{[]string{"::ffff:0:0/95"}, "From[0]", "far more", "IPv4"},
		{[]string{"::ffff:0:0/96"}, "From[0]", "every address", `"any"`},
		{[]string{"0.0.0.0/0"}, "From[0]", "every address", `"any"`},
		{[]string{"::/0"}, "From[0]", "every address", `"any"`},
		{[]string{"1.2.3.4/0"}, "From[0]", "every address", ""},
		{[]string{"0.0.0.0"}, "From[0]", "unspecified", `"any"`},
		{[]string{"::"}, "From[0]", "unspecified", ""},
		{[]string{"::ffff:0.0.0.0"}, "From[0]", "unspecified", ""},
		{[]string{"fe80::1%eth0;x"}, "From[0]", "zone holds more", "interface's name"},
		{[]string{"10.0.0.1", "fe80::1%Ethernet 2"}, "From[1]", "zone holds more", ""},
		{[]string{"fe80::1%eth0,fe80::2"}, "From[0]", "zone holds more", ""},
		{[]string{"fe80::1%"}, "From[0]", "not an address", ""},
		{append(manyAddrs(123), "x"), "From[123]", "not an address", ""},
	} {
		var errs conferr.Errors
		hostport.ParseFrom("From", c.from, &errs)
		if len(errs) != 1 {
			t.Errorf("%.60q: %d mistakes, want 1: %v", c.from, len(errs), errs)
			continue
		}
		e := errs[0]
		if e.Field != c.field || !strings.Contains(e.Reason, c.reason) || !strings.Contains(e.Fix, c.fix) || e.Fix == "" {
			t.Errorf("%.60q: %v, want %s: %s; %s", c.from, e, c.field, c.reason, c.fix)
		}
		if len(c.from) > 0 && e.Value != c.from[len(c.from)-1] {
			t.Errorf("%.60q: the value is %q", c.from, e.Value)
		}
	}
	var errs conferr.Errors
	hostport.ParseFrom("From", []string{"", "10.0.0.1", "x", "0.0.0.0/0"}, &errs)
	if len(errs) != 3 || errs[0].Field != "From[0]" || errs[1].Field != "From[2]" || errs[2].Field != "From[3]" {
		t.Errorf("not every mistake is reported: %v", errs)
	}
}

func manyAddrs(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("10.0.0.%d", i+1)
	}
	return list
}

func TestSources(t *testing.T) {
	var none hostport.Sources
	if none.Has(netip.MustParseAddr("192.0.2.1")) || none.Has(netip.MustParseAddr("::1")) || none.Unix() || none.Any() {
		t.Error("the zero Sources matches somebody")
	}
	for _, c := range []struct {
		from    string // separated by blanks
		in, out string
		unix    bool
	}{
		{"10.0.16.0/20 192.0.2.1", "10.0.16.0 10.0.31.255 192.0.2.1", "10.0.15.255 10.0.32.0 192.0.2.2 ::a00:1000", false},
		{"2001:db8::/32", "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8::1%eth0", "2001:db7:ffff::1 2001:db9:: 32.1.13.184", false},
		{"::ffff:10.0.0.0/104 ::ffff:192.0.2.1", "10.255.255.255 192.0.2.1", "11.0.0.0 ::a00:1", false},
		{"fe80::1%eth0", "fe80::1%eth0", "fe80::1 fe80::1%eth1", false},
		{"fe80::1%eth0 fe80::1", "fe80::1%eth0 fe80::1 fe80::1%eth1", "fe80::2", false},
		{"any", "192.0.2.1 ::1 fe80::1%eth0", "", true},
		{"unix", "", "127.0.0.1 ::1", true},
		{"unix 127.0.0.0/8", "127.0.0.1", "::1", true},
	} {
		s := parseFrom(t, strings.Fields(c.from)...)
		for _, text := range strings.Fields(c.in) {
			if addr := netip.MustParseAddr(text); !s.Has(addr) || s.Which(addr) == "" {
				t.Errorf("%s does not hold %s (%q)", c.from, text, s.Which(addr))
			}
		}
		for _, text := range strings.Fields(c.out) {
			if addr := netip.MustParseAddr(text); s.Has(addr) || s.Which(addr) != "" {
				t.Errorf("%s holds %s (%q)", c.from, text, s.Which(addr))
			}
		}
		if s.Has(netip.Addr{}) {
			t.Errorf("%s holds the invalid address", c.from)
		}
		if s.Unix() != c.unix || s.Any() != (c.from == "any") || s.OnlyUnix() != (c.from == "unix") {
			t.Errorf("%s: unix %v, only %v, any %v", c.from, s.Unix(), s.OnlyUnix(), s.Any())
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"10.0.0.0/8", "10.0.16.0/20", "10.0.16.0/20"},
		{"10.0.16.0/20", "10.0.0.0/8", "10.0.16.0/20"},
		{"10.0.0.0/9", "10.128.0.0/9", ""},
		{"192.0.2.1", "192.0.2.1", "192.0.2.1/32"},
		{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1/32"},
		{"10.0.0.0/8", "a00::/8", ""},
		{"any", "192.0.2.1", "any"},
		{"unix", "192.0.2.1", ""},
		{"fe80::1%eth0", "fe80::1%eth0", "fe80::1%eth0"},
		{"fe80::1%eth0", "fe80::/10", "fe80::1%eth0"},
		{"fe80::1%eth0", "fe80::1%eth1", ""},
	} {
		a, b := parseFrom(t, c.a), parseFrom(t, c.b)
		if got, ok := a.Overlap(&b); got != c.want || ok != (c.want != "") {
			t.Errorf("%s and %s share %q (%v), want %q", c.a, c.b, got, ok, c.want)
		}
	}
}
