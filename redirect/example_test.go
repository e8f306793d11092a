package redirect_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// throughALB is a request as an ALB in 10.0.16.0/20 hands it on.
func throughALB(method, scheme, host string) *http.Request {
	r := httptest.NewRequest(method, "/orders?id=7", nil)
	r.Host, r.RemoteAddr = host, "10.0.16.5:5000"
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	r.Header.Set("X-Forwarded-Proto", scheme)
	return r
}

var shop = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the orders") })

// A service behind an ALB. The policy goes around the Enforcer.
func Example() {
	hops := forwarded.Must(forwarded.Behind(forwarded.ALB("10.0.16.0/20")))
	https := redirect.Must(redirect.HTTPS("www.example.com", "example.com"))
	app := hops.Wrap(https.Wrap(shop))

	for _, r := range []*http.Request{
		throughALB("GET", "http", "example.com"),
		throughALB("GET", "https", "example.com"),
		throughALB("GET", "https", "www.example.com"),
		throughALB("POST", "http", "www.example.com"),
		throughALB("GET", "http", "10.0.20.9"),
	} {
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Printf("%s %s %s → %d %q\n", r.Method, r.Header.Get("X-Forwarded-Proto"), r.Host, w.Code, w.Header().Get("Location"))
	}
	// Output:
	// GET http example.com → 301 "https://example.com/orders?id=7"
	// GET https example.com → 301 "https://www.example.com/orders?id=7"
	// GET https www.example.com → 200 ""
	// POST http www.example.com → 308 "https://www.example.com/orders?id=7"
	// GET http 10.0.20.9 → 421 ""
}

// What the service is decides which switches it wants.
func Example_whichConfig() {
	for _, service := range []struct {
		what string
		cfg  redirect.Config
	}{
		{"a site", redirect.Config{HSTS: redirect.OneHour}},
		{"an API, whose clients should notice that they used http", redirect.Config{RefuseUnsafe: true}},
		{"one that nobody may reach past the balancer", redirect.Config{RequireProxy: true}},
		{"one whose other names have no certificate", redirect.Config{OneHop: true}},
		{"one that had better be down than in clear", redirect.Config{RefuseUnknown: true, RefuseWithoutProof: true}},
	} {
		service.cfg.Canonical, service.cfg.Aliases = "www.example.com", []string{"example.com"}
		service.cfg.Policy = forwarded.Must(forwarded.Behind(forwarded.ALB("10.0.16.0/20")))
		e, err := redirect.New(service.cfg)
		if err != nil {
			fmt.Println(err)
			continue
		}
		direct := httptest.NewRequest("GET", "/", nil)
		direct.Host = "www.example.com"
		fmt.Printf("%s: GET %v, POST %v, past the balancer %v\n", service.what,
			e.Decide(throughALB("GET", "http", "example.com")).Status, e.Decide(throughALB("POST", "http", "example.com")).Status, e.Decide(direct).Status)
	}
	// Output:
	// a site: GET 301, POST 308, past the balancer 301
	// an API, whose clients should notice that they used http: GET 301, POST 403, past the balancer 301
	// one that nobody may reach past the balancer: GET 301, POST 308, past the balancer 421
	// one whose other names have no certificate: GET 301, POST 308, past the balancer 301
	// one that had better be down than in clear: GET 503, POST 503, past the balancer 503
}

// Wrong: the Enforcer stands outside of the policy, so nobody has judged the
// headers yet when it decides. It neither believes them, or any client could
// switch the redirect off, nor takes the socket's word for it, or every visitor
// would be redirected for ever. It lets the requests pass and complains.
func Example_wrongOrder() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelError, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.MessageKey || a.Key == "fix" {
			return a
		}
		return slog.Attr{}
	}}))
	hops := forwarded.Must(forwarded.Behind(forwarded.ALB("10.0.16.0/20")))
	https := redirect.Must(redirect.New(redirect.Config{Canonical: "www.example.com", Logger: logger}))
	app := https.Wrap(hops.Wrap(shop))

	for _, scheme := range []string{"http", "https"} {
		w := httptest.NewRecorder()
		app.ServeHTTP(w, throughALB("GET", scheme, "www.example.com"))
		fmt.Println(scheme, w.Code, w.Body)
	}
	fmt.Println(https.Stats()[redirect.ReasonNoPolicy], "requests that no policy had seen")
	// Output:
	// msg="redirect: forwarded.Wrap is missing or inside: forwarding headers that nobody has judged" fix="put forwarded.Policy.Wrap around this handler, or set Config.Policy"
	// http 200 the orders
	// https 200 the orders
	// 2 requests that no policy had seen
}
