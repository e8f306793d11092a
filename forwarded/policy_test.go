package forwarded_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

func TestZeroPolicy(t *testing.T) {
	var p forwarded.Policy
	r := get(directPeer, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X_Real_Ip: 1", "Forwarded: for=6.6.6.6", "X-Forwarded-Host: evil.example", "Cookie: a")
	want := p.Resolve(r)
	if want.Client.String() != "198.51.100.9" || want.ClientPort != 40000 || want.Scheme != forwarded.HTTP || want.Host != ourHost ||
		want.Port != 80 || want.Hops != 0 || want.Complete || want.Status != forwarded.StatusDirect || want.Reason != forwarded.ReasonDirect {
		t.Errorf("resolved to %+v", want)
	}
	got, _ := pass(&p, r)
	if forwarded.From(got) != want {
		t.Errorf("Wrap says %+v", forwarded.From(got))
	}
	if !reflect.DeepEqual(got.Header, lines("Cookie: a")) {
		t.Errorf("next got %v", got.Header)
	}
	if p.Lint() != nil || p.String() != "no hops: the peer is the client" || !reflect.DeepEqual(p.Config(), forwarded.Config{}) {
		t.Errorf("%v %q %+v", p.Lint(), p.String(), p.Config())
	}
	if err := p.Reconfigure(forwarded.Config{Hops: []forwarded.Hop{albHop()}}); err != nil {
		t.Fatal(err)
	}
	if got := p.Resolve(get(albPeer, "X-Forwarded-For: "+client)).Client.String(); got != client {
		t.Errorf("configured later, the client is %s", got)
	}
}

// TestNoPolicy: without Wrap nothing is known, and nothing is guessed.
func TestNoPolicy(t *testing.T) {
	r := get(directPeer, "X-Forwarded-For: 6.6.6.6")
	if info := forwarded.From(r); info != (forwarded.Info{}) || info.Status != forwarded.StatusNone {
		t.Errorf("From says %+v", info)
	}
	if _, ok := forwarded.FromContext(r.Context()); ok {
		t.Error("FromContext found something")
	}
}

func TestBehind(t *testing.T) {
	list := []forwarded.Hop{passingNginx(), albHop()}
	p, err := forwarded.Behind(list...)
	if err != nil || !reflect.DeepEqual(p.Config(), forwarded.Config{Hops: list}) {
		t.Errorf("Behind made %+v (%v)", p, err)
	}
	if p, err := forwarded.Behind(forwarded.Trusted()); p != nil || err == nil {
		t.Errorf("nobody is trusted: %v, %v", p, err)
	}
}

func TestMust(t *testing.T) {
	p, err := forwarded.Behind(albHop())
	if forwarded.Must(p, err) != p {
		t.Error("Must returned another Policy")
	}
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "forwarded: Hops[0].From: nobody is named") {
			t.Errorf("the panic says %q", text)
		}
	}()
	forwarded.Must(forwarded.Behind(forwarded.Trusted()))
	t.Error("Must did not panic")
}

// TestConfigIsCopied, in and out.
func TestConfigIsCopied(t *testing.T) {
	ca, evil := newAuthority(t), newAuthority(t)
	hop := certHop()
	hop.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	cfg := forwarded.Config{Hops: []forwarded.Hop{hop}, Hosts: []string{ourHost}, ClientCAs: ca.pool()}
	p := newPolicy(t, cfg)
	spoil := func(c forwarded.Config) {
		c.Hops[0].From[0] = "198.51.100.0/24"
		c.Hops[0].Secret.Values[0] = "something else entirely"
		c.Hops[0].For = forwarded.Sets("X-Evil")
		c.Hosts[0] = "evil.example"
		c.ClientCAs.AddCert(evil.cert)
	}
	spoil(p.Config())
	spoil(cfg)
	if again := p.Config(); again.Hops[0].From[0] != "10.0.16.0/20" || again.Hosts[0] != ourHost || again.Hops[0].Secret.Values[0] != testSecret {
		t.Errorf("the configuration now is %+v", again)
	}
	r, _ := pass(p, viaALB("X-Origin-Secret: "+testSecret, certHeader+": "+albPEM(evil.issue(t, asClient))))
	if info := forwarded.From(r); info.Client.String() != client || info.Host != ourHost {
		t.Errorf("requests are now judged as %+v", info)
	}
	if _, ok := forwarded.ClientCert(r); ok {
		t.Error("an authority that was added to a copy's pool is believed")
	}
	if err := p.Reconfigure(p.Config()); err != nil {
		t.Errorf("the Policy's own configuration is refused: %v", err)
	}
}

// TestPolicyString: what is printed can be read back, but for secrets.
func TestPolicyString(t *testing.T) {
	odd := forwarded.Hop{
		Name: "a name; with=odd, bytes %\n", From: []string{"unix", "127.0.0.1"}, Shared: true, ReplacesHost: true,
		For: forwarded.Appends("Forwarded"), Proto: forwarded.Appends("Forwarded"), Host: forwarded.Drops("X-Forwarded-Host", "X-Host"), Port: forwarded.Drops(),
	}
	list := []forwarded.Hop{odd, albHop(), forwarded.GoogleCloud("192.0.2.1", "2001:db8::1"), forwarded.CloudFront()}
	text := behind(t, list...).String()
	if n := strings.Count(text, "\n"); n != len(list)-1 {
		t.Errorf("%d lines for %d hops:\n%s", n+1, len(list), text)
	}
	read, err := forwarded.ParseHops(text)
	if err != nil || !reflect.DeepEqual(read, list) {
		t.Errorf("read back as %+v (%v)", read, err)
	}
}

func TestReconfigure(t *testing.T) {
	p := behind(t, albHop())
	before := p.String()
	err := p.Reconfigure(forwarded.Config{Hops: []forwarded.Hop{nginxHop(), {}}, Hosts: []string{"*"}})
	errs, ok := err.(forwarded.ConfigErrors)
	if !ok || len(errs) != 2 {
		t.Errorf("got %v, want both mistakes", err)
	}
	if p.String() != before || p.Resolve(get(albPeer, "X-Forwarded-For: "+client)).Client.String() != client {
		t.Errorf("a refused configuration is in force: %v", p)
	}
	if err := p.Reconfigure(forwarded.Config{}); err != nil || p.Resolve(get(albPeer, "X-Forwarded-For: "+client)).Hops != 0 {
		t.Errorf("an accepted configuration is not in force: %v, %v", err, p)
	}
}

// TestReconfigureUnderLoad: each request sees one configuration: what it is
// told and what is left of its headers always fit together.
func TestReconfigureUnderLoad(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	xff := forwarded.Config{Logger: quiet, Hops: []forwarded.Hop{albHop()}}
	edge := forwarded.Config{Logger: quiet, RewriteRemoteAddr: true, Hosts: []string{"example.net"}, Hops: []forwarded.Hop{{
		From: []string{"10.0.0.0/8"}, For: forwarded.Sets("CF-Connecting-IP"), Proto: forwarded.Sets("X-Url-Scheme"),
	}}}
	const xffAnswer = "203.0.113.7 https www.example.com [203.0.113.7] [] 10.0.16.5:40000"
	const edgeAnswer = "192.0.2.66 http  [] [192.0.2.66] 192.0.2.66:0"
	p := newPolicy(t, xff)
	var mu sync.Mutex
	seen := map[string]int{}
	h := p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		info := forwarded.From(r)
		answer := fmt.Sprint(info.Client, " ", info.Scheme, " ", info.Host, " ", r.Header["X-Forwarded-For"], r.Header["Cf-Connecting-Ip"], " ", r.RemoteAddr)
		mu.Lock()
		defer mu.Unlock()
		seen[answer]++
	}))
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	writers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			cfg := []forwarded.Config{xff, edge, {Hosts: []string{"*"}}}[i%3]
			if err := p.Reconfigure(cfg); (err != nil) != (i%3 == 2) {
				t.Error(err)
				return
			}
		}
	})
	for range 2 {
		readers.Go(func() {
			for range 3000 {
				r := get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https", "Cf-Connecting-Ip: 192.0.2.66", "X-Url-Scheme: http")
				h.ServeHTTP(nopWriter{}, r)
				p.Resolve(r)
				p.Explain(r)
				_ = p.Config()
			}
		})
	}
	readers.Wait()
	close(stop)
	writers.Wait()
	if seen[xffAnswer] == 0 || seen[edgeAnswer] == 0 || len(seen) != 2 {
		t.Errorf("requests saw %v, want only\n%s\n%s", seen, xffAnswer, edgeAnswer)
	}
}

// TestFirstUseTogether: a zero Policy may be used by many at once.
func TestFirstUseTogether(t *testing.T) {
	var p forwarded.Policy
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			h := p.Wrap(p.Wrap(keepNothing))
			h.ServeHTTP(nopWriter{}, get(directPeer, "X-Forwarded-For: 1"))
		})
	}
	wg.Wait()
}

var keepNothing = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
