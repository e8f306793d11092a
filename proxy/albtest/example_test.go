package albtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// A testT stands for *testing.T, which an example has not.
type testT struct{ cleanups []func() }

func (t *testT) Helper()                   {}
func (t *testT) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *testT) Errorf(f string, a ...any) { fmt.Printf(f+"\n", a...) }
func (t *testT) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (t *testT) end() {
	for _, f := range t.cleanups {
		f()
	}
}

// Test my redirect: who sends plain http to https, the balancer or the service,
// and does it end?
func ExampleNewServer() {
	t := new(testT) // in a test, its *testing.T
	defer t.end()

	hops := forwarded.Must(forwarded.New(forwarded.Config{
		Hops: []forwarded.Hop{forwarded.ALB(albtest.Subnets()...)}, Logger: quiet(),
	}))
	https := redirect.Must(redirect.New(redirect.Config{
		Canonical: "www.example.com", Aliases: []string{"example.com"}, Logger: quiet(),
	}))
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "the page")
	})
	service := http.NewServeMux()
	service.HandleFunc("/{$}", func(http.ResponseWriter, *http.Request) {}) // health checks: outside, as they ask for an address
	service.Handle("/", hops.Wrap(https.Wrap(page)))
	srv := albtest.NewServer(t, service)

	for url := "http://example.com/cart?id=1"; url != ""; {
		resp, err := srv.Client().Get(url)
		if err != nil {
			t.Fatalf("%v", err)
		}
		resp.Body.Close()
		fmt.Println(url, "->", resp.StatusCode)
		url = resp.Header.Get("Location")
	}
	for _, e := range srv.Log() {
		fmt.Printf("listener %d: answered by %s: %s\n", e.Listener, e.AnsweredBy, e.Why)
	}
	fmt.Println(https.Stats())
	// Output:
	// http://example.com/cart?id=1 -> 301
	// https://example.com:443/cart?id=1 -> 301
	// https://www.example.com/cart?id=1 -> 200
	// listener 80: answered by balancer: the rule redirects
	// listener 443: answered by target: 10.0.16.10:80 answered
	// listener 443: answered by target: 10.0.16.10:80 answered
	// map[passed_https:1 host_redirected:1]
}

// Test my client address: what does the service believe, and what when the
// client lies?
func ExampleServer_ClientFrom() {
	t := new(testT)
	defer t.end()

	hops := forwarded.Must(forwarded.New(forwarded.Config{
		Hops: []forwarded.Hop{forwarded.ALB(albtest.Subnets()...)}, Logger: quiet(),
	}))
	service := hops.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, forwarded.From(r).Client)
	}))
	srv := albtest.NewServer(t, service)

	req, _ := http.NewRequest(http.MethodGet, srv.HTTPSURL, nil)
	req.Header.Set("X-Forwarded-For", "6.6.6.6")
	req.Header.Set("X-Real-IP", "6.6.6.6")
	fmt.Println(body(srv.ClientFrom(netip.MustParseAddr("2001:db8::7")).Do(req)))

	req.URL.Scheme = "http" // past the balancer there is no TLS
	fmt.Println(body(srv.Direct(albtest.DefaultGroup).Do(req)))
	// Output:
	// 2001:db8::7
	// 198.51.100.66
}

// body is all of an answer.
func body(resp *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Test my deploy: a target is taken out while it has a request, which takes its
// time. In a synctest bubble that is no time at all. It is a test because
// synctest needs a *testing.T; the rest would be the same in a program.
func TestExampleServer_TargetGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/report" {
				time.Sleep(2 * time.Minute)
			}
			_, _ = io.WriteString(w, "done")
		})
		srv := albtest.Start(t, albtest.Config{
			InMemory:   true,
			Attributes: albtest.Attributes{IdleTimeout: 5 * time.Minute},
			TargetGroups: map[string]albtest.TargetGroup{
				"app": {Targets: []albtest.Target{{Handler: slow}, {Handler: slow}}, DeregistrationDelay: 3 * time.Minute},
			},
		})
		app := srv.TargetGroup("app")
		if err := app.WaitHealthy(t.Context()); err != nil {
			t.Fatal(err)
		}

		report := make(chan string)
		go func() { report <- body(srv.Client().Get(srv.HTTPSURL + "/report")) }()
		synctest.Wait() // the report is on its way at the first target
		first := app.Health()[0].Target
		if err := app.Deregister(first); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			body(srv.Client().Get(srv.HTTPSURL))
			if log := srv.Log(); log[len(log)-1].Target == first {
				t.Error("a target that was deregistered gets requests")
			}
		}
		if err := app.WaitIdle(t.Context(), first); err != nil { // now its process may end
			t.Fatal(err)
		}
		if err := app.Kill(first); err != nil {
			t.Fatal(err)
		}
		if got := <-report; got != "done" {
			t.Errorf("the report was lost: %s", got)
		}
	})
}

// The whole battery at once. This service is right, so that the audit has
// nothing to say; Client tells it how to find out what the service believes.
func ExampleAudit() {
	t := new(testT)
	defer t.end()

	hops := forwarded.Must(forwarded.New(forwarded.Config{
		Hops:  []forwarded.Hop{forwarded.ALB(albtest.Subnets()...)},
		Hosts: []string{"www.example.com"}, Logger: quiet(),
	}))
	https := redirect.Must(redirect.New(redirect.Config{Canonical: "www.example.com", Logger: quiet()}))
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Client", forwarded.From(r).Client.String())
	})
	service := http.NewServeMux()
	service.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	service.Handle("/", hops.Wrap(https.Wrap(app)))

	albtest.Audit(t, service, albtest.AuditSpec{
		HealthPath: "/healthz",
		Client: func(resp *http.Response) (netip.Addr, bool) {
			addr, err := netip.ParseAddr(resp.Header.Get("X-Client"))
			return addr, err == nil
		},
	})
	fmt.Println("audited")
	// Output:
	// audited
}

// What not to do: this service redirects whatever does not say https, and so
// every health check, to whatever host it is asked for. Never is it healthy.
// The audit names what is wrong; here, the first line of each error.
func ExampleAudit_wrong() {
	wrong := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-Proto") != "https" {
			http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusMovedPermanently)
		}
	})
	t := new(firstLines) // in a test, its *testing.T
	albtest.Audit(t, wrong, albtest.AuditSpec{})
	// Output:
	// row "host/unknown": Location is https://evil.example/, which leads to the attacker
	// row "host/suffix": Location is https://www.example.com.evil.example/, which leads to the attacker
	// row "host/ip": Location is https://192.0.2.80/, which is an address for which there is no certificate
	// row "host/ip-port": Location is https://192.0.2.80/, which is an address for which there is no certificate
	// row "host/ip-of-target": Location is https://10.0.16.10/, which is an address for which there is no certificate
	// row "host/ipv6": Location is https://[2001:db8::80]/, which is an address for which there is no certificate
	// row "host/absolute-form": Location is https://evil.example/, which leads to the attacker
	// row "host/port": Location names port 8080, on which nobody listens for clients
	// row "probe/plain": the health check fails: Target.ResponseCodeMismatch, with these codes: [301]
	// row "probe/port": the health check fails: Target.ResponseCodeMismatch, with these codes: [301]
	// row "probe/ipv6": the health check fails: Target.ResponseCodeMismatch, with these codes: [301]
	// row "probe/accept-encoding": the health check fails: Target.ResponseCodeMismatch, with these codes: [301]
	// row "probe/trace-id": the health check fails: Target.ResponseCodeMismatch, with these codes: [301]
	// row "direct/x-forwarded-proto": the service answers 200; without what is forged, 301
	// row "direct/ip": Location is https://10.0.16.10/, which is an address for which there is no certificate
	// row "direct/ip-forged": Location is https://10.0.16.10/, which is an address for which there is no certificate
	// row "direct/no-host": Location is https:///, which names no host
}

// firstLines prints the first line of each error.
type firstLines struct{ testT }

func (*firstLines) Errorf(format string, args ...any) {
	line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	fmt.Println(strings.TrimPrefix(line, "albtest: Audit: "))
}
