//go:build linux

package peers

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/redirect"
)

const hstsHeader = "Strict-Transport-Security"

// HSTS is sent over https. From then on the browser turns http into https without asking anybody, until it is told over
// https to forget.
func TestBrowserHSTS(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	cfg := redirect.Config{Canonical: "www.example", HSTS: redirect.OneHour}
	s.enforce(t, cfg, welcome, declared())
	l := b.open(t, "http://www.example/first")
	assert.Equal(t, []string{"301 http://www.example/first", "200 https://www.example/first"}, l.way)
	visits, _ := s.came()
	assert.Empty(t, visits[0].answer[hstsHeader], "over http")
	assert.Equal(t, "max-age=3600", visits[1].answer.Get(hstsHeader))

	conns := s.plain.conns.Load()
	l = b.open(t, "http://www.example/second")
	assert.Equal(t, []string{"307 http://www.example/second by HSTS", "200 https://www.example/second"}, l.way)
	_, came := s.came()
	assert.Equal(t, []string{"200 GET https://www.example/second"}, came)
	assert.Equal(t, conns, s.plain.conns.Load(), "port 80 was not so much as connected to")

	cfg.HSTS = redirect.Clear
	s.enforce(t, cfg, welcome, declared())
	b.open(t, "https://www.example/third")
	l = b.open(t, "http://www.example/fourth")
	assert.Equal(t, []string{"301 http://www.example/fourth", "200 https://www.example/fourth"}, l.way)
}

// Names below the canonical host are covered where Config says so. Those below an alias, which may belong to others, are
// not, although the alias itself is.
func TestBrowserHSTSBelow(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	s.enforce(t, redirect.Config{
		Canonical: "www.example", Aliases: []string{"old.example"},
		HSTS: redirect.HSTS{MaxAge: time.Hour, IncludeSubDomains: true},
	}, welcome, declared())
	l := b.open(t, "https://old.example/")
	assert.Equal(t, []string{"301 https://old.example/", "200 https://www.example/"}, l.way)
	for _, c := range []struct {
		url, first string
	}{
		{"http://www.example/", "307 http://www.example/ by HSTS"},
		{"http://below.www.example/", "307 http://below.www.example/ by HSTS"},
		{"http://far.below.www.example/", "307 http://far.below.www.example/ by HSTS"},
		{"http://old.example/", "307 http://old.example/ by HSTS"},
		{"http://below.old.example/", "421 http://below.old.example/"},
	} {
		l := b.open(t, c.url)
		assert.Equal(t, c.first, l.way[0])
	}
}

// Strangers, whom addresses belong to, get neither HSTS nor a redirect, to an https that has no certificate for them,
// nor are they told whose house this is. Hosts that are served over http as well get no HSTS either.
func TestBrowserHSTSNot(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	s.enforce(t, redirect.Config{
		Canonical: "www.example", PlainHosts: []string{"plain.example"}, HSTS: redirect.OneYear,
	}, welcome, declared())
	for _, want := range []string{
		"421 https://" + siteAddr + "/", "421 http://" + siteAddr + "/",
		"421 https://stranger.example/", "421 http://stranger.example/",
		"200 https://plain.example/", "200 http://plain.example/",
	} {
		l := b.open(t, want[len("421 "):])
		assert.Equal(t, []string{want}, l.way)
		assert.NotContains(t, l.text, "www.example")
	}
	visits, _ := s.came()
	for _, v := range visits {
		assert.Empty(t, v.answer[hstsHeader], v.String())
		assert.Empty(t, v.answer["Location"], v.String())
	}
}

// What a browser makes of HSTS that others send: nothing of that over http, nor of that for an address.
func TestBrowserIgnoresHSTS(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	s.use(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(hstsHeader, "max-age=3600")
	}))
	for range 2 {
		l := b.open(t, "http://www.example/")
		assert.Equal(t, []string{"200 http://www.example/"}, l.way)
	}
	b.open(t, "https://"+siteAddr+"/")
	l := b.open(t, "http://"+siteAddr+"/")
	assert.Equal(t, []string{"200 http://" + siteAddr + "/"}, l.way)

	b.open(t, "https://www.example/")
	l = b.open(t, "http://www.example/")
	assert.Equal(t, []string{"307 http://www.example/ by HSTS", "200 https://www.example/"}, l.way, "the same header over https")
}
