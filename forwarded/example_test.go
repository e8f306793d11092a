package forwarded_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"

	"github.com/knownhops/knownhops/forwarded"
)

// quiet keeps start-up findings out of the output of examples.
var quiet = slog.New(slog.DiscardHandler)

// arrives is a request as a handler would find it without this package.
func arrives(peer string, header http.Header) *http.Request {
	r := httptest.NewRequest("GET", "/orders", nil)
	r.RemoteAddr, r.Host, r.Header = peer, "www.example.com", header
	return r
}

// What stands in front of the service decides which hops to declare, the
// nearest first.
func Example_whichPreset() {
	for _, front := range []struct {
		what string
		hops []forwarded.Hop
	}{
		{"nothing", nil},
		{"some proxy that appends X-Forwarded-For", []forwarded.Hop{forwarded.Trusted("10.0.0.0/8")}},
		{"an ALB", []forwarded.Hop{forwarded.ALB("10.0.16.0/20", "10.0.32.0/20")}},
		{"nginx on this machine", []forwarded.Hop{forwarded.Nginx("127.0.0.1")}},
		{"nginx on this machine, a Cloudflare zone before it", []forwarded.Hop{forwarded.Nginx("127.0.0.1"), forwarded.Cloudflare("198.51.100.0/24")}},
		{"an NLB with a TLS listener and PROXY protocol", []forwarded.Hop{forwarded.NLBTLS("10.0.16.0/20")}},
		{"Heroku's router, the only way in", []forwarded.Hop{forwarded.Heroku()}},
	} {
		p, err := forwarded.New(forwarded.Config{Hops: front.hops, Logger: quiet})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s:\n%v\n", front.what, p)
	}
	// Output:
	// nothing:
	// no hops: the peer is the client
	// some proxy that appends X-Forwarded-For:
	// hop=10.0.0.0/8;name=trusted;for=appends:X-Forwarded-For;proto=sets:X-Forwarded-Proto
	// an ALB:
	// hop=10.0.16.0/20,10.0.32.0/20;name=alb;for=appends:X-Forwarded-For;proto=sets:X-Forwarded-Proto;port=sets:X-Forwarded-Port
	// nginx on this machine:
	// hop=127.0.0.1;name=nginx;for=appends:X-Forwarded-For;proto=sets:X-Forwarded-Proto
	// nginx on this machine, a Cloudflare zone before it:
	// hop=127.0.0.1;name=nginx;for=appends:X-Forwarded-For;proto=sets:X-Forwarded-Proto
	// hop=198.51.100.0/24;name=cloudflare;shared=true;for=sets:Cf-Connecting-Ip;proto=sets:X-Forwarded-Proto
	// an NLB with a TLS listener and PROXY protocol:
	// hop=10.0.16.0/20;name=nlb-tls;for=proxy;proto=proxy;port=proxy
	// Heroku's router, the only way in:
	// hop=any;name=heroku;for=appends:X-Forwarded-For;proto=sets:X-Forwarded-Proto;port=sets:X-Forwarded-Port
}

// The trusted-proxy list of other libraries is the case of one hop.
func ExampleBehind() {
	hops := forwarded.Must(forwarded.Behind(forwarded.Trusted("10.0.0.0/8")))
	app := hops.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		info := forwarded.From(r)
		fmt.Println(info.Client, info.Scheme, r.Header.Get("X-Forwarded-For"))
	}))

	app.ServeHTTP(httptest.NewRecorder(), arrives("10.0.0.1:5000", http.Header{
		"X-Forwarded-For":   {"6.6.6.6, 203.0.113.7"}, // the client wrote 6.6.6.6, the proxy the rest
		"X-Forwarded-Proto": {"https"},
	}))
	app.ServeHTTP(httptest.NewRecorder(), arrives("198.51.100.9:5000", http.Header{}))
	// Output:
	// 203.0.113.7 https 203.0.113.7
	// 198.51.100.9 http
}

// ALB ends TLS and nginx, behind it, overwrites the scheme by its own: the
// service would redirect to https for ever. Lint says so at start-up, and the
// scheme is unknown rather than wrong.
func ExamplePolicy_Lint() {
	hops, err := forwarded.New(forwarded.Config{
		Hops:   []forwarded.Hop{forwarded.Nginx("127.0.0.1"), forwarded.ALB("10.0.16.0/20")},
		Logger: quiet,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range hops.Lint() {
		fmt.Println(f.Message)
		fmt.Println("Fix:", f.Fix)
	}
	info := hops.Resolve(arrives("127.0.0.1:5000", http.Header{
		"X-Forwarded-For":   {"203.0.113.7, 10.0.16.5"},
		"X-Forwarded-Proto": {"http"}, // the client used https
	}))
	fmt.Println(info.Client, info.Scheme, info.SchemeReason)
	// Output:
	// "nginx" overwrites or drops X-Forwarded-Proto, which "alb" wrote: the client's scheme cannot be known
	// Fix: let "nginx" pass it (nginx: proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto, or no such line) and set its Proto rule to Passes()
	// 203.0.113.7 unknown scheme_lost
}

// A topology can come from one environment variable.
func ExampleParseHops() {
	os.Setenv("HOPS", "nginx=127.0.0.1;proto=passes alb=10.0.16.0/20,10.0.32.0/20")
	defer os.Unsetenv("HOPS")

	list, err := forwarded.ParseHops(os.Getenv("HOPS"))
	if err != nil {
		fmt.Println(err)
		return
	}
	hops := forwarded.Must(forwarded.Behind(list...))
	info := hops.Resolve(arrives("127.0.0.1:5000", http.Header{
		"X-Forwarded-For": {"203.0.113.7, 10.0.16.5"}, "X-Forwarded-Proto": {"https"},
	}))
	fmt.Println(info.Client, info.Scheme)
	// Output: 203.0.113.7 https
}

// An unknown client is in no list and outside none, so both kinds of list
// keep it out.
func ExampleInfo_ClientIn() {
	office := netip.MustParsePrefix("203.0.113.0/24")
	hops := forwarded.Must(forwarded.Behind(forwarded.Trusted("10.0.0.0/8")))
	for _, entry := range []string{"203.0.113.7", "198.51.100.9", "unknown"} {
		info := hops.Resolve(arrives("10.0.0.1:5000", http.Header{"X-Forwarded-For": {entry}}))
		fmt.Printf("%s: in %v, not in %v\n", entry, info.ClientIn(office), info.ClientNotIn(office))
	}
	// Output:
	// 203.0.113.7: in true, not in false
	// 198.51.100.9: in false, not in true
	// unknown: in false, not in false
}

// Do not do this: there are two proxies and one is declared. The number of
// hops is a promise, so the second proxy is taken for the client, and all
// visitors share one address. A warning names the cure.
func Example_wrongOneHopTooFew() {
	r := arrives("10.0.0.1:5000", http.Header{"X-Forwarded-For": {"203.0.113.7, 10.0.0.2"}, "X-Forwarded-Proto": {"https"}})
	proxies := forwarded.Trusted("10.0.0.0/24")

	wrong, _ := forwarded.New(forwarded.Config{Hops: []forwarded.Hop{proxies}, Logger: quiet})
	fmt.Println("wrong:", wrong.Resolve(r).Client)
	for _, w := range wrong.Explain(r).Warnings {
		fmt.Println(w.Code, w.Fix)
	}

	inner := proxies
	inner.Proto = forwarded.Passes() // only the outer one sees the client's scheme
	right, _ := forwarded.New(forwarded.Config{Hops: []forwarded.Hop{inner, proxies}, Logger: quiet})
	fmt.Println("right:", right.Resolve(r).Client)
	// Output:
	// wrong: 10.0.0.2
	// W5 if it is a second proxy, declare that hop as well: Behind(Trusted(c), Trusted(c)); if internal callers use the proxy, all is well
	// right: 203.0.113.7
}

// Do not do this either, unless the platform's router is the only way in:
// AnyPeer lets everybody who reaches the port write his own address.
func Example_wrongAnyPeer() {
	wrong, _ := forwarded.New(forwarded.Config{Hops: []forwarded.Hop{forwarded.Trusted(forwarded.AnyPeer)}, Logger: quiet})
	attacker := arrives("198.51.100.66:5000", http.Header{"X-Forwarded-For": {"127.0.0.1"}})
	fmt.Println(wrong.Resolve(attacker).Client)
	for _, f := range wrong.Lint() {
		fmt.Println(f.Code+":", f.Message)
	}
	// Output:
	// 127.0.0.1
	// any_peer: everybody is taken for "trusted": whoever reaches the port writes his own address
}
