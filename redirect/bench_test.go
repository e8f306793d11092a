package redirect_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

func BenchmarkWrap(b *testing.B) {
	for _, c := range []struct {
		name   string
		cfg    redirect.Config
		scheme forwarded.Scheme
		host   string
	}{
		{"pass", redirect.Config{}, forwarded.HTTPS, canonical},
		{"passHSTS", redirect.Config{HSTS: redirect.OneYear}, forwarded.HTTPS, canonical},
		{"redirect", redirect.Config{}, forwarded.HTTP, apex},
		{"redirectHost", redirect.Config{}, forwarded.HTTPS, apex},
		{"refused", redirect.Config{}, forwarded.HTTP, "evil.example"},
		{"unknown", redirect.Config{}, forwarded.SchemeUnknown, canonical},
	} {
		b.Run(c.name, func(b *testing.B) {
			serve := serveOver(c.cfg, c.scheme, c.host, "/orders")
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}

// What strangers may send should cost about what it takes to read it.
func BenchmarkHostile(b *testing.B) {
	cookies := make([]string, 64)
	for i := range cookies {
		cookies[i] = fmt.Sprintf("cookie%d=%s", i, strings.Repeat("v", 40))
	}
	for _, c := range []struct {
		name, host, query string
		header            http.Header
	}{
		{"query8KB", canonical, strings.Repeat(`"`, 2700), nil},
		{"queryTooLong", canonical, strings.Repeat(`"`, megabyte), nil},
		{"queryPercents", canonical, strings.Repeat("%", 2700), nil},
		{"cookie1MB", canonical, "", http.Header{"Cookie": {strings.Repeat("a=b; ", megabyte/5)}}},
		{"cookies64", canonical, "", http.Header{"Cookie": {strings.Join(cookies, "; ")}}},
		{"schemes1MB", canonical, "", http.Header{"X-Forwarded-Scheme": {strings.Repeat("https,", megabyte/6)}}},
		{"host1MB", strings.Repeat("a.", megabyte/2), "", nil},
		{"hostLong", strings.Repeat("a.", 120) + "old.example", "", nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Aliases: []string{wildcard}, Logger: discard})).Wrap(nothing)
			r := comes(forwarded.HTTP, c.host, 1)
			r.URL.RawQuery = c.query
			for name, lines := range c.header {
				r.Header[name] = lines
			}
			w := &quietWriter{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}
