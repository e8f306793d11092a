//go:build linux

package peers

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

const (
	tooManyRedirects = "net::ERR_TOO_MANY_REDIRECTS"
	markerCookie     = "__Host-https-redirect"
)

// TLS ends in front of a service that learns nothing of it, or believes nobody who says so, and that would redirect
// https to https for ever. The browser shows the error page instead, at its second request; the log says what to do;
// and when that is done, the same browser gets the page at once.
func TestBrowserLoop(t *testing.T) {
	for _, c := range []struct {
		name   string
		silent bool
		fix    string        // in the log
		hop    forwarded.Hop // what it says to declare
	}{
		{"no word of TLS", true, "use a balancer that sends X-Forwarded-Proto and declare it in Hops", declared()},
		{"nobody believed", false, `declare it, for example forwarded.Behind(forwarded.Trusted(\"127.0.0.0/24\"))`, forwarded.Trusted("127.0.0.0/24")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startSite(t)
			b := startBrowser(t, s)
			s.silent.Store(c.silent)
			cfg := redirect.Config{Canonical: "www.example"}
			e := s.enforce(t, cfg, welcome)

			l := b.open(t, "https://www.example/cart?x=1")
			assert.Equal(t, []string{"301 https://www.example/cart?x=1", "500 https://www.example/cart?x=1"}, l.way)
			assert.Contains(t, l.text, "it would redirect you to the page that you are on, again and again")
			_, came := s.came()
			assert.Equal(t, []string{"301 GET https://www.example/cart?x=1", "500 GET https://www.example/cart?x=1"}, came)
			assert.Equal(t, map[redirect.Reason]uint64{
				redirect.ReasonRedirected: 1, redirect.ReasonLoopSuspected: 1, redirect.ReasonLoopBroken: 1,
			}, e.Stats())
			assertLogged(t, s, "level=WARN", "reason=redirected", c.fix)
			assertLogged(t, s, "level=ERROR", "reason=loop_broken", c.fix)

			s.silent.Store(false)
			s.enforce(t, cfg, welcome, c.hop)
			l = b.open(t, "https://www.example/cart?x=1")
			assert.Equal(t, []string{"200 https://www.example/cart?x=1"}, l.way)
			assert.Equal(t, "welcome over https", l.text)
			assert.Contains(t, b.cookies(t), markerCookie, "it is still there, and does no harm")
			l = b.open(t, "http://www.example/cart?x=1")
			assert.Equal(t, []string{"301 http://www.example/cart?x=1", "200 https://www.example/cart?x=1"}, l.way)
		})
	}
}

// assertLogged asserts that one line of the enforcer's log has all the words.
func assertLogged(t *testing.T, s *site, words ...string) {
	t.Helper()
	for _, line := range s.log.containing(words[0]) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return
		}
	}
	assert.Fail(t, "nobody logged that", "%q in\n%s", words, s.log.text())
}

// The marker goes out with the redirect of http. A browser on http refuses it, so that the next request, be it to http
// or to https, does not bring it; one whose https looks like http to the service keeps it and brings it back.
func TestBrowserMarker(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	cfg := redirect.Config{Canonical: "www.example"}
	e := s.enforce(t, cfg, welcome, declared())
	for range 2 {
		l := b.open(t, "http://www.example/")
		assert.Equal(t, "welcome over https", l.text)
		visits, came := s.came()
		require.Equal(t, []string{"301 GET http://www.example/", "200 GET https://www.example/"}, came)
		assert.Contains(t, visits[0].answer.Get("Set-Cookie"), markerCookie)
		assert.Empty(t, visits[0].header["Sec-Fetch-Site"], "what a browser does not send over http")
		assert.NotEmpty(t, visits[1].header["Sec-Fetch-Site"])
		for _, v := range visits {
			assert.Empty(t, v.header["Cookie"], v.String())
		}
	}
	assert.Empty(t, b.cookies(t))
	assert.Zero(t, e.Stats()[redirect.ReasonLoopSuspected])

	e = s.enforce(t, cfg, welcome) // believes nobody
	l := b.open(t, "http://www.example/")
	assert.Equal(t, []string{"301 http://www.example/", "301 https://www.example/", "500 https://www.example/"}, l.way)
	visits, _ := s.came()
	require.Len(t, visits, 3)
	assert.Empty(t, visits[1].header["Cookie"])
	assert.Equal(t, markerCookie+"=1", visits[2].header.Get("Cookie"))
	assert.EqualValues(t, 2, e.Stats()[redirect.ReasonRedirected])
	assert.EqualValues(t, 1, e.Stats()[redirect.ReasonLoopSuspected], "the one over https")
}

// Without the marker the browser gives up by itself. Since it has kept none of the redirects, it works as soon as the
// service does.
func TestBrowserLoopWithoutMarker(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	cfg := redirect.Config{Canonical: "www.example", NoLoopMarker: true}
	e := s.enforce(t, cfg, welcome)
	l := b.open(t, "https://www.example/")
	assert.Equal(t, tooManyRedirects, l.failed)
	_, came := s.came()
	assert.Greater(t, len(came), 10)
	assert.EqualValues(t, len(came), e.Stats()[redirect.ReasonLoopSuspected])

	s.enforce(t, cfg, welcome, declared())
	l = b.open(t, "https://www.example/")
	assert.Empty(t, l.failed)
	assert.Equal(t, "welcome over https", l.text)
}

// The same loop made of redirects that may be kept, as most programs send them: the browser asks once, goes round
// in its cache, and does not come back when the service has been mended. Not even a new start helps it.
func TestBrowserKeepsOthersRedirects(t *testing.T) {
	s := startSite(t)
	profile := filepath.Join(t.TempDir(), "profile")
	b := startBrowserIn(t, profile, s)
	s.use(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-Proto") != "https" {
			http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusMovedPermanently)
			return
		}
		fmt.Fprint(w, "welcome")
	}))
	s.silent.Store(true)
	l := b.open(t, "https://www.example/")
	assert.Equal(t, tooManyRedirects, l.failed)
	_, came := s.came()
	assert.Equal(t, []string{"301 GET https://www.example/"}, came)

	s.silent.Store(false)
	l = b.open(t, "https://www.example/other")
	assert.Equal(t, "welcome", l.text, "it is mended")
	s.came()
	for range 2 {
		l = b.open(t, "https://www.example/")
		assert.Equal(t, tooManyRedirects, l.failed)
		_, came = s.came()
		assert.Empty(t, came)
		b.stop(t)
		b = startBrowserIn(t, profile, s)
	}
}

// Https is gone: the balancer that ended TLS has been deleted. A service that asks for proof stops redirecting to where
// nobody is, and a browser that followed such a redirect before gets the page at once, or with HSTS the word to wait.
func TestBrowserHTTPSGone(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	proved := func(yes bool) redirect.Config {
		return redirect.Config{Canonical: "www.example", Proof: func(forwarded.Info, string) bool { return yes }}
	}
	s.enforce(t, proved(true), welcome, declared())
	l := b.open(t, "http://www.example/")
	assert.Equal(t, []string{"301 http://www.example/", "200 https://www.example/"}, l.way)

	s.enforce(t, proved(false), welcome, declared()) // a new one, which has not seen https for an hour
	l = b.open(t, "http://www.example/")
	assert.Equal(t, []string{"200 http://www.example/"}, l.way)
	assert.Equal(t, "welcome over http", l.text)

	refusing := proved(false)
	refusing.HSTS = redirect.OneHour
	s.enforce(t, refusing, welcome, declared())
	l = b.open(t, "http://www.example/")
	assert.Equal(t, []string{"503 http://www.example/"}, l.way)
	assert.Contains(t, l.text, "not available over https at the moment")
}
