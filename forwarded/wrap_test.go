package forwarded_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// sameMap reports whether two headers are one map, not only equal.
func sameMap(a, b http.Header) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// TestWrapHandsOn: what the next handler finds of the header, and whether the
// map had to be cloned for it.
func TestWrapHandsOn(t *testing.T) {
	secret := albHop()
	secret.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	edge := forwarded.Hop{Name: "edge", From: []string{"10.0.16.0/20"}, For: forwarded.Sets("Edge-Client"), Proto: forwarded.Sets("Edge-Scheme")}
	cert := albHop()
	cert.ClientCert = forwarded.Sets("X-Amzn-Mtls-Clientcert")
	longCert := "X-Amzn-Mtls-Clientcert: " + strings.Repeat("MIIB+/", 2000)
	rfc7239 := forwarded.Hop{From: []string{"10.0.16.0/20"}, For: forwarded.Appends("Forwarded"), Proto: forwarded.Appends("Forwarded")}
	for _, c := range []struct {
		name  string
		hops  []forwarded.Hop
		peer  string
		sent  []string
		want  []string
		clone bool
	}{
		{"friendly: behind ALB", []forwarded.Hop{albHop()}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "Cookie: a", "X-Amzn-Trace-Id: 1"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "Cookie: a", "X-Amzn-Trace-Id: 1"}, false},
		{"friendly: two hops, two lines", []forwarded.Hop{passingNginx(), albHop()}, nginxPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-For: 10.0.16.5", "X-Forwarded-Proto: https"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-For: 10.0.16.5", "X-Forwarded-Proto: https"}, false},
		{"friendly: direct", []forwarded.Hop{albHop()}, directPeer, []string{"Cookie: a"}, []string{"Cookie: a"}, false},
		{"friendly: a probe", []forwarded.Hop{albHop()}, albPeer, []string{"User-Agent: ELB-HealthChecker/2.0"}, []string{"User-Agent: ELB-HealthChecker/2.0"}, false},
		{"friendly: names that look alike", []forwarded.Hop{albHop()}, directPeer,
			[]string{"Forward: 1", "Xforwarded-For: 1", "X-Real-Ips: 1", "X-Amzn-Oidc-Data: signed", "Proxy-Authorization: a", "X-Forwarding: 1"},
			[]string{"Forward: 1", "Xforwarded-For: 1", "X-Real-Ips: 1", "X-Amzn-Oidc-Data: signed", "Proxy-Authorization: a", "X-Forwarding: 1"}, false},
		{"a stranger's family goes", []forwarded.Hop{albHop()}, directPeer,
			[]string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "Forwarded: for=1.1.1.1", "X-Real-Ip: 1.1.1.1", "Cookie: a", "X-Amzn-Mtls-Clientcert: x", "X-Remote-User: root", "X-Amzn-Tls-Version: 1", "Cf-Connecting-Ip: 1.1.1.1", "X-Forwarded-Anything: 1"},
			[]string{"Cookie: a"}, true},
		{"what ALB passes goes", []forwarded.Hop{albHop()}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "X-Original-Url: /admin", "X-Forwarded-Prefix: /x"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https"}, true},
		{"aliases go", []forwarded.Hop{albHop()}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X_Forwarded_For: 1", "X.Real.Ip: 1", "x-forwarded-host: 1", "X_FORWARDED_PROTO: http", "X~Remote~User: root", "X Real Ip: 1"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https"}, true},
		{"lists are cut to the used entries", []forwarded.Hop{albHop()}, albPeer,
			[]string{"X-Forwarded-For: 6.6.6.6, 7.7.7.7,\t " + client, "X-Forwarded-Proto: https"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https"}, true},
		{"lists over several lines are cut", []forwarded.Hop{passingNginx(), albHop()}, nginxPeer,
			[]string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7, " + client, "X-Forwarded-For: 10.0.16.5", "X-Forwarded-Proto: https"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-For: 10.0.16.5", "X-Forwarded-Proto: https"}, true},
		{"one hop of two used, one entry stays", []forwarded.Hop{passingNginx(), albHop()}, nginxPeer,
			[]string{"X-Forwarded-For: 6.6.6.6, " + client, "X-Forwarded-Proto: https"},
			[]string{"X-Forwarded-For: " + client}, true},
		{"Forwarded is cut", []forwarded.Hop{rfc7239}, albPeer,
			[]string{`Forwarded: for="x,y";proto=http, for=` + client + ";proto=https", "X-Forwarded-For: 1.1.1.1"},
			[]string{"Forwarded: for=" + client + ";proto=https"}, true},
		{"the list goes with the client", []forwarded.Hop{albHop()}, albPeer,
			[]string{"X-Forwarded-For: " + client + ", unknown", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443"},
			[]string{"X-Forwarded-Proto: https", "X-Forwarded-Port: 443"}, true},
		{"malformed: nothing stays", []forwarded.Hop{albHop()}, albPeer,
			[]string{"X-Forwarded-For: localhost", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443"}, nil, true},
		{"a scheme that is no scheme goes", []forwarded.Hop{albHop()}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: gopher"}, []string{"X-Forwarded-For: " + client}, true},
		{"a secret goes, the right one", []forwarded.Hop{secret}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Origin-Secret: " + testSecret},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https"}, true},
		{"a secret goes, the wrong one", []forwarded.Hop{secret}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Origin-Secret: guess"}, nil, true},
		{"a secret goes, from a stranger", []forwarded.Hop{secret}, directPeer,
			[]string{"X-Origin-Secret: " + testSecret, "Cookie: a"}, []string{"Cookie: a"}, true},
		{"headers of a hop's own stay", []forwarded.Hop{edge}, albPeer,
			[]string{"Edge-Client: " + client, "Edge-Scheme: https"}, []string{"Edge-Client: " + client, "Edge-Scheme: https"}, false},
		{"headers of a hop's own go with a stranger", []forwarded.Hop{edge}, directPeer,
			[]string{"Edge-Client: 1.1.1.1", "Edge-Scheme: https", "Cookie: a"}, []string{"Cookie: a"}, true},
		{"a certificate that the hop set stays", []forwarded.Hop{cert}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Amzn-Mtls-Clientcert: x", "X-Amzn-Mtls-Clientcert-Leaf: y"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Amzn-Mtls-Clientcert: x"}, true},
		{"a long certificate stays whole beside what goes", []forwarded.Hop{cert}, albPeer,
			[]string{"X-Forwarded-For: 6.6.6.6, " + client, "X-Forwarded-Proto: https", longCert, "X-Real-Ip: 6.6.6.6"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", longCert}, true},
		{"so does one with commas", []forwarded.Hop{cert}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Amzn-Mtls-Clientcert: a,, b,c", "X-Real-Ip: 6.6.6.6"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Amzn-Mtls-Clientcert: a,, b,c"}, true},
		{"a certificate over http goes", []forwarded.Hop{cert}, albPeer,
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: http", "X-Amzn-Mtls-Clientcert: x"},
			[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: http"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get(c.peer, c.sent...)
			got, _ := pass(behind(t, c.hops...), r)
			if want := lines(c.want...); !reflect.DeepEqual(got.Header, want) {
				t.Errorf("next got  %v\nwant      %v", got.Header, want)
			}
			if sameMap(got.Header, r.Header) == c.clone {
				t.Errorf("cloned: %v, want %v", !c.clone, c.clone)
			}
			if !reflect.DeepEqual(r.Header, lines(c.sent...)) {
				t.Errorf("the caller's header was changed to %v", r.Header)
			}
		})
	}
}

// TestVouches: headers that a hop answers for stay if the request came through
// it, as they are, and in no other case.
func TestVouches(t *testing.T) {
	proxy := forwarded.Trusted("10.0.16.0/20")
	proxy.Vouches = []string{"x-forwarded-user", "X-Acme-User"}
	nearest := proxy
	nearest.From = []string{"127.0.0.1"}
	secret := proxy
	secret.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	list := func(h ...forwarded.Hop) []forwarded.Hop { return h }
	user := []string{"X-Forwarded-User: ann, b", "X-Forwarded-User: c", "X-Acme-User: " + strings.Repeat("x", 5000)}
	for _, c := range []struct {
		name  string
		hops  []forwarded.Hop
		peer  string
		chain string // X-Forwarded-For; "": none, nor a scheme
		kept  bool
	}{
		{"through it", list(proxy), albPeer, client, true},
		{"through it, with a forged list", list(proxy), albPeer, "6.6.6.6, " + client, true},
		{"behind an inner hop", list(passingNginx(), proxy), nginxPeer, client + ", 10.0.16.5", true},
		{"in front of an outer hop", list(nearest, albHop()), nginxPeer, client + ", 10.0.16.5", true},
		{"in front of an outer hop that was not used", list(nearest, albHop()), nginxPeer, client, true},
		{"the client is unknown", list(proxy), albPeer, "unknown", true},
		{"the client is no address", list(proxy), albPeer, "localhost", true},
		{"behind an inner hop, the client is unknown", list(passingNginx(), proxy), nginxPeer, "unknown, 10.0.16.5", true},

		{"direct", list(proxy), directPeer, client, false},
		{"direct, nothing else sent", list(proxy), directPeer, "", false},
		{"a probe", list(proxy), albPeer, "", false},
		{"not used behind an inner hop", list(passingNginx(), proxy), nginxPeer, client, false},
		{"the inner hop lost the track", list(passingNginx(), proxy), nginxPeer, "unknown", false},
		{"past the inner hop", list(passingNginx(), proxy), albPeer, client, false},
		{"without its secret", list(secret), albPeer, client, false},
		{"a bad peer", list(proxy), "x", client, false},
		{"another hop's word", list(albHop(), nearest), albPeer, client, false},
	} {
		sent := append(slices.Clone(user), "X_Forwarded_User: 1", "X_Acme_User: 1", "x-acme-user: 1", "X-Forwarded-Groups: 1", "X-Acme-Group: 1")
		if c.chain != "" {
			sent = append(sent, "X-Forwarded-For: "+c.chain, "X-Forwarded-Proto: https")
		}
		r := get(c.peer, sent...)
		r.Trailer = lines("X-Forwarded-User: 1", "X-Acme-User: 1", "X-Checksum: 1")
		got, _ := pass(behind(t, c.hops...), r)
		want := lines("X-Acme-Group: 1")
		if c.kept {
			want = lines(append(slices.Clone(user), "X-Acme-Group: 1")...)
		}
		header := got.Header.Clone()
		header.Del("X-Forwarded-For")
		header.Del("X-Forwarded-Proto")
		if !reflect.DeepEqual(header, want) {
			t.Errorf("%s: next got %.200v, want %.200v", c.name, header, want)
		}
		if !reflect.DeepEqual(got.Trailer, lines("X-Checksum: 1")) {
			t.Errorf("%s: next got the trailer %v", c.name, got.Trailer)
		}
	}
	got, _ := pass(behind(t, proxy), get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-User: ann"))
	if got.Header.Get("X-Forwarded-User") != "ann" {
		t.Errorf("where nothing else must go, next got %v", got.Header)
	}
}

// TestVouchedSecret: a secret is removed on every path, whatever else is said
// of its header.
func TestVouchedSecret(t *testing.T) {
	hop := albHop()
	hop.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	hop.Vouches = []string{"X-Origin-Secret"}
	vouching, plain := passingNginx(), albHop()
	vouching.Vouches, plain.Secret = hop.Vouches, hop.Secret
	for name, list := range map[string][]forwarded.Hop{"by the same hop": {hop}, "by an inner hop": {vouching, plain}} {
		p, err := forwarded.Behind(list...)
		if err != nil {
			continue // refusing it is as good
		}
		for _, more := range []string{"Cookie: a", "X-Real-Ip: 6.6.6.6"} {
			peer, chain := albPeer, client
			if len(list) > 1 {
				peer, chain = nginxPeer, client+", 10.0.16.5"
			}
			got, _ := pass(p, get(peer, "X-Forwarded-For: "+chain, "X-Forwarded-Proto: https", "X-Origin-Secret: "+testSecret, more))
			if got.Header["X-Origin-Secret"] != nil {
				t.Errorf("vouched for %s, beside %q: next got the secret", name, more)
			}
		}
	}
}

// TestWrapLeavesTheCallersRequest compares everything of the request before
// and after, with a next handler that tampers with all it got.
func TestWrapLeavesTheCallersRequest(t *testing.T) {
	secret := albHop()
	secret.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{secret}, RewriteRemoteAddr: true})
	r := get(albPeer, "X-Forwarded-For: 6.6.6.6, "+client, "X-Forwarded-For: 7.7.7.7, "+client, "X-Forwarded-Proto: https", "Forwarded: for=1.1.1.1", "X-Origin-Secret: "+testSecret, "X_Real_Ip: 1")
	r.Trailer = lines("X-Forwarded-For: 1", "X-Checksum: 2")
	before := r.Clone(r.Context())
	p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-For", "tampered")
		r.Header.Add("X-Forwarded-Proto", "tampered")
		r.Trailer.Set("X-Checksum", "tampered")
		r.RemoteAddr, r.Host, r.Method = "tampered", "tampered", "tampered"
	})).ServeHTTP(httptest.NewRecorder(), r)
	for name, pair := range map[string][2]any{
		"Header":     {before.Header, r.Header},
		"Trailer":    {before.Trailer, r.Trailer},
		"RemoteAddr": {before.RemoteAddr, r.RemoteAddr},
		"Host":       {before.Host, r.Host},
		"Method":     {before.Method, r.Method},
		"Context":    {before.Context(), r.Context()},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s was changed from %v to %v", name, pair[0], pair[1])
		}
	}
}

func TestWrapInsideItself(t *testing.T) {
	var log logbook
	results := 0
	p := newPolicy(t, forwarded.Config{
		Hops: []forwarded.Hop{albHop()}, RewriteRemoteAddr: true, Logger: log.logger(),
		OnResult: func(*http.Request, forwarded.Info) { results++ },
	})
	var outer, inner *http.Request
	in := p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inner = r }))
	p.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer = r
		in.ServeHTTP(w, r)
	})).ServeHTTP(httptest.NewRecorder(), get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https"))
	if outer != inner {
		t.Error("the inner Wrap handed on another request")
	}
	if results != 1 || log.take() != nil {
		t.Errorf("%d results, want 1 and no warning", results)
	}
	if got := forwarded.From(inner).Client.String(); got != client {
		t.Errorf("client %s, want %s: RemoteAddr was resolved a second time", got, client)
	}
}

// TestWrapInsideAnotherPolicy: the outermost decides; the inner one, which
// would believe the client's address to be a proxy's, does nothing and says so.
func TestWrapInsideAnotherPolicy(t *testing.T) {
	var log logbook
	outer := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{albHop()}, RewriteRemoteAddr: true})
	inner := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{forwarded.Trusted(client)}, RejectUnknown: true, Logger: log.logger()})
	for range 3 {
		var got *http.Request
		outer.Wrap(inner.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))).
			ServeHTTP(httptest.NewRecorder(), get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https"))
		if info := forwarded.From(got); info.Client.String() != client || info.Hops != 1 {
			t.Errorf("the inner Policy changed the answer to %+v", info)
		}
	}
	list := log.take()
	if len(list) != 1 || !strings.Contains(list[0].message, "another Policy") || !strings.Contains(list[0].attrs["fix"], "outermost") {
		t.Errorf("logged %+v, want one warning with a fix", list)
	}
}

func TestRewriteRemoteAddr(t *testing.T) {
	p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{albHop()}, RewriteRemoteAddr: true})
	for _, c := range []struct{ peer, xff, want string }{
		{albPeer, "203.0.113.7", "203.0.113.7:0"},
		{albPeer, "203.0.113.7:5000", "203.0.113.7:5000"},
		{albPeer, "2001:db8::7", "[2001:db8::7]:0"},
		{albPeer, "[2001:db8::7]:5000", "[2001:db8::7]:5000"},
		{albPeer, "::ffff:203.0.113.7", "203.0.113.7:0"},
		{albPeer, "fe80::1%eth0", "[fe80::1]:0"},
		{albPeer, "unknown", "unknown:0"},
		{albPeer, "10.0.0.1.2", "unknown:0"},
		{albPeer, "", "unknown:0"},
		{directPeer, "6.6.6.6", directPeer},
		{"[::ffff:198.51.100.9]:40000", "6.6.6.6", directPeer},
		{"@", "6.6.6.6", "unknown:0"},
	} {
		got, _ := pass(p, get(c.peer, "X-Forwarded-For: "+c.xff, "X-Forwarded-Proto: https"))
		if got.RemoteAddr != c.want {
			t.Errorf("%s saying %q: RemoteAddr %q, want %q", c.peer, c.xff, got.RemoteAddr, c.want)
		}
		kept, _ := pass(behind(t, albHop()), get(c.peer, "X-Forwarded-For: "+c.xff))
		if kept.RemoteAddr != c.peer {
			t.Errorf("without RewriteRemoteAddr it became %q", kept.RemoteAddr)
		}
	}
}

func TestRejectUnknown(t *testing.T) {
	results := 0
	p := newPolicy(t, forwarded.Config{
		Hops: []forwarded.Hop{albHop()}, RejectUnknown: true,
		OnResult: func(*http.Request, forwarded.Info) { results++ },
	})
	for _, c := range []struct {
		name string
		r    *http.Request
		code int
	}{
		{"unknown", get(albPeer, "X-Forwarded-For: unknown", "X-Forwarded-Proto: https"), http.StatusBadRequest},
		{"mismatch", get(albPeer, "X-Forwarded-Proto: https"), http.StatusBadRequest},
		{"bad peer", get("somewhere"), http.StatusBadRequest},
		{"a probe", get(albPeer), http.StatusOK},
		{"forwarded", get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https"), http.StatusOK},
		{"direct", get(directPeer), http.StatusOK},
	} {
		results = 0
		got, rec := pass(p, c.r)
		if rec.Code != c.code || (got == nil) != (c.code != http.StatusOK) {
			t.Errorf("%s: status %d, next called: %v", c.name, rec.Code, got != nil)
		}
		if results != 1 {
			t.Errorf("%s: OnResult called %d times", c.name, results)
		}
		if c.code != http.StatusOK && !strings.Contains(rec.Header().Get("Cache-Control"), "no-store") {
			t.Errorf("%s: the refusal may be cached: %v", c.name, rec.Header())
		}
	}
	if got, _ := pass(behind(t, albHop()), get(albPeer, "X-Forwarded-For: unknown")); got == nil {
		t.Error("refused without RejectUnknown")
	}
}

func TestOnResult(t *testing.T) {
	var seen *http.Request
	var info forwarded.Info
	p := newPolicy(t, forwarded.Config{
		Hops:     []forwarded.Hop{albHop()},
		OnResult: func(r *http.Request, i forwarded.Info) { seen, info = r, i },
	})
	r := get(albPeer, "X-Forwarded-For: 6.6.6.6, "+client, "X-Forwarded-Proto: https")
	got, _ := pass(p, r)
	if seen != r {
		t.Error("OnResult did not get the request as it came")
	}
	if info != forwarded.From(got) || info.Client.String() != client {
		t.Errorf("OnResult got %+v, next %+v", info, forwarded.From(got))
	}
	if p.Resolve(get(directPeer)); seen != r {
		t.Error("Resolve called the hook")
	}
}

// TestKeepUnverified: the dangerous setting leaves what nobody vouched for,
// whole, but never a secret or a second Host.
func TestKeepUnverified(t *testing.T) {
	hop := albHop()
	hop.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{hop}, DangerouslyKeepUnverified: true})
	kept := []string{"X-Forwarded-For: 6.6.6.6, " + client, "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "X_Real_Ip: 1"}
	r := get(albPeer, append(slices.Clone(kept), "X-Origin-Secret: "+testSecret, "Host: "+ourHost)...)
	r.Trailer = lines("X-Forwarded-For: 1", "X-Origin-Secret: "+testSecret)
	got, _ := pass(p, r)
	if want := lines(kept...); !reflect.DeepEqual(got.Header, want) {
		t.Errorf("next got %v, want %v", got.Header, want)
	}
	if len(got.Trailer["X-Forwarded-For"]) == 0 {
		t.Errorf("the trailer was removed: %v", got.Trailer)
	}
	if len(got.Trailer["X-Origin-Secret"]) > 0 {
		t.Error("a secret reached the next handler in a trailer; it is to be removed on every path")
	}
}

// TestStrayHost: HTTP/2 lets a client send a Host header beside :authority.
func TestStrayHost(t *testing.T) {
	p := behind(t, albHop())
	for _, c := range []struct {
		lines []string
		code  int
	}{
		{[]string{"Host: " + ourHost}, http.StatusOK},
		{[]string{"Host: WWW.Example.COM"}, http.StatusOK},
		{[]string{"Host: evil.example"}, http.StatusBadRequest},
		{[]string{"Host: " + ourHost + ":443"}, http.StatusBadRequest},
		{[]string{"Host: "}, http.StatusBadRequest},
		{[]string{"Host: " + ourHost, "Host: evil.example"}, http.StatusBadRequest},
	} {
		got, rec := pass(p, get(directPeer, c.lines...))
		if rec.Code != c.code {
			t.Errorf("%q: status %d, want %d", c.lines, rec.Code, c.code)
		}
		if got != nil && got.Header["Host"] != nil {
			t.Errorf("%q: the Host header was handed on", c.lines)
		}
		if c.code != http.StatusOK && !strings.Contains(rec.Header().Get("Cache-Control"), "no-store") {
			t.Errorf("%q: the refusal may be cached", c.lines)
		}
	}
}

func TestWrapPanics(t *testing.T) {
	form := httptest.NewRequest("POST", "/", strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"))
	form.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("recovered %v, want the handler's own panic", got)
		}
		if form.MultipartForm == nil {
			t.Error("the form was not handed back")
		}
	}()
	var p forwarded.Policy
	p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	})).ServeHTTP(httptest.NewRecorder(), form)
}

// TestContextOutlivesTheRequest: a goroutine that keeps the context keeps its
// own request's Info, whatever is served later.
func TestContextOutlivesTheRequest(t *testing.T) {
	p := behind(t, albHop())
	var kept context.Context
	h := p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if kept == nil {
			kept = r.Context()
		}
	}))
	h.ServeHTTP(nopWriter{}, get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https"))
	done := make(chan forwarded.Info)
	start := make(chan struct{})
	go func() {
		<-start
		info, _ := forwarded.FromContext(kept)
		done <- info
	}()
	for range 1000 {
		h.ServeHTTP(nopWriter{}, get(albPeer, "X-Forwarded-For: 192.0.2.66", "X-Forwarded-Proto: http"))
	}
	close(start)
	if info := <-done; info.Client.String() != client || info.Scheme != forwarded.HTTPS {
		t.Errorf("the kept context now says %+v", info)
	}
}

// TestContextPrintsNoHeaders: logging a context, as some code does, must not
// log what the client sent.
func TestContextPrintsNoHeaders(t *testing.T) {
	const value = "bearer-0123456789"
	r, _ := pass(behind(t, albHop()), get(albPeer, "X-Forwarded-For: 6.6.6.6, "+client, "X-Forwarded-Proto: https", "Authorization: "+value))
	type key struct{}
	derived, cancel := context.WithCancel(context.WithValue(r.Context(), key{}, 1))
	defer cancel()
	for _, ctx := range []context.Context{r.Context(), derived} {
		text := fmt.Sprint(ctx) + fmt.Sprintf("%v %+v %s", ctx, ctx, ctx)
		if strings.Contains(text, value) || strings.Contains(text, client) || strings.Contains(text, "Authorization") {
			t.Errorf("the context prints as %.300s", text)
		}
		if !strings.Contains(text, "Forwarded") {
			t.Errorf("the context does not tell what it is: %.300s", text)
		}
	}
}

// TestWrapKeepsPrefix: what was taken off the path before any policy ran belongs
// to the client's URL all the same.
func TestWrapKeepsPrefix(t *testing.T) {
	p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{albHop()}})
	r := get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https")
	r = r.WithContext(forwarded.NewContext(r.Context(), forwarded.Info{Prefix: "/shop"}))
	var got forwarded.Info
	p.Wrap(p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = forwarded.From(r) }))).ServeHTTP(nil, r)
	if got.Prefix != "/shop" || got.Client.String() != client {
		t.Errorf("resolved %+v, want the client and the prefix, once", got)
	}
}
