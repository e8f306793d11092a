package redirect_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// A quietWriter reuses its header and forgets the rest.
type quietWriter struct{ header http.Header }

func (w *quietWriter) Header() http.Header               { return w.header }
func (w *quietWriter) WriteHeader(int)                   {}
func (w *quietWriter) Write(p []byte) (int, error)       { return len(p), nil }
func (w *quietWriter) WriteString(s string) (int, error) { return len(s), nil }

var nothing = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// serveOver is what the Enforcer does with one request, again and again.
func serveOver(cfg redirect.Config, scheme forwarded.Scheme, host, target string) func() {
	cfg.Canonical, cfg.Aliases, cfg.PlainHosts, cfg.Logger = canonical, []string{apex, wildcard}, []string{plain}, discard
	h := redirect.Must(redirect.New(cfg)).Wrap(nothing)
	r := comes(scheme, host, 1)
	r.URL.Path, r.URL.RawQuery = target, "id=7&q=a%20b"
	r.Header = http.Header{"User-Agent": {"Mozilla/5.0"}, "Accept": {"text/html"}, "Cookie": {"session=1; theme=dark"}}
	w := &quietWriter{header: http.Header{}}
	return func() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

func TestAllocs(t *testing.T) {
	proof := func(forwarded.Info, string) bool { return true }
	for _, c := range []struct {
		name   string
		cfg    redirect.Config
		scheme forwarded.Scheme
		host   string
		most   float64
	}{
		{"pass", redirect.Config{}, forwarded.HTTPS, canonical, 0},
		{"pass, everything on", redirect.Config{RequireProxy: true, RefuseUnknown: true, RefuseUnsafe: true, Proof: proof, RefuseWithoutProof: true}, forwarded.HTTPS, canonical, 0},
		{"pass, HSTS", redirect.Config{HSTS: redirect.OneYear}, forwarded.HTTPS, canonical, 1},
		{"plain host", redirect.Config{}, forwarded.HTTP, plain, 0},
		{"exempt", redirect.Config{Exempt: []string{"/orders"}}, forwarded.HTTP, apex, 0},
		{"redirect", redirect.Config{}, forwarded.HTTP, apex, 2},
		{"redirect, no marker", redirect.Config{NoLoopMarker: true, HTTPSPort: 8443}, forwarded.HTTP, canonical, 2},
		{"redirect, wildcard", redirect.Config{}, forwarded.HTTP, "a.old.example", 2},
		{"redirect, host", redirect.Config{}, forwarded.HTTPS, apex, 2},
		{"redirect, proved", redirect.Config{Proof: proof}, forwarded.HTTP, canonical, 2},
		{"refused", redirect.Config{}, forwarded.HTTP, "evil.example", 2},
	} {
		serve := serveOver(c.cfg, c.scheme, c.host, "/orders")
		serve() // the first redirect is told to the operator
		assert.LessOrEqual(t, testing.AllocsPerRun(200, serve), c.most, c.name)
	}
}
