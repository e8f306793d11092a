package redirect_test

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/redirect"
)

// RFC 6797 §6.1: directives are separated by semicolons and spelt like this.
func TestHSTSHeader(t *testing.T) {
	for _, c := range []struct {
		hsts redirect.HSTS
		want string
	}{
		{redirect.HSTS{}, ""},
		{redirect.OneHour, "max-age=3600"},
		{redirect.OneWeek, "max-age=604800"},
		{redirect.OneYear, "max-age=31536000"},
		{redirect.Preload, "max-age=63072000; includeSubDomains; preload"},
		{redirect.Clear, "max-age=0"},
		{redirect.HSTS{MaxAge: 90 * time.Second, IncludeSubDomains: true}, "max-age=90; includeSubDomains"},
	} {
		assert.Equal(t, c.want, c.hsts.String())
	}
}

// hstsOf is the header for one request, as the client would get it.
func hstsOf(t *testing.T, cfg redirect.Config, host string, overTLS bool, outer string) []string {
	cfg.Logger = discard
	e, err := redirect.New(cfg)
	require.NoError(t, err)
	r := plainGet(host, "/")
	if overTLS {
		r.TLS = &tls.ConnectionState{}
	}
	w := &tableWriter{header: http.Header{}}
	if outer != "" {
		w.header.Set("Strict-Transport-Security", outer)
	}
	e.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	return w.header["Strict-Transport-Security"]
}

// Preloading takes whole domains. Its bare name must agree, wherever it is; any
// other alias speaks for itself only, or the subdomains of a forgotten domain
// would be bound to https.
func TestHSTSOfAliases(t *testing.T) {
	const full, own = "max-age=63072000; includeSubDomains; preload", "max-age=63072000"
	cfg := redirect.Config{Canonical: canonical, Aliases: []string{apex, other, "ww.example.com", wildcard}, PlainHosts: []string{plain}, HSTS: redirect.Preload}
	for host, want := range map[string]string{canonical: full, apex: full, other: own, "ww.example.com": own, "a.old.example": own, plain: "", "evil.example": "", "192.0.2.7": ""} {
		var lines []string
		if want != "" {
			lines = []string{want}
		}
		assert.Equal(t, lines, hstsOf(t, cfg, host, true, ""), host)
		assert.Nil(t, hstsOf(t, cfg, host, false, ""), "over http: %s", host)
	}
	cfg.Canonical, cfg.Aliases = apex, []string{canonical}
	assert.Equal(t, []string{full}, hstsOf(t, cfg, apex, true, ""))
	assert.Equal(t, []string{own}, hstsOf(t, cfg, canonical, true, ""), "a subdomain of the domain is not its bare name")
	cfg.Canonical, cfg.Aliases = "shop.www.example.com", []string{canonical, apex}
	assert.Equal(t, []string{full}, hstsOf(t, cfg, apex, true, ""))
	assert.Equal(t, []string{own}, hstsOf(t, cfg, canonical, true, ""), "the domain is the shorter one")
	cfg.HSTS, cfg.Canonical, cfg.Aliases = redirect.HSTS{MaxAge: time.Minute, IncludeSubDomains: true}, canonical, []string{apex}
	assert.Equal(t, []string{"max-age=60"}, hstsOf(t, cfg, apex, true, ""), "without Preload the bare name is an alias like others")
	assert.Equal(t, []string{"max-age=60; includeSubDomains"}, hstsOf(t, cfg, canonical, true, ""))
}

// Browsers heed the first header only (RFC 6797 §8.1), so there is never a second.
func TestHSTSOfAnOuterHandlerStays(t *testing.T) {
	cfg := redirect.Config{Canonical: canonical, HSTS: redirect.OneHour}
	assert.Equal(t, []string{"max-age=1"}, hstsOf(t, cfg, canonical, true, "max-age=1"))
}

// HSTS stands in every answer over https, so the handler inside finds it and can
// take it away.
func TestHSTSIsThereBeforeNext(t *testing.T) {
	e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, HSTS: redirect.OneHour, Logger: discard}))
	r := plainGet(canonical, "/")
	r.TLS = &tls.ConnectionState{}
	w := &tableWriter{header: http.Header{}}
	e.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		assert.Equal(t, "max-age=3600", w.Header().Get("Strict-Transport-Security"))
		w.Header().Del("Strict-Transport-Security")
	})).ServeHTTP(w, r)
	assert.Empty(t, w.header)
}
