package forwarded_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// TestLint: what a topology cannot know, which hop to change, and how.
func TestLint(t *testing.T) {
	edit := func(h forwarded.Hop, f func(*forwarded.Hop)) forwarded.Hop {
		f(&h)
		return h
	}
	secret := forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	for _, c := range []struct {
		name    string
		cfg     forwarded.Config
		found   []string // code and hop
		message string   // parts of the first finding, separated by "|"
		fix     string
	}{
		{"no hops", forwarded.Config{}, nil, "", ""},
		{"ALB", hops(albHop()), nil, "", ""},
		{"nginx that passes the scheme, ALB", hops(passingNginx(), albHop()), nil, "", ""},
		{"NLB", hops(forwarded.NLBTLS("10.0.16.0/20")), nil, "", ""},
		{"the story: nginx overwrites what ALB wrote", hops(nginxHop(), albHop()), []string{"overwritten nginx"},
			`"nginx" overwrites|X-Forwarded-Proto|"alb" wrote|scheme cannot be known`, `let "nginx" pass|$http_x_forwarded_proto|Passes()`},
		{"an inner hop sets the client", hops(edit(forwarded.Caddy("127.0.0.1"), func(h *forwarded.Hop) { h.Proto, h.Host = forwarded.Passes(), forwarded.Passes() }), albHop()),
			[]string{"overwritten caddy"}, `"caddy" overwrites|X-Forwarded-For|address cannot be known`, "append|$proxy_add_x_forwarded_for"},
		{"an inner hop drops the port", hops(edit(passingNginx(), func(h *forwarded.Hop) { h.Port = forwarded.Drops("X-Forwarded-Port") }), albHop()),
			[]string{"overwritten nginx"}, "X-Forwarded-Port|Port cannot be known", "set its Port rule to Passes()"},
		{"an inner hop drops it all", hops(edit(passingNginx(), func(h *forwarded.Hop) { h.Proto = forwarded.Drops() }), albHop()),
			[]string{"overwritten nginx"}, "X-Forwarded-Proto", "Passes()"},
		{"no client", hops(forwarded.Hop{Name: "front", From: []string{"10.0.0.1"}, Proto: forwarded.Sets("X-Forwarded-Proto")}),
			[]string{"no_client front"}, `"front" does not say who`, "X-Forwarded-For|For rule"},
		{"no scheme", hops(passingNginx()), []string{"no_scheme nginx"}, `"nginx" does not say which scheme`, "X-Forwarded-Proto|Proto rule"},
		{"bare nginx", hops(forwarded.NginxPassing("127.0.0.1")), []string{"no_client nginx-passing", "no_scheme nginx-passing", "host_replaced nginx-passing"}, "", ""},
		{"a CDN without a secret", hops(forwarded.Cloudflare()), []string{"shared cloudflare"}, `others rent the addresses of "cloudflare"`, "Secret"},
		{"a CDN with a secret", hops(edit(forwarded.Cloudflare(), func(h *forwarded.Hop) { h.Secret = secret })), nil, "", ""},
		{"CloudFront as it comes", hops(forwarded.CloudFront()), []string{"no_scheme cloudfront", "shared cloudfront", "host_replaced cloudfront"}, "", "CloudFront-Forwarded-Proto"},
		{"everybody", hops(forwarded.Heroku()), []string{"any_peer heroku"}, "everybody|writes his own address", "only way in"},
		{"a replaced host", hops(edit(nginxHop(), func(h *forwarded.Hop) { h.ReplacesHost = true })), []string{"host_replaced nginx"}, `"nginx" sends a Host of its own`, "proxy_set_header Host $host|ReplacesHost"},
		{"a replaced host that another header carries", hops(edit(forwarded.Caddy("127.0.0.1"), func(h *forwarded.Hop) { h.ReplacesHost = true })), nil, "", ""},
		{"certificates, and no authorities", hops(certHop()), []string{"no_client_cas alb"}, "nothing says who may have signed", "Config.ClientCAs"},
		{"one range twice", hops(edit(forwarded.Trusted("10.0.0.0/8"), func(h *forwarded.Hop) { h.Name, h.Proto = "inner", forwarded.Passes() }), edit(forwarded.Trusted("10.0.16.0/20"), func(h *forwarded.Hop) { h.Name = "outer" })),
			[]string{"overlap outer"}, `"inner" and "outer" share addresses (10.0.16.0/20)`, "narrow both From lists"},
		{"everybody, and somebody", hops(edit(passingNginx(), func(h *forwarded.Hop) { h.From = []string{forwarded.AnyPeer} }), albHop()),
			[]string{"any_peer nginx", "overlap alb"}, "", ""},
		{"a scheme from no port", forwarded.Config{Hops: []forwarded.Hop{nginxHop()}, SchemeFromPort: true}, []string{"no_port nginx"}, `no port of "nginx"`, "X-Forwarded-Port"},
		{"a scheme from ALB's port", forwarded.Config{Hops: []forwarded.Hop{passingNginx(), albHop()}, SchemeFromPort: true}, nil, "", ""},
		{"hops without names", hops(forwarded.Hop{From: []string{"10.0.0.1"}, For: forwarded.Appends("X-Forwarded-For")}), []string{"no_scheme hop 1"}, `"hop 1"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := newPolicy(t, c.cfg).Lint()
			var found []string
			for _, f := range list {
				found = append(found, f.Code+" "+f.Hop)
				if f.Message == "" || f.Fix == "" {
					t.Errorf("%s says %q, fix %q", f.Code, f.Message, f.Fix)
				}
			}
			if !slices.Equal(found, c.found) {
				t.Fatalf("found %q, want %q", found, c.found)
			}
			for _, part := range strings.Split(c.message, "|") {
				if len(list) > 0 && !strings.Contains(list[0].Message, part) {
					t.Errorf("the message does not name %s: %s", part, list[0].Message)
				}
			}
			for _, part := range strings.Split(c.fix, "|") {
				if len(list) > 0 && !strings.Contains(list[0].Fix, part) {
					t.Errorf("the fix does not name %s: %s", part, list[0].Fix)
				}
			}
		})
	}
}

// TestFindingsAreLoggedOnce: when a Policy is made and when it is changed,
// never for a request or a call of Lint.
func TestFindingsAreLoggedOnce(t *testing.T) {
	var log logbook
	cfg := hops(nginxHop(), albHop())
	cfg.Logger = log.logger()
	p := newPolicy(t, cfg)
	want := fmt.Sprint([]string{"overwritten"})
	list := log.take()
	if fmt.Sprint(codes(list)) != want {
		t.Fatalf("New logged %+v, want the one finding", list)
	}
	if e := list[0]; e.attrs["hop"] != "nginx" || !strings.Contains(e.attrs["fix"], "nginx") || !strings.Contains(e.message, "overwrites") {
		t.Errorf("the finding is logged as %+v", e)
	}
	for range 3 {
		p.Lint()
		pass(p, get(nginxPeer, "X-Forwarded-For: "+client+", 10.0.16.5"))
	}
	if list := log.take(); list != nil {
		t.Errorf("logged again: %+v", list)
	}
	if err := p.Reconfigure(cfg); err != nil {
		t.Fatal(err)
	}
	if list := log.take(); fmt.Sprint(codes(list)) != want {
		t.Errorf("Reconfigure logged %+v, want the one finding", list)
	}
	bad := cfg
	bad.Hosts = []string{"*"}
	if p.Reconfigure(bad) == nil || log.take() != nil {
		t.Error("a refused configuration was accepted or linted")
	}
}
