package forwarded_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/knownhops/knownhops/forwarded"
)

// fuzzTopologies are the shapes that the fuzz targets judge requests by; the
// target's first argument picks one.
func fuzzTopologies() []refConfig {
	inner, outer := []string{"10.1.0.0/16", "127.0.0.1", "::1"}, []string{"10.2.0.0/16", "fd00::/16"}
	hop := func(from []string, rules ...refRule) refHop {
		h := refHop{from: from}
		copy(h.rules[:], rules)
		return h
	}
	xff, xfp := refWrites(refAppends, "X-Forwarded-For"), refWrites(refSets, "X-Forwarded-Proto")
	xfh, port := refWrites(refSets, "X-Forwarded-Host"), refWrites(refSets, "X-Forwarded-Port")
	fwd := refWrites(refAppends, "Forwarded")
	google := hop(inner, refWrites(refAppendsSelf, "X-Forwarded-For"), xfp)
	google.self = []string{"198.51.100.1"}
	replacing := hop(inner, xff)
	replacing.replacesHost = true
	guarded := hop(outer, xff, xfp)
	guarded.secretHeader, guarded.secret = "X-Origin-Secret", "0123456789abcdef"
	return []refConfig{
		{},
		{hops: []refHop{hop(inner, xff, xfp)}},
		{hops: []refHop{hop(inner, xff, xfp, xfh, port)}, hosts: []string{"www.example.com", "*.example.net"}},
		{hops: []refHop{hop(inner, xff), hop(outer, xff, xfp, refRule{}, port)}},
		{hops: []refHop{hop(inner, xff, xfp), hop(outer, xff, xfp, refRule{}, port)}, schemeFromPort: true},
		{hops: []refHop{hop(inner, xff), hop(inner, xff), hop(outer, xff, refWrites(refAppends, "X-Forwarded-Proto"))}},
		{hops: []refHop{hop(inner, refWrites(refSets, "X-Forwarded-For"), xfp), hop(outer, xff)}},
		{hops: []refHop{hop(inner, fwd, fwd, fwd)}},
		{hops: []refHop{hop(inner, fwd), hop(outer, fwd, fwd, fwd)}},
		{hops: []refHop{hop(inner, refWrites(refSets, "Forwarded"), refWrites(refSets, "Forwarded"))}},
		{hops: []refHop{google, guarded}},
		{hops: []refHop{replacing, hop(outer, xff, xfp, refWrites(refAppends, "X-Forwarded-Host"))}},
		{hops: []refHop{hop(inner, xff, xfp)}, localPeerIsClient: true},
		{hops: []refHop{hop(inner, xff, refWrites(refAppends, "X-Forwarded-Proto")), hop(outer, refRule{}, xfp)}},
		{hops: []refHop{hop(inner, xff, fwd, fwd, port)}},
	}
}

// fuzzPolicies compiles every topology once.
func fuzzPolicies(t testing.TB) ([]refConfig, []*forwarded.Policy) {
	configs := fuzzTopologies()
	policies := make([]*forwarded.Policy, len(configs))
	for i, cfg := range configs {
		policies[i] = cfg.policy(t)
	}
	return configs, policies
}

// fuzzHeader makes header lines of a text; line feeds separate them, and an
// empty text means that the header is not there.
func fuzzHeader(header http.Header, name, text string) {
	if text != "" {
		header[name] = strings.Split(text, "\n")
	}
}

var fuzzXFF = []string{
	"203.0.113.7", "1.2.3.4, 203.0.113.7", "1.2.3.4\n203.0.113.7", "203.0.113.7, 10.2.0.5", "203.0.113.7 , 10.2.0.5",
	"203.0.113.7\n10.2.0.5", "2001:db8::7", "2001:db8::7:4711", "10.2.0.9, 10.2.0.5", "1.2.3.4, garbage", "1.2.3.4, garbage, 10.2.0.5",
	"203.0.113.7:4711", "[2001:db8::7]:4711", "[2001:db8::7]", "fe80::1%eth0", "::ffff:203.0.113.7", "1.2.3.4, ::ffff:10.2.0.5",
	"1.2.3.4, unknown", "1.2.3.4, , 10.2.0.5", ",203.0.113.7,", "203.0.113.007", `"203.0.113.7"`, "203.0.113.7\t,\t10.2.0.5",
	"203.0.113.7 10.2.0.5", "0.0.0.0", "203.0.113.7:99999", "1.2.3.4, fd00::5%eth0", "1.2.3.4, 10.2.0.5:8080",
	"1.2.3.4\ngarbage\n10.2.0.5", "203.0.113.7,10.2.0.5,", "_hidden", "[10.2.0.5]", "10.2.0.5,,,,,,,,", "10.2.0.5,,,,,,,,,",
	"::", "::%eth0", "::ffff:0.0.0.0", "203.0.113.7:0", "203.0.113.7:00080", "203.0.113.7:", "[::1", "::1]", "\u00a0203.0.113.7", "203.0.113.7\r", "203.0.113.7, 198.51.100.1",
}

var fuzzForwarded = []string{
	"for=192.0.2.60;proto=http;by=203.0.113.43", `for="[2001:db8:cafe::17]:4711"`, "for=192.0.2.43, for=198.51.100.17",
	`for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown`, "for=_hidden, for=_SEVKISEK", `for="192.0.2.43:47011"`,
	"for=192.0.2.43:47011", "for=[2001:db8::1]", `for="192.0.2.43;proto=https"`, `for="192.0.2.43, for=198.51.100.1"`,
	`for="192.0.2.4\3"`, "for=192.0.2.43;for=198.51.100.17", "for=192.0.2.43; proto=https", "for = 192.0.2.43",
	"for=192.0.2.43;;proto=https", "for=192.0.2.43,,for=198.51.100.17", "proto=https;for=192.0.2.43;ext=1", "FOR=192.0.2.43;PROTO=HTTPS",
	`for="192.0.2.43`, `for="192.0.2.43"x`, "for=192.0.2.43;proto=https, for=10.2.0.5;proto=http", `for="[::ffff:192.0.2.43]"`, "proto=https",
	"for=192.0.2.43;proto=https;proto=http", `for="unknown:1234"`, `for="_hidden:_port"`, `for="192.0.2.43:_port"`, `for="2001:db8::1"`,
	`for=1.2.3.4, proto=https`, "for=1.2.3.4;", ";for=1.2.3.4", ";", `for=""`, `for=1.2.3.4;host="a,b"`, `x="\\";for=1.2.3.4`, `x="\";for=1.2.3.4`,
	"for=1.2.3.4\nfor=\"x\nfor=10.2.0.5", `for="x, for=10.2.0.5`, `\, for=10.2.0.5`, `"\", for=10.2.0.5`, `for="10.2.0.5\", for=1.2.3.4`,
	`for=1.2.3.4;x=1;x=2`, "https", "1.2.3.4", "443", `"https"`, "a=1;b=2;c=3;d=4;e=5;f=6;g=7;for=1.2.3.4", `for=1.2.3.4;host=www.example.com:8443`, "for=10.2.0.5;proto=https;host=\"www.example.com\"", "for=\"\x00\"", "for=\"\xff\"",
}

func FuzzResolve(f *testing.F) {
	configs, policies := fuzzPolicies(f)
	for _, xff := range fuzzXFF {
		for _, topology := range []byte{1, 3, 5, 6, 10} {
			f.Add(topology, "10.1.0.1:1024", "www.example.com", xff, "", "https", "", "443", "0123456789abcdef", false)
		}
	}
	for _, fwd := range fuzzForwarded {
		f.Add(byte(8), "10.1.0.1:1024", "www.example.com", "", fwd, "", "", "", "", false)
		f.Add(byte(14), "10.1.0.1:1024", "www.example.com", "203.0.113.7", fwd, "", "", "443", "", false)
	}
	for _, proto := range []string{"https", "HTTPS", "http, https", "https, http", "https,https", "http\nhttps", "javascript", "\n", "wss", "on", "https;x"} {
		f.Add(byte(3), "[::1]:1", "www.example.com", "203.0.113.7, 10.2.0.5", "", proto, "", "443", "", true)
	}
	for _, host := range fuzzHosts {
		f.Add(byte(2), "127.0.0.1:1", "www.example.com", "203.0.113.7", "", "http", host, "80", "", false)
	}
	for _, peer := range []string{"", "@", "10.1.0.1", "10.1.0.1:0", "[::ffff:10.1.0.1]:9", "[fe80::1%eth0]:9", "10.2.0.1:9", "8.8.8.8:9"} {
		f.Add(byte(3), peer, "a.example:8080", "", "", "", "", "", "", true)
	}
	f.Fuzz(func(t *testing.T, topology byte, remote, host, xff, fwd, proto, xfh, port, secret string, tls bool) {
		i := int(topology) % len(configs)
		q := refRequest{remote: remote, host: host, tls: tls, header: http.Header{}}
		fuzzHeader(q.header, "X-Forwarded-For", xff)
		fuzzHeader(q.header, "Forwarded", fwd)
		fuzzHeader(q.header, "X-Forwarded-Proto", proto)
		fuzzHeader(q.header, "X-Forwarded-Host", xfh)
		fuzzHeader(q.header, "X-Forwarded-Port", port)
		fuzzHeader(q.header, "X-Origin-Secret", secret)
		info := policies[i].Resolve(q.request())
		if d := configs[i].disagrees(q, info); d != "" {
			t.Errorf("topology %d %v\n%q %q %q: %s", i, configs[i].hops, remote, host, q.header, d)
		}
	})
}

// FuzzForwarded holds the parser, which runs from the right, against one that
// runs from the left, for one to three appending hops or one that sets.
func FuzzForwarded(f *testing.F) {
	var configs []refConfig
	var policies []*forwarded.Policy
	for n := range 4 {
		var cfg refConfig
		act := refAppends
		if n == 0 {
			act = refSets
		}
		for range max(n, 1) {
			h := refHop{from: []string{"10.0.0.0/8"}}
			h.rules[refFor], h.rules[refProto], h.rules[refHost] = refWrites(act, "Forwarded"), refWrites(act, "Forwarded"), refWrites(act, "Forwarded")
			cfg.hops = append(cfg.hops, h)
		}
		configs, policies = append(configs, cfg), append(policies, cfg.policy(f))
	}
	for i, text := range fuzzForwarded {
		f.Add(byte(i), text)
		f.Add(byte(1), text+", for=10.0.0.5")
		f.Add(byte(2), "for=203.0.113.7;proto=https, "+text+", for=10.0.0.5;proto=http")
	}
	f.Fuzz(func(t *testing.T, n byte, text string) {
		i := int(n) % len(configs)
		q := refRequest{remote: "10.0.0.1:1024", host: "www.example.com", header: http.Header{"Forwarded": strings.Split(text, "\n")}}
		info := policies[i].Resolve(q.request())
		if d := configs[i].disagrees(q, info); d != "" {
			t.Errorf("%d hops, %q: %s", i, text, d)
		}
	})
}

var fuzzHosts = []string{
	"www.example.com", "a.example, b.example", "a.example\nb.example", "a.example:8443", "evil.example/path", "user@evil.example", "\n", "a b",
	"a.example:99999", `a.example\@b`, "A.Example.", "a..example", ":8443", "[::1]", "[::1]:8080", "[::1", "[1.2.3.4]", "[fe80::1%25eth0]", "1.2.3.4",
	"1.2.3.4:80", "::1", "a.example:", "a.example:080", "a.example:0", ".", "", "..", "-a", "a_b", "ä.example", "xn--4ca.example", "b.example.net",
	"example.net", "a.b.example.net", "[::ffff:1.2.3.4]", "[::]", "WWW.EXAMPLE.COM.", "www.example.com..", strings.Repeat("a", 63) + ".example",
	strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 126) + "a", strings.Repeat("a.", 127) + "a", "%61.example", "a%00b", "a\x00b",
}

// FuzzHost reads the Host of a direct request, with and without an allow-list.
func FuzzHost(f *testing.F) {
	configs := []refConfig{{}, {hosts: []string{"www.example.com", "*.example.net"}}}
	policies := []*forwarded.Policy{configs[0].policy(f), configs[1].policy(f)}
	for _, host := range fuzzHosts {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		for i, cfg := range configs {
			q := refRequest{remote: "203.0.113.7:1024", host: host}
			info := policies[i].Resolve(q.request())
			if d := cfg.disagrees(q, info); d != "" {
				t.Errorf("%q with hosts %v: %s", host, cfg.hosts, d)
			}
			if info.Host != strings.ToLower(info.Host) || strings.ContainsAny(info.Host, "/\\@?#%, \t\r\n\"") {
				t.Errorf("%q became the host %q", host, info.Host)
			}
		}
	})
}

// FuzzParseHops: what parses prints, as text and as JSON, and reads back as
// itself; nothing panics, and what New accepts it also describes.
func FuzzParseHops(f *testing.F) {
	for _, text := range []string{
		"", "nginx=127.0.0.1;proto=passes alb=10.0.16.0/20,10.0.32.0/20", "hop=10.0.0.0/8;for=appends:X-Forwarded-For",
		"hop=any;name=a%20b;shared=true;replaceshost=true;self=192.0.2.1", "hop=unix;for=sets:X-Real-Ip;proto=drops;host=drops:A,B;port=proxy",
		"nlbtls=10.0.0.0/8", "hop=::1;secret=X-Secret:env:HOME,file:/nowhere;for=appends-self:X-Forwarded-For;self=::2",
		"cloudflare=any", "alb", "alb=", "=", ";", "hop=10.0.0.1;for=", "hop=10.0.0.1;for=sets", "hop=10.0.0.1;for=sets:", "hop=10.0.0.1;x=y",
		"hop=10.0.0.1;name=%zz", "hop=10.0.0.1;name=%00", "  alb=10.0.0.1  ", "hop=10.0.0.1;for=drops:b,a,b", "hop=10.0.0.1,,;for=passes", "trusted=fe80::1%eth0",
		"hop=10.0.0.1;secret=X:literal-literal-literal", "hop=10.0.0.1;name=%;prefix=sets:X-Forwarded-Prefix;clientcert=sets:X-Client-Cert",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hops, err := forwarded.ParseHops(text)
		if err != nil || slices.ContainsFunc(hops, fuzzNotText) {
			return // JSON holds no other text
		}
		var printed []string
		for _, hop := range hops {
			printed = append(printed, fuzzRoundTrip(t, hop))
		}
		joined := strings.Join(printed, " ")
		again, err := forwarded.ParseHops(joined)
		if !strings.Contains(joined, "[redacted]") && (err != nil || !sameHops(again, hops)) {
			t.Errorf("%q printed as %q reads back as %+v (%v), want %+v", text, joined, again, err, hops)
		}
		if p, err := forwarded.New(forwarded.Config{Hops: hops, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			_, _ = p.String(), p.Lint()
		}
	})
}

// fuzzNotText finds hops that JSON cannot hold: what is not UTF-8.
func fuzzNotText(h forwarded.Hop) bool {
	all := slices.Concat([]string{h.Name, h.Secret.Header}, h.From, h.Self, h.Secret.Values)
	for _, rule := range []forwarded.Rule{h.For, h.Proto, h.Host, h.Port, h.Prefix, h.ClientCert} {
		all = append(all, rule.String())
	}
	return !utf8.ValidString(strings.Join(all, " "))
}

// fuzzRoundTrip writes one hop in both forms and reads it back.
func fuzzRoundTrip(t *testing.T, hop forwarded.Hop) string {
	t.Helper()
	text, err := hop.MarshalText()
	if err != nil {
		t.Fatalf("%+v: %v", hop, err)
	}
	if strings.Contains(string(text), "[redacted]") {
		return string(text)
	}
	var back forwarded.Hop
	if err := back.UnmarshalText(text); err != nil || !sameHops([]forwarded.Hop{back}, []forwarded.Hop{hop}) {
		t.Errorf("%q reads back as %+v (%v), want %+v", text, back, err, hop)
	}
	coded, err := json.Marshal(hop)
	if err != nil {
		t.Fatalf("%+v: %v", hop, err)
	}
	back = forwarded.Hop{}
	if err := json.Unmarshal(coded, &back); err != nil || !sameHops([]forwarded.Hop{back}, []forwarded.Hop{hop}) {
		t.Errorf("%s reads back as %+v (%v), want %+v", coded, back, err, hop)
	}
	return string(text)
}

// sameHops compares hops; an empty list and none are the same.
func sameHops(a, b []forwarded.Hop) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		for _, lists := range [][2]*[]string{{&x.From, &y.From}, {&x.Self, &y.Self}, {&x.Secret.Values, &y.Secret.Values}} {
			if len(*lists[0]) == 0 && len(*lists[1]) == 0 {
				*lists[0], *lists[1] = nil, nil
			}
		}
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}
