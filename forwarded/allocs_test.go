package forwarded_test

import (
	"context"
	"net/http"
	"net/netip"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// served is what a handler kept, so that nothing is optimised away.
var served forwarded.Info

// keepInfo reads the Info as an application does.
var keepInfo = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { served = forwarded.From(r) })

// deep puts a request as deep into contexts as net/http and a router do.
func deep(r *http.Request) *http.Request {
	type key int
	ctx := context.WithValue(r.Context(), http.ServerContextKey, &http.Server{})
	for i := range 3 {
		ctx = context.WithValue(ctx, key(i), i)
	}
	return r.WithContext(ctx)
}

// TestWrapAllocates: context, Info and request copy are one object; the
// text of RemoteAddr is a second.
func TestWrapAllocates(t *testing.T) {
	friendly := map[string]bool{"a0": true, "b": true, "b6": true, "c": true, "d": true, "d4": true, "h": true, "probe": true}
	for _, c := range benchCases() {
		if !friendly[c.name] {
			continue
		}
		delete(friendly, c.name)
		r := deep(c.request())
		for _, rewrite := range []bool{false, true} {
			cfg := c.policy(t).Config()
			cfg.RewriteRemoteAddr = rewrite
			want := 1.0
			if rewrite && c.known {
				want = 2
			}
			h := newPolicy(t, cfg).Wrap(keepInfo)
			if n := testing.AllocsPerRun(200, func() { h.ServeHTTP(nopWriter{}, r) }); n != want {
				t.Errorf("%s, RewriteRemoteAddr %v: %v allocations, want %v", c.name, rewrite, n, want)
			}
			if served.Client.IsValid() != c.known {
				t.Errorf("%s: %+v", c.name, served)
			}
		}
	}
	if len(friendly) > 0 {
		t.Errorf("cases that are gone: %v", friendly)
	}
}

// TestSuppressedWarningsAreFree: what was warned about in this minute costs
// nothing more.
func TestSuppressedWarningsAreFree(t *testing.T) {
	p := behind(t, forwarded.Trusted("10.0.0.0/8"))
	r := deep(get(albPeer, "X-Forwarded-For: 10.9.9.9", "X-Forwarded-Proto: https")) // W5
	h := p.Wrap(keepInfo)
	if n := testing.AllocsPerRun(200, func() { h.ServeHTTP(nopWriter{}, r) }); n != 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}

// TestReadingAllocatesNothing: whoever asks again pays nothing.
func TestReadingAllocatesNothing(t *testing.T) {
	p := behind(t, albHop())
	inner := p.Wrap(keepInfo)
	r, _ := pass(p, deep(get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https")))
	r = deep(r)
	info := forwarded.From(r)
	inside := netip.MustParsePrefix("203.0.113.0/24")
	for name, f := range map[string]func(){
		"From":        func() { served = forwarded.From(r) },
		"FromContext": func() { served, _ = forwarded.FromContext(r.Context()) },
		"Resolve":     func() { served = p.Resolve(r) },
		"inner Wrap":  func() { inner.ServeHTTP(nopWriter{}, r) },
		"ClientCert":  func() { forwarded.ClientCert(r) },
		"ClientIn": func() {
			if !info.ClientIn(inside) || info.ClientNotIn(inside) {
				t.Error("the client is not where it is")
			}
		},
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

// TestResolveAllocates nothing for what is known and at most one object for
// what is refused.
func TestResolveAllocates(t *testing.T) {
	secret := albHop()
	secret.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	for _, c := range []struct {
		name string
		hop  forwarded.Hop
		r    *http.Request
		want float64
	}{
		{"a right secret", secret, get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https", "X-Origin-Secret: "+testSecret), 0},
		{"a wrong secret", secret, get(albPeer, "X-Forwarded-For: "+client, "X-Origin-Secret: 0123456789abcdef0123456"), 0},
		{"unknown", albHop(), get(albPeer, "X-Forwarded-For: unknown"), 1},
		{"no address", albHop(), get(albPeer, "X-Forwarded-For: localhost"), 1},
		{"almost IPv6", albHop(), get(albPeer, "X-Forwarded-For: 2001:db8::g"), 1},
		{"almost IPv6 in brackets", albHop(), get(albPeer, "X-Forwarded-For: [2001:db8:::7]:80"), 1},
		{"a bad peer", albHop(), get("2001:db8::g"), 1},
	} {
		p := behind(t, c.hop)
		r := deep(c.r)
		if n := testing.AllocsPerRun(200, func() { served = p.Resolve(r) }); n > c.want {
			t.Errorf("%s: %v allocations, want at most %v", c.name, n, c.want)
		}
	}
}

// TestResolveAllocatesNothingBehindPROXY: what the listener saw is copied.
func TestResolveAllocatesNothingBehindPROXY(t *testing.T) {
	p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{forwarded.NLBTLS("10.0.16.0/20")}})
	r := refRequest{remote: client + ":5000", host: ourHost, header: http.Header{}, transport: &forwarded.Transport{
		Peer: netip.MustParseAddrPort(albPeer), Source: netip.MustParseAddrPort(client + ":5000"), Destination: netip.MustParseAddrPort("10.0.16.2:443"),
	}}.request()
	if n := testing.AllocsPerRun(200, func() { served = p.Resolve(r) }); n != 0 || served.Scheme != forwarded.HTTPS {
		t.Errorf("%v allocations, %+v", n, served)
	}
}
