package redirect_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// chainNever is a Proof that knows of no certificate.
func chainNever(forwarded.Info, string) bool { return false }

// https that came through the balancer proves for an hour that it works on that way, for that host, and for no other.
func TestProofMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chainSetup{
			hops: []forwarded.Hop{chainALB()},
			cfg:  redirect.Config{RefuseWithoutProof: true, Aliases: []string{"example.com", "*.old.example"}},
		}.start(t)
		status := func(c *http.Client, target string) int {
			resp, _ := chainGet(t, c, target)
			return resp.StatusCode
		}
		assert.Equal(t, 503, status(s.Client(), s.HTTPURL))
		assert.Equal(t, 200, status(s.Client(), s.HTTPSURL))
		assert.Equal(t, 301, status(s.Client(), s.HTTPURL))
		assert.Equal(t, 301, status(s.Client(), "http://a.old.example"), "it is sent to the canonical host, which works")
		assert.Equal(t, 503, status(s.Client(), "http://example.com"), "of that name nobody knows")
		assert.Equal(t, 503, status(s.Direct(albtest.DefaultGroup), s.HTTPURL), "nor of the way past the balancer")
		assert.Equal(t, 301, status(s.Client(), "https://example.com"))
		assert.Equal(t, 301, status(s.Client(), "http://example.com"))

		time.Sleep(59 * time.Minute)
		assert.Equal(t, 301, status(s.Client(), s.HTTPURL))
		time.Sleep(2 * time.Minute)
		assert.Equal(t, 503, status(s.Client(), s.HTTPURL), "redirects prove nothing, and an hour is over")
		assert.Equal(t, 200, status(s.Client(), s.HTTPSURL))
		assert.Equal(t, 301, status(s.Client(), s.HTTPURL))
	})
}

// With OneHop an alias leads to the canonical host, so that is what must work.
func TestProofMemoryOneHop(t *testing.T) {
	s := chainSetup{
		hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{RefuseWithoutProof: true, OneHop: true, Aliases: []string{"example.com"}},
	}.start(t)
	chainGet(t, s.Client(), "https://example.com")
	resp, _ := chainGet(t, s.Client(), "http://example.com")
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "https of the alias says nothing about the canonical host")
	chainGet(t, s.Client(), s.HTTPSURL)
	resp, _ = chainGet(t, s.Client(), "http://example.com")
	assert.Equal(t, "https://"+chainHost+"/", resp.Header.Get("Location"))
}

// Nobody can forge proof: past the balancer https is only a word, and a request without Info proves nothing.
func TestProofForged(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{RefuseWithoutProof: true}}.start(t)
	forged := []string{"X-Forwarded-Proto", "https", "X-Forwarded-For", "10.0.0.7", "X-Forwarded-Port", "443", "Forwarded", "proto=https"}
	chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL, forged...)
	chainGet(t, s.Client(), s.HTTPURL, forged...)
	for _, c := range []*http.Client{s.Client(), s.Direct(albtest.DefaultGroup)} {
		resp, body := chainGet(t, c, s.HTTPURL)
		chainNoRedirect(t, resp, body, http.StatusServiceUnavailable)
	}
}

// https straight to the service is no proof either: any certificate will do for a client that does not look.
func TestProofDirectHTTPS(t *testing.T) {
	e, _ := chainEnforcer(t, redirect.Config{RefuseWithoutProof: true})
	direct := forwarded.Info{Status: forwarded.StatusDirect, Scheme: forwarded.HTTPS, Host: chainHost, Client: netip.MustParseAddr("198.51.100.1")}
	assert.Equal(t, 200, chainServe(e, chainRequest("GET", "https://"+chainHost+"/", "198.51.100.1:1", &direct)).Code)
	assert.Equal(t, 503, chainServe(e, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil)).Code)
	behind := forwarded.Info{Status: forwarded.StatusForwarded, Scheme: forwarded.HTTP, Host: chainHost, Hops: 1}
	assert.Equal(t, 503, chainServe(e, chainRequest("GET", "http://"+chainHost+"/", "10.0.0.1:1", &behind)).Code)
}

// Proof is asked with the host that the redirect would lead to, on the way that the request came.
func TestProofIsAsked(t *testing.T) {
	var asked []string
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{
		Aliases: []string{"example.com", "*.old.example"}, PlainHosts: []string{"orders.internal"}, Exempt: []string{"/exempt"},
		Proof: func(info forwarded.Info, host string) bool {
			asked = append(asked, fmt.Sprintf("%s by %d", host, info.Hops))
			return true
		},
	}}.start(t)
	for _, target := range []string{s.HTTPURL, "http://example.com", "http://a.old.example", "http://evil.example", "http://orders.internal", s.HTTPURL + "/exempt"} {
		chainGet(t, s.Client(), target)
	}
	chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL)
	assert.Equal(t, []string{chainHost + " by 1", "example.com by 1", chainHost + " by 1", chainHost + " by 0"}, asked)
	asked = nil
	chainGet(t, s.Client(), s.HTTPSURL)
	chainGet(t, s.Client(), s.HTTPURL)
	chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL)
	assert.Equal(t, []string{chainHost + " by 0"}, asked, "what the Enforcer has seen itself it does not ask for")
}

// The accident: the balancer is deleted and the name leads to the machine itself, on whose port 80 the service
// answers, and nobody on 443. What a visitor gets depends on what was set.
func TestAccidentBalancerDeleted(t *testing.T) {
	const cookie = "Cookie"
	visitor, member, form := []string{}, []string{cookie, "id=1"}, []string{"Content-Type", "application/x-www-form-urlencoded"}
	for _, test := range []struct {
		name                  string
		cfg                   redirect.Config
		visitor, member, form int
		reason                string
	}{
		{"nothing set", redirect.Config{}, 301, 301, 308, ""},
		{"Proof", redirect.Config{Proof: chainNever}, 200, 503, 503, "no_proof"},
		{"Proof and HSTS", redirect.Config{Proof: chainNever, HSTS: redirect.OneHour}, 503, 503, 503, "no_proof"},
		{"HSTS alone", redirect.Config{HSTS: redirect.OneHour}, 301, 301, 308, ""},
		{"RefuseWithoutProof", redirect.Config{RefuseWithoutProof: true}, 503, 503, 503, "no_proof"},
		{"Proof and RefuseWithoutProof", redirect.Config{Proof: chainNever, RefuseWithoutProof: true}, 503, 503, 503, "no_proof"},
		{"RequireProxy", redirect.Config{RequireProxy: true}, 421, 421, 421, "direct_access"},
		{"a certificate of one's own", redirect.Config{Proof: func(forwarded.Info, string) bool { return true }, RefuseWithoutProof: true}, 301, 301, 308, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			chainTries(t, func() {
				s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: test.cfg}.start(t)
				resp, _ := chainGet(t, s.Client(), s.HTTPSURL) // all is well, a moment before
				assert.Equal(t, http.StatusOK, resp.StatusCode)
				resp, _ = chainGet(t, s.Client(), s.HTTPURL)
				assert.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
				assert.Empty(t, s.log.worst())

				past := s.Direct(albtest.DefaultGroup)
				for _, ask := range []struct {
					method string
					header []string
					status int
				}{{"GET", visitor, test.visitor}, {"HEAD", visitor, test.visitor}, {"GET", member, test.member}, {"GET", []string{"Authorization", "Basic x"}, test.member}, {"POST", form, test.form}} {
					resp, body := chainAsk(t, past, ask.method, s.HTTPURL+"/cart", ask.header...)
					assert.Equal(t, ask.status, resp.StatusCode, "%s %v", ask.method, ask.header)
					assert.Empty(t, resp.Header.Get("Strict-Transport-Security"))
					switch resp.StatusCode {
					case http.StatusServiceUnavailable:
						assert.Equal(t, "60", resp.Header.Get("Retry-After"))
						assert.Contains(t, resp.Header["Vary"], "Cookie, Upgrade")
						chainNoRedirect(t, resp, body, resp.StatusCode)
					case http.StatusMisdirectedRequest:
						chainNoRedirect(t, resp, body, resp.StatusCode)
					case http.StatusMovedPermanently, http.StatusPermanentRedirect:
						assert.Equal(t, "private, no-store", resp.Header.Get("Cache-Control"), "no browser keeps it beyond the accident")
					}
				}
				if test.reason != "" {
					assert.NotEmpty(t, s.log.oneOrAgain(t, slog.LevelWarn, test.reason).text("fix"))
				}

				resp, _ = chainGet(t, s.Client(), s.HTTPURL) // the balancer is back
				assert.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
				resp, _ = chainGet(t, s.Client(), s.HTTPSURL)
				assert.Equal(t, http.StatusOK, resp.StatusCode)
			})
		})
	}
}

// What is served over http in an emergency carries nothing that would be safe over https only.
func TestAccidentServesPlainly(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Proof: chainNever}}.start(t)
	resp, body := chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "http by GET", body)
	assert.Empty(t, resp.Cookies())
	resp, _ = chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL, "Cookie", chainMarker+"=1")
	assert.Equal(t, http.StatusInternalServerError, resp.StatusCode, "a sign of https never makes a request pass")
	resp, _ = chainGet(t, s.Direct(albtest.DefaultGroup), s.HTTPURL, "Upgrade", "websocket", "Connection", "Upgrade")
	assert.NotEqual(t, http.StatusSwitchingProtocols, resp.StatusCode)
}
