package redirect_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// Each mistake by itself: where it is said to be, and that it can be acted on.
func TestConfigMistakes(t *testing.T) {
	type config = redirect.Config
	aliases := func(names ...string) config { return config{Canonical: canonical, Aliases: names} }
	plainHosts := func(names ...string) config { return config{Canonical: canonical, PlainHosts: names} }
	exempt := func(path string) config { return config{Canonical: canonical, Exempt: []string{path}} }
	hsts := func(h redirect.HSTS) config { return config{Canonical: canonical, HSTS: h} }
	for _, c := range []struct {
		cfg          config
		field, value string
	}{
		{config{}, "Canonical", ""},
		{config{Canonical: "https://www.example.com"}, "Canonical", "https://www.example.com"},
		{config{Canonical: "www.example.com/"}, "Canonical", "www.example.com/"},
		{config{Canonical: "www.example.com:443"}, "Canonical", "www.example.com:443"},
		{config{Canonical: "www.example.com:"}, "Canonical", "www.example.com:"},
		{config{Canonical: "*.example.com"}, "Canonical", "*.example.com"},
		{config{Canonical: "192.0.2.7"}, "Canonical", "192.0.2.7"},
		{config{Canonical: "[2001:db8::1]"}, "Canonical", "[2001:db8::1]"},
		{config{Canonical: "127.1"}, "Canonical", "127.1"},
		{config{Canonical: "exämple.com"}, "Canonical", "exämple.com"},
		{config{Canonical: "user@example.com"}, "Canonical", "user@example.com"},
		{config{Canonical: "example..com"}, "Canonical", "example..com"},
		{aliases("example.com", ""), "Aliases[1]", ""},
		{aliases("*."), "Aliases[0]", "*."},
		{aliases("*"), "Aliases[0]", "*"},
		{aliases("a.*.example"), "Aliases[0]", "a.*.example"},
		{aliases("*.192.0.2.7"), "Aliases[0]", "*.192.0.2.7"},
		{aliases("192.0.2.7"), "Aliases[0]", "192.0.2.7"},
		{aliases("*.old.example:80"), "Aliases[0]", "*.old.example:80"},
		{aliases("http://example.com"), "Aliases[0]", "http://example.com"},
		{aliases("WWW.example.com."), "Aliases[0]", "WWW.example.com."},
		{aliases("example.com", "EXAMPLE.com"), "Aliases[1]", "EXAMPLE.com"},
		{plainHosts("localhost", "127.0.0.1"), "PlainHosts[1]", "127.0.0.1"},
		{plainHosts("localhost:8080"), "PlainHosts[0]", "localhost:8080"},
		{plainHosts("www.example.com"), "PlainHosts[0]", "www.example.com"},
		{plainHosts("*.example.com"), "PlainHosts[0]", "*.example.com"},
		{config{Canonical: canonical, Aliases: []string{"a.internal"}, PlainHosts: []string{"*.internal"}}, "PlainHosts[0]", "*.internal"},
		{config{Canonical: canonical, Aliases: []string{"*.old.example"}, PlainHosts: []string{"*.old.example"}}, "PlainHosts[0]", "*.old.example"},
		{config{Canonical: canonical, Aliases: []string{"*.old.example"}, PlainHosts: []string{"*.example"}}, "PlainHosts[0]", "*.example"},
		{hsts(redirect.HSTS{MaxAge: -time.Hour}), "HSTS.MaxAge", "-1h0m0s"},
		{hsts(redirect.HSTS{MaxAge: 1500 * time.Millisecond}), "HSTS.MaxAge", "1.5s"},
		{hsts(redirect.HSTS{MaxAge: 31536000}), "HSTS.MaxAge", "31.536ms"}, // seconds, meant
		{hsts(redirect.HSTS{IncludeSubDomains: true}), "HSTS.MaxAge", "0s"},
		{hsts(redirect.HSTS{MaxAge: -1, IncludeSubDomains: true}), "HSTS", "-1ns"},
		{hsts(redirect.HSTS{MaxAge: 365 * 24 * time.Hour, Preload: true}), "HSTS.IncludeSubDomains", "false"},
		{hsts(redirect.HSTS{MaxAge: 364 * 24 * time.Hour, IncludeSubDomains: true, Preload: true}), "HSTS.MaxAge", "8736h0m0s"},
		{config{Canonical: "localhost", HSTS: redirect.OneHour}, "HSTS", "max-age=3600"},
		{config{Canonical: "app.localhost", HSTS: redirect.OneHour}, "HSTS", "max-age=3600"},
		{config{Canonical: canonical, HTTPSPort: 80}, "HTTPSPort", "80"},
		{config{Canonical: canonical, OneHop: true, HSTS: redirect.Preload}, "OneHop", "true"},
		{exempt(""), "Exempt[0]", ""},
		{exempt("open"), "Exempt[0]", "open"},
		{exempt("/open?x=1"), "Exempt[0]", "/open?x=1"},
		{exempt("/open/*"), "Exempt[0]", "/open/*"},
		{exempt("/%6fpen"), "Exempt[0]", "/%6fpen"},
	} {
		e, err := redirect.New(c.cfg)
		var all redirect.ConfigErrors
		if !assert.ErrorAs(t, err, &all, "%s %q is legal", c.field, c.value) {
			continue
		}
		assert.Nil(t, e)
		require.Len(t, all, 1, "%v", err)
		assert.Equal(t, c.field, all[0].Field)
		assert.Equal(t, c.value, all[0].Value, c.field)
		assert.NotEmpty(t, all[0].Reason)
		assert.NotEmpty(t, all[0].Fix)
		assert.NotContains(t, err.Error(), "%!")
		assert.True(t, errors.As(err, new(redirect.ConfigError)))
	}
}

func TestConfigReportsAllTogetherInFieldOrder(t *testing.T) {
	_, err := redirect.New(redirect.Config{
		Canonical:  "https://example.com/",
		Aliases:    []string{"example.com", "*.*.example", "192.0.2.7", "example.com"},
		PlainHosts: []string{"localhost:80", "example.com"},
		HSTS:       redirect.HSTS{MaxAge: time.Hour, Preload: true},
		HTTPSPort:  80,
		OneHop:     true,
		Exempt:     []string{"/ok", "x", "/a?b"},
	})
	var all redirect.ConfigErrors
	require.ErrorAs(t, err, &all)
	var fields []string
	for _, one := range all {
		fields = append(fields, one.Field)
	}
	assert.Equal(t, []string{"Canonical", "Aliases[1]", "Aliases[2]", "Aliases[3]", "PlainHosts[0]", "PlainHosts[1]",
		"HSTS.MaxAge", "HSTS.IncludeSubDomains", "HTTPSPort", "OneHop", "Exempt[1]", "Exempt[2]"}, fields)
}

func TestConfigAcceptsOtherSpellings(t *testing.T) {
	e, err := redirect.New(redirect.Config{
		Canonical: "WWW.Example.COM.", Aliases: []string{"Example.COM", "*.Old.Example."}, PlainHosts: []string{"LOCALHOST", "*.Internal"},
		Exempt: []string{"/", "/a b", "/ü", "/a/b"}, Logger: discard,
	})
	require.NoError(t, err)
	for host, want := range map[string]string{
		"www.example.com": "https://www.example.com/", "example.com": "https://example.com/", "a.old.example": "https://www.example.com/",
		"localhost": "", "a.internal": "", "internal": "",
	} {
		d := e.Decide(plainGet(host, "/x"))
		assert.Equal(t, want != "", d.Action == redirect.Redirect, host)
		if want != "" {
			assert.Equal(t, want+"x", d.Location)
		}
	}
	for _, path := range []string{"/", "/a%20b", "/%C3%BC"} {
		assert.Equal(t, redirect.ReasonExempt, e.Decide(plainGet("example.com", path)).Reason, path)
	}
	for _, path := range []string{"//", "/a", "/A%20B", "/%2F", "/x/../", "/%C3%BC/", "/a%2Fb", "/%61%20b"} {
		assert.Equal(t, redirect.ReasonRedirected, e.Decide(plainGet("example.com", path)).Reason, path)
	}
}

// What the caller does to its slices later is its own affair.
func TestConfigIsCopied(t *testing.T) {
	cfg := redirect.Config{Canonical: canonical, Aliases: []string{apex}, PlainHosts: []string{plain}, Exempt: []string{"/open"}, Logger: discard}
	e := redirect.Must(redirect.New(cfg))
	cfg.Aliases[0], cfg.PlainHosts[0], cfg.Exempt[0] = "evil.example", "evil.example", "/"
	assert.Equal(t, redirect.ReasonUnknownHost, e.Decide(plainGet("evil.example", "/")).Reason)
	assert.Equal(t, redirect.ReasonRedirected, e.Decide(plainGet(apex, "/")).Reason)
	assert.Equal(t, redirect.ReasonPlainHost, e.Decide(plainGet(plain, "/")).Reason)
	assert.Equal(t, redirect.ReasonExempt, e.Decide(plainGet(apex, "/open")).Reason)
}

func TestMust(t *testing.T) {
	assert.NotNil(t, redirect.Must(redirect.HTTPS(canonical, apex)))
	assert.PanicsWithValue(t, `redirect: Canonical: no host is named; name the host that people should end up at`, func() { redirect.Must(redirect.HTTPS("")) })
}

// An Enforcer that nobody configured knows no host, and one that is nil would
// let everything pass if Wrap did not notice.
func TestUnconfigured(t *testing.T) {
	var zero redirect.Enforcer
	d := zero.Decide(plainGet(canonical, "/"))
	assert.Equal(t, redirect.ReasonUnknownHost, d.Reason)
	assert.Equal(t, 421, d.Status)
	assert.Panics(t, func() { (*redirect.Enforcer)(nil).Wrap(http.NotFoundHandler()) })
}

func TestConfigWarnsOfHSTSOnAnotherPort(t *testing.T) {
	for _, c := range []struct {
		port uint16
		hsts redirect.HSTS
		warn bool
	}{{8443, redirect.OneHour, true}, {443, redirect.OneHour, false}, {0, redirect.OneHour, false}, {8443, redirect.HSTS{}, false}, {8443, redirect.Clear, false}} {
		var log bytes.Buffer
		redirect.Must(redirect.New(redirect.Config{Canonical: canonical, HTTPSPort: c.port, HSTS: c.hsts, Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		assert.Equal(t, c.warn, bytes.Contains(log.Bytes(), []byte("port 443")), "%d %v", c.port, c.hsts)
	}
}

// A Policy in the Config is for requests without an Info; where there is one, it
// counts.
func TestConfigPolicyYieldsToTheContext(t *testing.T) {
	e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Policy: albPolicy(), Logger: discard}))
	r := fromNode("X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https")(plainGet(canonical, "/"))
	assert.Equal(t, redirect.ReasonPassedHTTPS, e.Decide(r).Reason)
	info := forwarded.Info{Scheme: forwarded.HTTP, Host: canonical, Status: forwarded.StatusForwarded}
	assert.Equal(t, redirect.ReasonRedirected, e.Decide(r.WithContext(forwarded.NewContext(r.Context(), info))).Reason)
}

// A prefix alone in the context, which proxy.StripPrefix leaves there, is no
// answer about the scheme.
func TestPrefixAloneIsNoInfo(t *testing.T) {
	e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Policy: albPolicy(), Logger: discard}))
	r := fromNode("X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: http")(plainGet(canonical, "/x"))
	r = r.WithContext(forwarded.NewContext(r.Context(), forwarded.Info{Prefix: "/app"}))
	d := e.Decide(r)
	assert.Equal(t, "https://www.example.com/app/x", d.Location)
	assert.Equal(t, redirect.ReasonRedirected, d.Reason)
}

// plainGet is a request over http from a client without any proxy.
func plainGet(host, target string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		panic(err)
	}
	r.Host, r.RemoteAddr = host, client.String()
	return r
}
