//go:build linux

package peers

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/redirect"
)

// The ways of the names of a site, from http and from https.
func TestBrowserHosts(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	const (
		page  = `/a%2Fb%20c(1)/%252e;x/?q="%7B1%7D"|&&r=%zz`         // as it is typed
		sent  = `/a%2Fb%20c(1)/%252e;x/?q=%22%7B1%7D%22|&&r=%zz`     // as a browser sends it
		there = `/a%2Fb%20c(1)/%252e;x/?q=%22%7B1%7D%22%7C&&r=%25zz` // as it is asked for after a redirect: the same, in RFC 3986's letters
	)
	for _, c := range []struct {
		name   string
		oneHop bool
		url    string
		way    []string
	}{
		{"canonical, http", false, "http://www.example" + page, []string{"301 http://www.example" + sent, "200 https://www.example" + there}},
		{"canonical, https", false, "https://www.example" + page, []string{"200 https://www.example" + sent}},
		{"alias, http", false, "http://old.example" + page, []string{"301 http://old.example" + sent, "301 https://old.example" + there, "200 https://www.example" + there}},
		{"alias, https", false, "https://old.example" + page, []string{"301 https://old.example" + sent, "200 https://www.example" + there}},
		{"alias, one hop", true, "http://old.example" + page, []string{"301 http://old.example" + sent, "200 https://www.example" + there}},
		{"below a wildcard", false, "http://x.many.example" + page, []string{"301 http://x.many.example" + sent, "200 https://www.example" + there}},
		{"with a dot", false, "http://www.example." + page, []string{"301 http://www.example." + sent, "200 https://www.example" + there}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.enforce(t, redirect.Config{
				Canonical: "www.example", Aliases: []string{"old.example", "*.many.example"}, OneHop: c.oneHop,
			}, welcome, declared())
			l := b.open(t, c.url+"#part")
			assert.Equal(t, c.way, l.way)
			assert.Equal(t, "welcome over https", l.text)
			assert.Equal(t, c.way[len(c.way)-1][len("200 "):]+"#part", l.url, "browsers carry the fragment over")
		})
	}
}

// With https on another port, the browser is sent there. HSTS knows no ports: it would lead to 443, where nobody is,
// which is what New warns about.
func TestBrowserHTTPSPort(t *testing.T) {
	s := startSite(t)
	s.port = 8443
	b := startBrowser(t, s)
	cfg := redirect.Config{Canonical: "www.example", Aliases: []string{"old.example"}, HTTPSPort: 8443}
	s.enforce(t, cfg, welcome, declared())
	l := b.open(t, "http://old.example/a")
	assert.Equal(t, []string{"301 http://old.example/a", "301 https://old.example:8443/a", "200 https://www.example:8443/a"}, l.way)
	assert.Equal(t, "welcome over https", l.text)
	assert.Empty(t, s.log.containing("level=WARN"))

	cfg.HSTS = redirect.OneHour
	s.enforce(t, cfg, welcome, declared())
	assertLogged(t, s, "level=WARN", "on port 443 by themselves")
	b.open(t, "https://www.example:8443/")
	l = b.open(t, "http://www.example/")
	assert.Equal(t, []string{"307 http://www.example/ by HSTS"}, l.way)
	assert.Equal(t, "net::ERR_NAME_NOT_RESOLVED", l.failed)
}

// Another layer sends the canonical host back to its alias. The browser goes round until it gives up, the log says
// why, and when the other layer is quiet the same browser gets the page.
func TestBrowserFight(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	cfg := redirect.Config{Canonical: "www.example", Aliases: []string{"old.example"}}
	e := s.enforce(t, cfg, welcome, declared())
	service := s.handler()
	s.use(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "www.example" {
			http.Redirect(w, r, "https://old.example"+r.URL.Path, http.StatusFound)
			return
		}
		service.ServeHTTP(w, r)
	}))
	l := b.open(t, "https://old.example/a")
	assert.Equal(t, tooManyRedirects, l.failed)
	assert.Positive(t, e.Stats()[redirect.ReasonLoopSuspected])
	assertLogged(t, s, "level=WARN", "reason=host_redirected", "another layer redirects the canonical host back")

	s.use(service)
	l = b.open(t, "https://old.example/a")
	assert.Equal(t, []string{"301 https://old.example/a", "200 https://www.example/a"}, l.way)
}
