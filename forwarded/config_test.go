package forwarded_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// A mistake is a Config with exactly one thing wrong with it.
type mistake struct {
	name   string
	hops   []forwarded.Hop
	hosts  []string
	field  string
	value  string
	reason string // a part of it
}

// change applies edit to a plain hop.
func change(edit func(*forwarded.Hop)) []forwarded.Hop {
	h := forwarded.Trusted("10.0.0.0/8")
	edit(&h)
	return []forwarded.Hop{h}
}

func secretOf(values ...string) []forwarded.Hop {
	return change(func(h *forwarded.Hop) { h.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: values} })
}

func nlb(edit func(*forwarded.Hop)) []forwarded.Hop {
	h := forwarded.NLBTLS("10.0.0.0/8")
	edit(&h)
	return []forwarded.Hop{h}
}

func mistakes(t *testing.T) []mistake {
	from := func(from ...string) []forwarded.Hop { return []forwarded.Hop{forwarded.Trusted(from...)} }
	rule := func(edit func(*forwarded.Hop)) []forwarded.Hop { return change(edit) }
	missing := filepath.Join(t.TempDir(), "missing")
	t.Setenv("KNOWNHOPS_TEST_SHORT", "hunter2")
	t.Setenv("KNOWNHOPS_TEST_LINES", testSecret+"\n"+testSecret)
	t.Setenv("KNOWNHOPS_TEST_BLANKS", strings.Repeat(" ", 20))
	list := []mistake{
		{"nobody", from(), nil, "Hops[0].From", "", "nobody is named"},
		{"an empty string", from("10.0.0.0/8", ""), nil, "Hops[0].From[1]", "", "empty string"},
		{"a name", from("proxy.example.com"), nil, "Hops[0].From[0]", "proxy.example.com", "not an address"},
		{"blanks", from(" 10.0.0.1"), nil, "Hops[0].From[0]", " 10.0.0.1", "not an address"},
		{"a port", from("10.0.0.1:80"), nil, "Hops[0].From[0]", "10.0.0.1:80", "not an address"},
		{"no prefix", from("10.0.0.0/33"), nil, "Hops[0].From[0]", "10.0.0.0/33", "not a CIDR"},
		{"a netmask", from("10.0.0.0/255.0.0.0"), nil, "Hops[0].From[0]", "10.0.0.0/255.0.0.0", "not a CIDR"},
		{"host bits", from("10.0.0.1/8"), nil, "Hops[0].From[0]", "10.0.0.1/8", "bits set"},
		{"everybody", from("0.0.0.0/0"), nil, "Hops[0].From[0]", "0.0.0.0/0", "every address"},
		{"everybody, IPv6", from("::/0"), nil, "Hops[0].From[0]", "::/0", "every address"},
		{"everybody, mapped", from("::ffff:0.0.0.0/96"), nil, "Hops[0].From[0]", "::ffff:0.0.0.0/96", "every address"},
		{"more than everybody, mapped", from("::ffff:0:0/95"), nil, "Hops[0].From[0]", "::ffff:0:0/95", "shorter than /96"},
		{"unspecified", from("0.0.0.0"), nil, "Hops[0].From[0]", "0.0.0.0", "unspecified"},
		{"a unix socket behind a hop", []forwarded.Hop{nginxHop(), forwarded.Trusted("unix")}, nil, "Hops[1].From", "unix", "first hop"},
		{"the second hop", []forwarded.Hop{nginxHop(), forwarded.Trusted("x")}, nil, "Hops[1].From[0]", "x", "not an address"},

		{"no VIP", []forwarded.Hop{forwarded.GoogleCloud()}, nil, "Hops[0].Self", "", "none is named"},
		{"a bad VIP", []forwarded.Hop{forwarded.GoogleCloud("192.0.2.256")}, nil, "Hops[0].Self[0]", "192.0.2.256", "not an address"},
		{"a zone with a separator", from("fe80::1%eth0;x"), nil, "Hops[0].From[0]", "fe80::1%eth0;x", "zone holds more"},
		{"a VIP that nothing reads", rule(func(h *forwarded.Hop) { h.Self = []string{"192.0.2.1"} }), nil, "Hops[0].Self", "[192.0.2.1]", "no rule reads it"},

		{"no header", rule(func(h *forwarded.Hop) { h.For = forwarded.Sets("") }), nil, "Hops[0].For", "sets:", "no header"},
		{"not a name", rule(func(h *forwarded.Hop) { h.Proto = forwarded.Sets("X Forwarded Proto") }), nil, "Hops[0].Proto", "sets:X Forwarded Proto", "not a header name"},
		{"Host itself", rule(func(h *forwarded.Hop) { h.Host = forwarded.Sets("Host") }), nil, "Hops[0].Host", "sets:Host", "not of Host itself"},
		{"Host as the client", rule(func(h *forwarded.Hop) { h.For = forwarded.Sets("Host") }), nil, "Hops[0].For", "sets:Host", "not a forwarding header"},
		{"a cookie", rule(func(h *forwarded.Hop) { h.Port = forwarded.Sets("cookie") }), nil, "Hops[0].Port", "sets:Cookie", "not a forwarding header"},
		{"a port in RFC 7239", rule(func(h *forwarded.Hop) { h.Port = forwarded.Appends("Forwarded") }), nil, "Hops[0].Port", "appends:Forwarded", "no such parameter"},
		{"a prefix in RFC 7239", rule(func(h *forwarded.Hop) { h.Prefix = forwarded.Appends("forwarded") }), nil, "Hops[0].Prefix", "appends:Forwarded", "no such parameter"},
		{"two schemes", rule(func(h *forwarded.Hop) { h.Proto = forwarded.AppendsWithSelf("X-Forwarded-Proto") }), nil, "Hops[0].Proto", "appends-self:X-Forwarded-Proto", "only For"},
		{"a list of certificates", rule(func(h *forwarded.Hop) { h.ClientCert = forwarded.Appends("X-Client-Cert") }), nil, "Hops[0].ClientCert", "appends:X-Client-Cert", "no list"},
		{"drops nonsense", rule(func(h *forwarded.Hop) { h.Host = forwarded.Drops("X-Forwarded-Host", "a b") }), nil, "Hops[0].Host", "drops:X-Forwarded-Host,a b", "not a header name"},
		{"drops Connection", rule(func(h *forwarded.Hop) { h.Host = forwarded.Drops("Connection") }), nil, "Hops[0].Host", "drops:Connection", "not a forwarding header"},
		{"one header for two kinds", rule(func(h *forwarded.Hop) { h.Port = forwarded.Sets("X-Forwarded-Proto") }), nil, "Hops[0].Port", "sets:X-Forwarded-Proto", "the Proto rule names the same header"},
		{"written and dropped", rule(func(h *forwarded.Hop) { h.Host = forwarded.Drops("x-forwarded-for") }), nil, "Hops[0].For", "appends:X-Forwarded-For", "Host rule drops"},
		{"Forwarded set and appended", rule(func(h *forwarded.Hop) { h.For, h.Proto = forwarded.Appends("Forwarded"), forwarded.Sets("Forwarded") }), nil,
			"Hops[0].Proto", "sets:Forwarded", "treats the same header differently"},

		{"vouches for nothing", rule(func(h *forwarded.Hop) { h.Vouches = []string{""} }), nil, "Hops[0].Vouches[0]", "", "no header"},
		{"vouches for nonsense", rule(func(h *forwarded.Hop) { h.Vouches = []string{"X-Forwarded-User", "X Acme User"} }), nil, "Hops[0].Vouches[1]", "X Acme User", "not a header name"},
		{"vouches for Host", rule(func(h *forwarded.Hop) { h.Vouches = []string{"Host"} }), nil, "Hops[0].Vouches[0]", "Host", "not a forwarding header"},
		{"vouches for Authorization", rule(func(h *forwarded.Hop) { h.Vouches = []string{"authorization"} }), nil, "Hops[0].Vouches[0]", "authorization", "not a forwarding header"},
		{"vouches for what a rule reads", rule(func(h *forwarded.Hop) { h.Vouches = []string{"x-forwarded-for"} }), nil, "Hops[0].Vouches[0]", "x-forwarded-for", "For rule names the same header"},
		{"a PROXY hop that vouches", nlb(func(h *forwarded.Hop) { h.Vouches = []string{"X-Forwarded-User"} }), nil, "Hops[0].Vouches[0]", "X-Forwarded-User", "writes no headers"},

		{"PROXY is not nearest", []forwarded.Hop{nginxHop(), forwarded.NLBTCP("10.0.0.0/8")}, nil, "Hops[1].For", "proxy", "nearest hop only"},
		{"PROXY for a host", nlb(func(h *forwarded.Hop) { h.Host = forwarded.FromPROXY() }), nil, "Hops[0].Host", "proxy", "says nothing of it"},
		{"PROXY for a scheme alone", rule(func(h *forwarded.Hop) { h.Proto = forwarded.FromPROXY() }), nil, "Hops[0].Proto", "proxy", "not FromPROXY"},
		{"a PROXY hop that writes", nlb(func(h *forwarded.Hop) { h.Host = forwarded.Sets("X-Forwarded-Host") }), nil, "Hops[0].Host", "sets:X-Forwarded-Host", "writes no headers"},
		{"a PROXY hop with a secret", nlb(func(h *forwarded.Hop) { h.Secret = secretOf(testSecret)[0].Secret }), nil, "Hops[0].Secret", "X-Origin-Secret:[redacted]", "writes no headers"},
		{"a PROXY hop that replaces Host", nlb(func(h *forwarded.Hop) { h.ReplacesHost = true }), nil, "Hops[0].ReplacesHost", "true", "passes bytes"},

		{"a secret without a header", rule(func(h *forwarded.Hop) { h.Secret.Values = []string{testSecret} }), nil, "Hops[0].Secret.Header", "", "no header"},
		{"a secret in Cookie", rule(func(h *forwarded.Hop) { h.Secret = forwarded.Secret{Header: "Cookie", Values: []string{testSecret}} }), nil, "Hops[0].Secret.Header", "Cookie", "not a forwarding header"},
		{"a secret where the client stands", rule(func(h *forwarded.Hop) {
			h.Secret = forwarded.Secret{Header: "x-forwarded-for", Values: []string{testSecret}}
		}), nil, "Hops[0].Secret.Header", "x-forwarded-for", "For rule names the same header"},
		{"no value", secretOf(), nil, "Hops[0].Secret.Values", "", "no value"},
		{"a short secret", secretOf(testSecret, "hunter2"), nil, "Hops[0].Secret.Values[1]", "[redacted]", "7 bytes"},
		{"a short secret in the environment", secretOf("env:KNOWNHOPS_TEST_SHORT"), nil, "Hops[0].Secret.Values[0]", "env:KNOWNHOPS_TEST_SHORT", "7 bytes"},
		{"no such variable", secretOf("env:KNOWNHOPS_TEST_UNSET"), nil, "Hops[0].Secret.Values[0]", "env:KNOWNHOPS_TEST_UNSET", "not set"},
		{"no such file", secretOf("file:" + missing), nil, "Hops[0].Secret.Values[0]", "file:" + missing, "cannot be read"},
		{"a printed secret", secretOf("[redacted]"), nil, "Hops[0].Secret.Values[0]", "[redacted]", "not a secret"},
		{"a secret behind a blank", secretOf(" " + testSecret), nil, "Hops[0].Secret.Values[0]", "[redacted]", "no header can carry"},
		{"a secret before a blank", secretOf(testSecret + " "), nil, "Hops[0].Secret.Values[0]", "[redacted]", "no header can carry"},
		{"a secret before a tab", secretOf(testSecret + "\t"), nil, "Hops[0].Secret.Values[0]", "[redacted]", "no header can carry"},
		{"a secret before a line's end", secretOf(testSecret + "\n"), nil, "Hops[0].Secret.Values[0]", "[redacted]", "no header can carry"},
		{"a secret with a zero byte", secretOf(testSecret + "\x00x"), nil, "Hops[0].Secret.Values[0]", "[redacted]", "no header can carry"},
		{"a secret with an escape", secretOf(testSecret + "\x1bx"), nil, "Hops[0].Secret.Values[0]", "[redacted]", "no header can carry"},
		{"a secret with a delete", secretOf(testSecret + "\x7fx"), nil, "Hops[0].Secret.Values[0]", "[redacted]", "no header can carry"},
		{"a secret of two lines in the environment", secretOf("env:KNOWNHOPS_TEST_LINES"), nil, "Hops[0].Secret.Values[0]", "env:KNOWNHOPS_TEST_LINES", "no header can carry"},
		{"blanks in the environment", secretOf("env:KNOWNHOPS_TEST_BLANKS"), nil, "Hops[0].Secret.Values[0]", "env:KNOWNHOPS_TEST_BLANKS", "0 bytes"},
		{"a secret of two lines", secretOf("s3cr3t-01234567\n89abcdef"), nil, "Hops[0].Secret.Values[0]", "[redacted]", "no header can carry"},

		{"too many hops", slices.Repeat([]forwarded.Hop{nginxHop()}, 17), nil, "Hops", "17", "more hops"},
		{"no host", nil, []string{""}, "Hosts[0]", "", "not a host name"},
		{"a URL", nil, []string{"example.com", "https://example.com"}, "Hosts[1]", "https://example.com", "not a host name"},
		{"a port", nil, []string{"example.com:443"}, "Hosts[0]", "example.com:443", "no port"},
		{"an inner wildcard", nil, []string{"www.*.com"}, "Hosts[0]", "www.*.com", "not a host name"},
		{"everything", nil, []string{"*"}, "Hosts[0]", "*", "not a host name"},
		{"a wildcard of an address", nil, []string{"*.192.0.2.1"}, "Hosts[0]", "*.192.0.2.1", "no subdomains"},
		{"a short address", nil, []string{"127.1"}, "Hosts[0]", "127.1", "not a host name"},
	}
	for _, name := range []string{"Transfer-Encoding", "Content-Length", "TE", "Trailer", "Upgrade", "Authorization"} {
		list = append(list, mistake{name, rule(func(h *forwarded.Hop) { h.Port = forwarded.Sets(name) }), nil,
			"Hops[0].Port", "sets:" + http.CanonicalHeaderKey(name), "not a forwarding header"})
	}
	return list
}

func TestConfigMistakes(t *testing.T) {
	for _, m := range mistakes(t) {
		t.Run(m.name, func(t *testing.T) {
			p, err := forwarded.New(forwarded.Config{Hops: m.hops, Hosts: m.hosts})
			var errs forwarded.ConfigErrors
			if !errors.As(err, &errs) || p != nil {
				t.Fatalf("New returned %v and %v, want ConfigErrors alone", p, err)
			}
			if len(errs) != 1 {
				t.Fatalf("%d mistakes, want 1:\n%v", len(errs), err)
			}
			e := errs[0]
			if e.Field != m.field || e.Value != m.value || !strings.Contains(e.Reason, m.reason) || e.Fix == "" {
				t.Errorf("got  %q %q %q; fix %q\nwant %q %q %q and a fix", e.Field, e.Value, e.Reason, e.Fix, m.field, m.value, m.reason)
			}
		})
	}
}

// TestEveryMistakeAtOnce puts one mistake into every field: all are reported
// in one error, in the order of the fields.
func TestEveryMistakeAtOnce(t *testing.T) {
	plain := forwarded.Hop{
		From: []string{"", "x"}, Self: []string{"192.0.2.1"},
		Secret: forwarded.Secret{Header: "Cookie", Values: []string{"short"}},
		For:    forwarded.Sets("a b"), Proto: forwarded.FromPROXY(), Host: forwarded.Sets("Host"), Port: forwarded.Appends("Forwarded"),
		Prefix: forwarded.Sets(""), ClientCert: forwarded.Appends("X-Client-Cert"),
	}
	proxy := forwarded.Hop{
		ReplacesHost: true, Secret: forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}},
		For: forwarded.FromPROXY(), Proto: forwarded.Sets("X-Forwarded-Proto"), Host: forwarded.FromPROXY(),
	}
	_, err := forwarded.New(forwarded.Config{Hops: []forwarded.Hop{plain, proxy}, Hosts: []string{"*", "example.com", "a b"}})
	var errs forwarded.ConfigErrors
	if !errors.As(err, &errs) {
		t.Fatalf("got %v, want ConfigErrors", err)
	}
	want := []string{
		"Hops[0].From[0]", "Hops[0].From[1]", "Hops[0].Self", "Hops[0].Secret.Header", "Hops[0].Secret.Values[0]",
		"Hops[0].For", "Hops[0].Proto", "Hops[0].Host", "Hops[0].Port", "Hops[0].Prefix", "Hops[0].ClientCert",
		"Hops[1].From", "Hops[1].ReplacesHost", "Hops[1].Secret", "Hops[1].For", "Hops[1].Proto", "Hops[1].Host",
		"Hosts[0]", "Hosts[2]",
	}
	var got []string
	for _, e := range errs {
		got = append(got, e.Field)
		if !strings.Contains(err.Error(), e.Field+": ") {
			t.Errorf("the text of the error does not name %s", e.Field)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("reported in this order: %v\nwant                     %v", got, want)
	}
}

// TestDropsAnEmptyName: a variable that was not set must not make a rule that
// drops everything.
func TestDropsAnEmptyName(t *testing.T) {
	for _, rule := range []forwarded.Rule{forwarded.Drops(""), forwarded.Drops("", ""), forwarded.Drops("X-Forwarded-Host", "")} {
		_, err := forwarded.New(forwarded.Config{Hops: change(func(h *forwarded.Hop) { h.Host = rule })})
		var errs forwarded.ConfigErrors
		if !errors.As(err, &errs) || errs[0].Field != "Hops[0].Host" || !strings.Contains(errs[0].Reason, "no header") {
			t.Errorf("%v: %v", rule, err)
		}
		var read forwarded.Rule
		if err := read.UnmarshalText([]byte(rule.String())); err == nil && read == forwarded.Drops() {
			t.Errorf("printed as %v, it drops everything when read back", rule)
		}
	}
}

// TestOddButLegal: what loses information, or looks strange, is not refused.
func TestOddButLegal(t *testing.T) {
	t.Setenv("KNOWNHOPS_TEST_SECRET", testSecret)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]forwarded.Config{
		"the zero Config":          {},
		"an overwritten scheme":    hops(nginxHop(), albHop()),
		"a hop that says nothing":  hops(forwarded.NginxPassing("127.0.0.1")),
		"overlapping ranges":       hops(forwarded.Trusted("10.0.0.0/8"), forwarded.Trusted("10.0.0.0/8")),
		"half of everything":       hops(forwarded.Trusted("0.0.0.0/1", "128.0.0.0/1", "::/1")),
		"a unix socket and TCP":    hops(forwarded.Trusted("unix", "127.0.0.1", "::1")),
		"TCP or unix, second":      hops(nginxHop(), forwarded.Trusted("unix", "127.0.0.2")),
		"a zone":                   hops(forwarded.Trusted("fe80::1%eth0")),
		"mapped":                   hops(forwarded.Trusted("::ffff:10.0.0.0/104")),
		"sixteen hops":             hops(slices.Repeat([]forwarded.Hop{nginxHop()}, 16)...),
		"one header, three kinds":  hops(forwarded.Hop{From: []string{"10.0.0.1"}, For: forwarded.Appends("Forwarded"), Proto: forwarded.Appends("Forwarded"), Host: forwarded.Appends("Forwarded")}),
		"hosts":                    {Hosts: []string{"example.com", "*.example.com", "EXAMPLE.net.", "192.0.2.1", "[2001:db8::1]", "xn--bcher-kva.example", "localhost"}},
		"secrets, two of them":     hops(secretOf(testSecret, testSecret+"2")...),
		"a secret by reference":    hops(secretOf("env:KNOWNHOPS_TEST_SECRET", "file:"+file)...),
		"a secret of sixteen byte": hops(secretOf("0123456789abcdef")...),
	} {
		cfg.Logger = slog.New(slog.DiscardHandler)
		if _, err := forwarded.New(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSecretReferences: what env: and file: name is what the hop must send.
func TestSecretReferences(t *testing.T) {
	t.Setenv("KNOWNHOPS_TEST_SECRET", testSecret)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testSecret+"-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KNOWNHOPS_TEST_BLANKS", " "+testSecret+"-env\r\n")
	p := behind(t, secretOf("env:KNOWNHOPS_TEST_SECRET", "file:"+file, "env:KNOWNHOPS_TEST_BLANKS")...)
	for sent, want := range map[string]forwarded.Reason{
		testSecret:                  forwarded.ReasonForwarded,
		testSecret + "-env":         forwarded.ReasonForwarded,
		" " + testSecret + "-env":   forwarded.ReasonBadSecret,
		testSecret + "-file":        forwarded.ReasonForwarded,
		testSecret + "-file\n":      forwarded.ReasonBadSecret,
		testSecret + "x":            forwarded.ReasonBadSecret,
		"env:KNOWNHOPS_TEST_SECRET": forwarded.ReasonBadSecret,
		"":                          forwarded.ReasonBadSecret,
	} {
		if got := p.Resolve(get(albPeer, "X-Forwarded-For: "+client, "X-Origin-Secret: "+sent)).Reason; got != want {
			t.Errorf("%q: %v, want %v", sent, got, want)
		}
	}
	twice := get(albPeer, "X-Forwarded-For: "+client, "X-Origin-Secret: "+testSecret, "X-Origin-Secret: "+testSecret)
	if got := p.Resolve(twice).Reason; got != forwarded.ReasonBadSecret {
		t.Errorf("two lines: %v, want bad_secret, since one of them is the client's", got)
	}
}

// TestSecretsAreNeverPrinted tries every way in which a program prints what
// holds a secret.
func TestSecretsAreNeverPrinted(t *testing.T) {
	var log logbook
	var out strings.Builder
	cfg := forwarded.Config{Hops: secretOf(testSecret, testSecret+"-next"), Logger: log.logger()}
	cfg.Hops[0].Shared = true
	p := newPolicy(t, cfg)
	hop, secret := cfg.Hops[0], cfg.Hops[0].Secret
	things := []any{secret, &secret, hop, &hop, cfg.Hops, cfg, &cfg, p, p.Config(), p.Lint(), map[string]any{"secret": secret, "hop": hop}}
	for _, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("thing", "value", thing, slog.Group("group", "value", thing))
		}
	}
	for _, thing := range []any{secret, hop, cfg.Hops, p.Config().Hops} {
		b, err := json.Marshal(thing)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := xml.Marshal(thing) // not every value can be XML
		out.Write(append(b, x...))
	}
	text, err := hop.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	for _, sent := range []string{testSecret, testSecret + "-guess"} {
		r := get(albPeer, "X-Forwarded-For: "+client, "X-Origin-Secret: "+sent, "X-Origin-Secret: "+testSecret)
		for _, r := range []*http.Request{r, get(directPeer, "X-Origin-Secret: "+sent), get(albPeer, "X-Origin-Secret: "+sent)} {
			e := p.Explain(r)
			fmt.Fprintf(&out, "%v\n%+v\n%#v\n%s\n%s\n", e, e, e, e.JSON(), e.HTML())
			pass(p, r)
		}
	}
	for _, values := range [][]string{{testSecret[:15]}, {testSecret + "\r"}, {"[redacted]", testSecret}} {
		_, err := forwarded.New(forwarded.Config{Hops: secretOf(values...)})
		fmt.Fprintf(&out, "%v\n%+v\n%#v\n", err, err, err)
	}
	for _, e := range log.take() {
		fmt.Fprintln(&out, e)
	}
	if i := strings.Index(out.String(), testSecret[:12]); i >= 0 {
		t.Errorf("printed: %.300s", out.String()[max(0, i-100):])
	}
	if !strings.Contains(out.String(), "X-Origin-Secret:[redacted],[redacted]") {
		t.Error("not even the header's name is printed: the test shows nothing")
	}
}

// TestNoVerbPrintsASecret: fmt prints the fields of what does not know a verb,
// and hides a text behind others. %p and %w are missing: for what is no pointer
// and no error fmt prints the fields whatever methods there are.
func TestNoVerbPrintsASecret(t *testing.T) {
	cfg := forwarded.Config{Hops: secretOf(testSecret, testSecret+"-next"), Logger: slog.New(slog.DiscardHandler)}
	p := newPolicy(t, cfg)
	hop := cfg.Hops[0]
	hidden := []string{testSecret[:12]}
	for _, verb := range []string{"%x", "%X", "% x", "%v", "%d"} {
		text := fmt.Sprintf(verb, []byte(testSecret[:8]))
		hidden = append(hidden, strings.Trim(text, "[]"))
	}
	things := map[string]any{
		"Secret": hop.Secret, "*Secret": &hop.Secret, "[]Secret": []forwarded.Secret{hop.Secret}, "Hop": hop, "*Hop": &hop, "[]Hop": cfg.Hops, "*[]Hop": &cfg.Hops,
		"[]*Hop": []*forwarded.Hop{&hop}, "Config": cfg, "*Config": &cfg, "*Policy": p, "map": map[string]forwarded.Hop{"a": hop}, "any": struct{ Any any }{hop},
	}
	verbs := strings.Fields("%d %t %v %+v %#v %s %q %+q %#q %x %X %#x %o %b %c %U %e %g %T %10v %.99d %-40s")
	for name, thing := range things {
		for _, verb := range append(verbs, "% x") {
			text := fmt.Sprintf(verb, thing)
			for _, secret := range hidden {
				if strings.Contains(text, secret) {
					t.Errorf("%s of %s prints %q", verb, name, secret)
				}
			}
		}
		if text := fmt.Sprint(thing); name != "*Policy" && !strings.Contains(text, "0x") && !strings.Contains(text, "X-Origin-Secret") {
			t.Errorf("%s prints nothing of the secret, not even its header: %.200s", name, text)
		}
	}
}

// TestSecretText: references round-trip as text and JSON, literals do not.
func TestSecretText(t *testing.T) {
	s := forwarded.Secret{Header: "X-Origin-Secret", Values: []string{"env:ORIGIN", "file:/run/my secrets/a,b;c"}}
	var text, decoded forwarded.Secret
	if err := text.UnmarshalText([]byte(s.String())); err != nil || !slices.Equal(text.Values, s.Values) || text.Header != s.Header {
		t.Errorf("%q became %v %q (%v)", s.String(), text.Header, text.Values, err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &decoded); err != nil || !slices.Equal(decoded.Values, s.Values) {
		t.Errorf("%s became %q (%v)", b, decoded.Values, err)
	}
	literal := forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	if err := text.UnmarshalText([]byte(literal.String())); err != nil {
		t.Fatal(err)
	}
	if _, err := forwarded.New(forwarded.Config{Hops: secretOf(text.Values...)}); err == nil {
		t.Error("a redacted secret was accepted as one")
	}
	for _, bad := range []string{"X-Origin-Secret", ":env:A", "X-Origin-Secret:", "X:env:A%zz"} {
		before := text
		if err := text.UnmarshalText([]byte(bad)); err == nil || text.String() != before.String() {
			t.Errorf("%q: error %v, secret now %v", bad, err, text)
		}
	}
}
