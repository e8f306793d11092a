//go:build linux

package peers

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	echo4 "github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/unrolled/secure"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// BenchmarkEnforce is the time until the application is reached over https, and the time of a redirect from http, both
// as a balancer hands requests on. The others read one header of whoever sends it, or check an address in front of it;
// this module's package redirect is told by package forwarded, which is measured with it and without.
func BenchmarkEnforce(b *testing.B) {
	for _, c := range enforceCases() {
		b.Run(c.name, func(b *testing.B) {
			contestants := c.contestants()
			if *reverse {
				slices.Reverse(contestants)
			}
			for _, one := range contestants {
				b.Run(one.name, func(b *testing.B) { measureHandler(b, c, one) })
			}
		})
	}
}

// An enforceCase is a request that everybody answers with one status.
type enforceCase struct {
	name, proto, port string
	status            int
}

func enforceCases() []enforceCase {
	return []enforceCase{{"pass", "https", "443", http.StatusOK}, {"redirect", "http", "80", http.StatusMovedPermanently}}
}

func (c enforceCase) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/app/items?id=42", nil)
	r.RemoteAddr, r.Host = redirectBalancer, redirectCanonical
	r.Header = benchCase{xff: benchClient}.request().Header
	r.Header.Set(xfp, c.proto)
	r.Header.Set("X-Forwarded-Port", c.port)
	return r
}

// An enforcer is one contestant. Those named "alone" do none of the work, and are to be subtracted.
type enforcer struct {
	name    string
	handler http.Handler
	request *http.Request // nil: the case's own
}

func (c enforceCase) contestants() []enforcer {
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	all := []enforcer{
		{name: "knownhops.redirect", handler: hstsEnforcer(redirect.HSTS{}).Wrap(app), request: c.informed()},
		{name: "knownhops.redirect+HSTS", handler: hstsEnforcer(redirect.OneYear).Wrap(app), request: c.informed()},
		{name: "knownhops.forwarded+redirect", handler: behindALB().Wrap(hstsEnforcer(redirect.HSTS{}).Wrap(app))},
		{name: "unrolled.secure", handler: wrapUnrolled(redirectCanonical, redirectAlias)(app)},
		{name: "unrolled.secure+HSTS", handler: unrolledHSTS(app)},
		{name: "echo4", handler: wrapEcho(app)},
	}
	if c.status == http.StatusOK {
		e := echo4.New()
		e.Any("/*", echo4.WrapHandler(app))
		return append(all, enforcer{name: "echo4_alone", handler: e}, enforcer{name: "handler_alone", handler: app})
	}
	return append(all, enforcer{name: "http.Redirect", handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+redirectCanonical+r.URL.RequestURI(), http.StatusMovedPermanently)
	})})
}

// informed is the request as package forwarded hands it on.
func (c enforceCase) informed() (r *http.Request) {
	keep := http.HandlerFunc(func(_ http.ResponseWriter, inner *http.Request) { r = inner })
	behindALB().Wrap(keep).ServeHTTP(httptest.NewRecorder(), c.request())
	return r
}

func behindALB() *forwarded.Policy {
	return forwarded.Must(forwarded.Behind(forwarded.ALB(redirectTrusted)))
}

func hstsEnforcer(hsts redirect.HSTS) *redirect.Enforcer {
	return redirect.Must(redirect.New(redirect.Config{
		Canonical: redirectCanonical, Aliases: []string{redirectAlias}, HSTS: hsts, Logger: slog.New(slog.DiscardHandler),
	}))
}

func unrolledHSTS(app http.Handler) http.Handler {
	return secure.New(secure.Options{
		AllowedHosts: []string{redirectCanonical, redirectAlias}, SSLRedirect: true, STSSeconds: 365 * 24 * 3600,
		SSLProxyHeaders: map[string]string{"X-Forwarded-Proto": "https"},
	}).Handler(app)
}

// measureHandler is measure for handlers. The answer's header is emptied before each request, and the request's URL
// restored, into which a contestant writes.
func measureHandler(b *testing.B, c enforceCase, one enforcer) {
	r, w := one.request, &statusWriter{header: http.Header{}}
	if r == nil {
		r = c.request()
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime(b)
	for range b.N {
		clear(w.header)
		r.URL.Scheme, r.URL.Host = "", ""
		one.handler.ServeHTTP(w, r)
	}
	spent := cpuTime(b) - start
	b.StopTimer()
	require.Equal(b, c.status, w.status)
	b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
}

// statusWriter keeps the status of an answer and forgets the body.
type statusWriter struct {
	header http.Header
	status int
}

func (w *statusWriter) Header() http.Header               { return w.header }
func (w *statusWriter) Write(p []byte) (int, error)       { return len(p), nil }
func (w *statusWriter) WriteString(s string) (int, error) { return len(s), nil } // as net/http's has
func (w *statusWriter) WriteHeader(status int)            { w.status = status }

// What is compared is the same: everybody answers each case as it should be.
func TestEnforceContestants(t *testing.T) {
	for _, c := range enforceCases() {
		for _, one := range c.contestants() {
			r, w := one.request, &statusWriter{header: http.Header{}}
			if r == nil {
				r = c.request()
			}
			one.handler.ServeHTTP(w, r)
			require.Equal(t, c.status, w.status, "%s, %s", c.name, one.name)
			if c.status != http.StatusOK {
				require.Equal(t, "https://www.example.com/app/items?id=42", w.header.Get("Location"), one.name)
			}
		}
	}
}
