package forwarded_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// target is a request for what stands in its first line.
func target(t *testing.T, method, uri string) *http.Request {
	t.Helper()
	r := &http.Request{Method: method, Host: ourHost, Header: http.Header{}, RequestURI: uri}
	var err error
	switch {
	case method == http.MethodConnect:
		r.URL = &url.URL{Host: uri}
	default:
		if r.URL, err = url.ParseRequestURI(uri); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestURL(t *testing.T) {
	info := func(scheme forwarded.Scheme, host string, port uint16, prefix string) forwarded.Info {
		return forwarded.Info{Scheme: scheme, Host: host, Port: port, Prefix: prefix}
	}
	const http, https, unknown = forwarded.HTTP, forwarded.HTTPS, forwarded.SchemeUnknown
	for _, c := range []struct {
		info        forwarded.Info
		method, uri string
		want        string // "": nil
	}{
		{info(https, "example.com", 443, ""), "GET", "/", "https://example.com/"},
		{info(http, "example.com", 80, ""), "GET", "/", "http://example.com/"},
		{info(https, "example.com", 0, ""), "GET", "/", "https://example.com/"},
		{info(https, "example.com", 8443, ""), "GET", "/", "https://example.com:8443/"},
		{info(https, "example.com", 80, ""), "GET", "/", "https://example.com:80/"},
		{info(http, "example.com", 443, ""), "GET", "/", "http://example.com:443/"},
		{info(https, "2001:db8::1", 443, ""), "GET", "/", "https://[2001:db8::1]/"},
		{info(https, "2001:db8::1", 8443, ""), "GET", "/", "https://[2001:db8::1]:8443/"},
		{info(https, "192.0.2.1", 8443, ""), "GET", "/", "https://192.0.2.1:8443/"},
		{info(https, "example.com", 443, "/api"), "POST", "/orders?id=1&x=%20", "https://example.com/api/orders?id=1&x=%20"},
		{info(https, "example.com", 443, "/api"), "GET", "/a%2Fb/c", "https://example.com/api/a%2Fb/c"},
		{info(https, "example.com", 443, "/a(b)"), "GET", "/x%2Fy", "https://example.com/a(b)/x%2Fy"},
		{info(https, "example.com", 443, ""), "GET", "/a%2Fb", "https://example.com/a%2Fb"},
		{info(https, "example.com", 443, ""), "GET", "/%2e%2e/", "https://example.com/%2e%2e/"},
		{info(https, "example.com", 443, ""), "GET", "/x?", "https://example.com/x?"},
		{info(https, "example.com", 443, ""), "GET", "http://other.example/x?y", "https://example.com/x?y"},
		{info(https, "example.com", 443, ""), "GET", "//evil.example/x", "https://example.com//evil.example/x"},
		{info(https, "example.com", 443, ""), "OPTIONS", "*", ""},
		{info(https, "example.com", 443, ""), "CONNECT", "example.com:443", ""},
		{info(https, "example.com", 443, ""), "GET", "mailto:x@example.com", ""},
		{info(unknown, "example.com", 443, ""), "GET", "/", ""},
		{info(https, "", 443, ""), "GET", "/", ""},
		{forwarded.Info{}, "GET", "/", ""},
	} {
		r := target(t, c.method, c.uri)
		before := *r.URL
		got := ""
		if u := c.info.URL(r); u != nil {
			got = u.String()
			u.Path = "tampered"
		}
		if got != c.want {
			t.Errorf("%s %s of %+v: %q, want %q", c.method, c.uri, c.info, got, c.want)
		}
		if *r.URL != before {
			t.Errorf("%s %s: the request's URL was changed", c.method, c.uri)
		}
	}
	if u := info(https, "example.com", 443, "").URL(&noURL); u != nil {
		t.Errorf("a request without a URL has %v", u)
	}
}

// noURL is a request that lacks one.
var noURL http.Request

// TestURLOfTheStory: internal ports never leak into what is sent to clients.
func TestURLOfTheStory(t *testing.T) {
	p := behind(t, passingNginx(), albHop())
	r := refRequest{remote: nginxPeer, host: ourHost + ":8080", header: lines(
		"X-Forwarded-For: "+client+", 10.0.16.5", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443")}.request()
	if u := p.Resolve(r).URL(r); u == nil || u.String() != "https://"+ourHost+"/" {
		t.Errorf("the client's URL is %v", u)
	}
}

func TestClientIn(t *testing.T) {
	ten, all4, all6 := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	mapped := netip.MustParsePrefix("::ffff:10.0.0.0/104")
	for _, c := range []struct {
		client   string
		prefixes []netip.Prefix
		in, out  bool
	}{
		{"10.1.2.3", []netip.Prefix{ten}, true, false},
		{"10.1.2.3", []netip.Prefix{all6, ten}, true, false},
		{"11.1.2.3", []netip.Prefix{ten}, false, true},
		{"10.1.2.3", nil, false, true},
		{"10.1.2.3", []netip.Prefix{mapped}, true, false},
		{"::ffff:10.1.2.3", []netip.Prefix{ten}, true, false},
		{"11.1.2.3", []netip.Prefix{netip.MustParsePrefix("::ffff:0.0.0.0/95")}, false, false},
		{"2001:db8::1", []netip.Prefix{all4}, false, true},
		{"2001:db8::1", []netip.Prefix{all6}, true, false},
		{"", []netip.Prefix{ten}, false, false},
		{"", []netip.Prefix{all4, all6}, false, false},
		{"", nil, false, false},
		{"", []netip.Prefix{{}}, false, false},
		{"10.1.2.3", []netip.Prefix{{}}, false, false},
	} {
		var info forwarded.Info
		if c.client != "" {
			info.Client = netip.MustParseAddr(c.client)
		}
		if in, out := info.ClientIn(c.prefixes...), info.ClientNotIn(c.prefixes...); in != c.in || out != c.out {
			t.Errorf("%q and %v: in %v, not in %v; want %v, %v", c.client, c.prefixes, in, out, c.in, c.out)
		}
	}
}

// fullInfo has something in every field.
var fullInfo = forwarded.Info{
	Client: netip.MustParseAddr(client), ClientID: "_hidden", Host: ourHost, Prefix: "/api", Peer: netip.MustParseAddrPort(albPeer), Hops: 2,
	ClientPort: 5000, Port: 443, Scheme: forwarded.HTTPS, Complete: true, Status: forwarded.StatusForwarded, Reason: forwarded.ReasonForwarded,
	SchemeReason: forwarded.ReasonSchemeLost, HostReason: forwarded.ReasonBadHost,
}

func TestInfoJSON(t *testing.T) {
	for _, c := range []struct {
		info forwarded.Info
		want string
	}{
		{forwarded.Info{}, `{"status":"none","reason":"","scheme":"unknown","hops":0,"complete":false}`},
		{fullInfo, `{"status":"forwarded","reason":"forwarded","client":"203.0.113.7","client_port":5000,"client_id":"_hidden","scheme":"https","scheme_reason":"scheme_lost","host":"www.example.com","host_reason":"bad_host","port":443,"prefix":"/api","peer":"10.0.16.5:40000","hops":2,"complete":true}`},
	} {
		if b, err := json.Marshal(c.info); err != nil || string(b) != c.want {
			t.Errorf("got  %s (%v)\nwant %s", b, err, c.want)
		}
	}
	if n := reflect.TypeFor[forwarded.Info]().NumField(); n != 14 {
		t.Errorf("Info has %d fields; this test, its JSON and LogValue know 14", n)
	}
}

func TestInfoLog(t *testing.T) {
	for _, c := range []struct {
		info forwarded.Info
		want string
	}{
		{forwarded.Info{}, `info.status=none info.reason=""`},
		{fullInfo, `info.status=forwarded info.reason=forwarded info.client=203.0.113.7 info.client_id=_hidden info.scheme=https info.scheme_reason=scheme_lost info.host=www.example.com info.host_reason=bad_host info.port=443 info.prefix=/api info.peer=10.0.16.5:40000 info.hops=2`},
	} {
		var b strings.Builder
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "info", c.info)
		if _, got, _ := strings.Cut(strings.TrimSpace(b.String()), "msg=m "); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestWords are stable: dashboards and alerts are built on them.
func TestWords(t *testing.T) {
	var got []string
	for s := range forwarded.HTTPS + 2 {
		got = append(got, s.String())
	}
	for s := range forwarded.StatusUnknown + 2 {
		got = append(got, s.String())
	}
	for r := range forwarded.ReasonNoPolicy + 2 {
		got = append(got, r.String())
	}
	want := "unknown http https invalid none direct local forwarded unknown invalid" +
		"  direct local forwarded mismatch malformed obfuscated not_visible too_long skipped_hop bad_secret bad_peer conflict" +
		" scheme_lost scheme_missing bad_proto bad_host host_not_allowed host_replaced no_policy invalid"
	if text := strings.Join(got, " "); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestStrip(t *testing.T) {
	header := lines("X-Forwarded-For: 1", "X_Forwarded_Host: 1", "x-real-ip: 1", "Forwarded: 1", "X-Amzn-Mtls-Clientcert-Subject: 1", "Cf-Connecting-Ip: 1", "X-Forwarded-"+strings.Repeat("X", 5000)+": 1",
		"Cookie: a", "Host: b", "X-Amzn-Trace-Id: 1", "Via: 1.1 x", "Forward: 1", "X: 1", ": 1")
	trailer := lines("X-Forwarded-Proto: 1", "X-Checksum: 1")
	forwarded.Strip(header, trailer)
	if want := lines("Cookie: a", "Host: b", "X-Amzn-Trace-Id: 1", "Via: 1.1 x", "Forward: 1", "X: 1", ": 1"); !reflect.DeepEqual(header, want) {
		t.Errorf("header %v, want %v", header, want)
	}
	if want := lines("X-Checksum: 1"); !reflect.DeepEqual(trailer, want) {
		t.Errorf("trailer %v, want %v", trailer, want)
	}
	forwarded.Strip(nil, nil)
}
