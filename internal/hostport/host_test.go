package hostport_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/internal/hostport"
)

func TestParseHost(t *testing.T) {
	label := strings.Repeat("a", 63)
	longest := strings.Repeat(label+".", 3) + strings.Repeat("a", 61) // 253
	for _, c := range []struct {
		text, host string // host "": refused
		port       uint16
	}{
		{"example.com", "example.com", 0},
		{"example.com:8443", "example.com", 8443},
		{"example.com:", "example.com", 0},
		{"EXAMPLE.Com", "example.com", 0},
		{"example.com.", "example.com", 0},
		{"example.com.:80", "example.com", 80},
		{"localhost", "localhost", 0},
		{"a", "a", 0},
		{"x", "x", 0},
		{"e", "e", 0},
		{"_acme.a-b.example", "_acme.a-b.example", 0},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", 0},
		{"1.example", "1.example", 0},
		{"3com.example", "3com.example", 0},
		{"1a", "1a", 0},
		{"0xg", "0xg", 0},
		{"a.0xg", "a.0xg", 0},
		{label + ".example", label + ".example", 0},
		{longest, longest, 0},
		{longest + ".", longest, 0},
		{"192.0.2.1", "192.0.2.1", 0},
		{"192.0.2.1:80", "192.0.2.1", 80},
		{"192.0.2.1.", "192.0.2.1", 0},
		{"[2001:DB8::1]", "2001:db8::1", 0},
		{"[2001:db8:0:0:0:0:0:1]:443", "2001:db8::1", 443},
		{"[::1]:", "::1", 0},
		{"[::ffff:192.0.2.1]", "::ffff:192.0.2.1", 0},

		{"", "", 0}, {".", "", 0}, {"..", "", 0}, {":80", "", 0}, {".example", "", 0}, {"a..b", "", 0}, {"a..", "", 0}, {".:80", "", 0},
		{" example.com", "", 0}, {"example.com ", "", 0}, {"exa mple.com", "", 0}, {"example.com\r\n", "", 0}, {"example\x00.com", "", 0},
		{"user@example.com", "", 0}, {"example.com/path", "", 0}, {"example.com\\path", "", 0}, {"example.com?q", "", 0}, {"example.com#f", "", 0},
		{"example%2ecom", "", 0}, {"bücher.example", "", 0}, {"example.com,evil.example", "", 0}, {"*.example.com", "", 0}, {"\"example\"", "", 0}, {"<b>", "", 0}, {"a;b", "", 0},
		{"example.com:0", "", 0}, {"example.com:65536", "", 0}, {"example.com:80:80", "", 0}, {"example.com:http", "", 0}, {"example.com:-1", "", 0}, {"example.com::", "", 0},
		{label + "a.example", "", 0}, {"example." + label + "a", "", 0}, {"example." + label + "a:80", "", 0}, {longest + "a", "", 0}, {strings.Repeat("a.", 1<<19), "", 0},
		// what browsers take for an IPv4 address
		{"127.1", "", 0}, {"127.0.1", "", 0}, {"2130706433", "", 0}, {"0", "", 0}, {"017700000001", "", 0}, {"0x7f.1", "", 0}, {"0x7f000001", "", 0}, {"0x", "", 0}, {"0X7F.1", "", 0}, {"0x7F.0X1", "", 0},
		{"1.2.3.4.5", "", 0}, {"1.2.3.256", "", 0}, {"01.2.3.4", "", 0}, {"a.1", "", 0}, {"example.0x1", "", 0}, {"foo.127.0.0.1", "", 0}, {"1.2.3.4.5.", "", 0}, {"example.1:80", "", 0}, {"192.0.2.1..", "", 0},
		{"2001:db8::1", "", 0}, {"[2001:db8::1", "", 0}, {"[192.0.2.1]", "", 0}, {"[fe80::1%eth0]", "", 0}, {"[fe80::1%25eth0]", "", 0}, {"[]", "", 0}, {"[example.com]", "", 0},
		{"[::1]x", "", 0}, {"[::1]80", "", 0}, {"[::1]:0", "", 0}, {"[" + strings.Repeat("0", 200) + "]", "", 0}, {"[v1.x]", "", 0},
	} {
		host, port, ok := hostport.ParseHost(c.text)
		if ok != (c.host != "") || ok && (host != c.host || port != c.port) {
			t.Errorf("%.60q: %q, port %d, %v; want %q, %d", c.text, host, port, ok, c.host, c.port)
		}
	}
}

// FuzzParseHost: what is accepted means the same to net/url, is its own
// normal form, and is an address only if netip says so.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"example.com:80", "EXAMPLE.com.", "[2001:DB8::1]:443", "127.1", "0x7f.1", "a..b", "xn--a.example", "1.2.3.4", ":", "["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, ok := hostport.ParseHost(s)
		if !ok {
			if host != "" || port != 0 {
				t.Errorf("%q is refused and yields %q, %d", s, host, port)
			}
			return
		}
		u, err := url.Parse("http://" + s + "/")
		if err != nil {
			t.Fatalf("%q is accepted, and net/url refuses it: %v", s, err)
		}
		name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
		if addr, err := netip.ParseAddr(name); err == nil {
			name = addr.String()
			if !hostport.IsIP(host) {
				t.Errorf("%q is the address %v and is not said to be one", s, addr)
			}
		} else if hostport.IsIP(host) {
			t.Errorf("%q is said to be an address", s)
		}
		if u.User != nil || u.Path != "/" || name != host {
			t.Errorf("%q is the host %q here and %v to net/url", s, host, u)
		}
		text := host
		if strings.Contains(host, ":") {
			text = "[" + host + "]"
		}
		if again, _, ok := hostport.ParseHost(text); !ok || again != host {
			t.Errorf("%q became %q, and that %q (%v)", s, host, again, ok)
		}
	})
}

func TestHostSet(t *testing.T) {
	var empty hostport.HostSet
	if !empty.Empty() || empty.Has("example.com") || empty.Has("") {
		t.Error("the zero HostSet holds something")
	}
	var s hostport.HostSet
	for _, pattern := range []string{"Example.com", "*.Example.org.", "192.0.2.1", "[2001:DB8::1]", "xn--bcher-kva.example"} {
		if reason := s.Add(pattern); reason != "" {
			t.Errorf("%q is refused: %s", pattern, reason)
		}
	}
	for host, want := range map[string]bool{
		"example.com": true, "192.0.2.1": true, "2001:db8::1": true, "xn--bcher-kva.example": true,
		"www.example.org": true, "a.b.example.org": true,
		"www.example.com": false, "example.org": false, ".example.org": false, "evilexample.org": false, "example.org.evil": false,
		"example.com.evil": false, "notexample.com": false, "": false, "*.example.org.evil": false,
	} {
		if got := s.Has(host); got != want {
			t.Errorf("Has(%q) is %v", host, got)
		}
	}
	if s.Empty() {
		t.Error("a set of five is empty")
	}
	var wild hostport.HostSet
	if wild.Add("*.example.com"); wild.Empty() {
		t.Error("a set of one wildcard is empty")
	}
	for pattern, part := range map[string]string{
		"": "not a host", "*": "not a host", "*.": "not a host", "a.*.b": "not a host", "**.example.com": "not a host", "https://example.com": "not a host",
		"example.com:443": "no port", "example.com:": "no port", "[::1]:443": "no port", "*.192.0.2.1": "no subdomains", "*.[::1]": "no subdomains", "127.1": "not a host",
	} {
		if reason := s.Add(pattern); !strings.Contains(reason, part) {
			t.Errorf("%q: %q, want %q", pattern, reason, part)
		}
	}
}

func TestIsIP(t *testing.T) {
	for host, want := range map[string]bool{"192.0.2.1": true, "::1": true, "2001:db8::1": true, "example.com": false, "1.example": false, "1.2.3": false, "1.2.3.4.example": false, "": false} {
		if got := hostport.IsIP(host); got != want {
			t.Errorf("IsIP(%q) is %v", host, got)
		}
	}
}

func TestParseHostAllocates(t *testing.T) {
	for _, s := range []string{"www.example.com", "www.example.com:8443", "192.0.2.1:80", "a b", "127.1"} {
		if n := testing.AllocsPerRun(100, func() { hostport.ParseHost(s) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}
