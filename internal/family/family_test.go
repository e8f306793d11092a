package family

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// The table of names is not exported, and a name that the filter in front of
// it misses would reach the application, so this test looks inside.

// spellings are ways in which CGI, WSGI and PHP read the same name.
func spellings(name string) []string {
	list := []string{name, strings.ToUpper(name), http.CanonicalHeaderKey(name)}
	for _, sep := range []string{"_", ".", "~", " ", "!", "\x00", "é"[:1]} {
		list = append(list, strings.ReplaceAll(name, "-", sep), strings.Replace(strings.ToUpper(name), "-", sep, 1))
	}
	return list
}

func TestFamilyHasEverySpelling(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, listed := range names {
		candidates := []string{listed}
		if strings.HasSuffix(listed, "-") {
			candidates = nil
			for range 300 {
				candidates = append(candidates, listed+randomName(rng))
			}
			candidates = append(candidates, listed+strings.Repeat("x", 10_000), listed+"-", listed+"1")
		}
		for _, name := range candidates {
			for _, spelling := range spellings(name) {
				header := http.Header{spelling: {"1"}}
				if !In(header) {
					t.Errorf("%.60q passes for something else than %s", spelling, listed)
				}
			}
		}
	}
}

// TestFamilyNames: names that were forgotten once. They stand here apart from
// the table, so that removing one there shows.
func TestFamilyNames(t *testing.T) {
	for _, name := range strings.Fields("Forwarded Forwarded-For Forwarded-Proto Forwarded-Host X-Forwarded X-Forwarded-Ssl X-Forwarded-User X-Real-Port X-Real-Proto " +
		"X-Original-For X-Original-Forwarded-For X-Original-Proto X-Original-Host X-Original-Prefix X-Original-Url X-Original-Uri X-Original-Method X-Clientip " +
		"Incap-Client-Ip X-Nf-Client-Connection-Ip X-Sucuri-Clientip X-Vercel-Forwarded-For X-Envoy-Internal X-Envoy-Original-Path X-Envoy-External-Address " +
		"X-Client-Verify X-Client-Dn X-Tls-Client-Cert X-Ms-Token-Aad-Access-Token X-Authentik-Username X-Remote-Uid X-Remote-Groups Remote-Groups Remote-Email " +
		"Remote-Name X-Webauth-User X-Webauth-Role X-Auth-Request-Email Cf-Access-Authenticated-User-Email Proxy") {
		for _, spelling := range spellings(name) {
			if header := (http.Header{spelling: {"1"}, "Cookie": {"a"}}); !In(header) {
				t.Errorf("%q passes for something else than %s", spelling, name)
			}
		}
	}
}

func randomName(rng *rand.Rand) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	b := make([]byte, 1+rng.IntN(12))
	for i := range b {
		b[i] = letters[rng.IntN(len(letters))]
	}
	return string(b)
}

// TestFamilyLeavesTheRest: ordinary headers, and names that only begin alike.
func TestFamilyLeavesTheRest(t *testing.T) {
	for _, name := range strings.Fields("Host Connection Accept Accept-Encoding Authorization Cookie Content-Type Content-Length User-Agent Origin Referer " +
		"Sec-Fetch-Site Traceparent X-Request-Id X-Amzn-Trace-Id X-Amzn-Oidc-Data Cf-Ray Cf-Access-Jwt-Assertion X-Csrf-Token X-Requested-With Via Proxy-Authorization " +
		"X-Real-Ipx Xforwarded-For X-Forwardedfor Forwarded-Fors X-Forward X-Original X-Original-Content-Length X-Originals-For X-Envoy-Attempt-Count X-Webauth X-Authentik Incap-Client X-Ms-Tokens X-Ssl X-Hosts Remote-Users Fly-Forwarded X F Fo Proxy-Connection Cdn-Loop") {
		header := http.Header{name: {"1"}}
		if In(header) {
			t.Errorf("%s was taken for a forwarding header", name)
		}
	}
}

// TestFamilyFilter: the filter lets most ordinary headers through unseen, or
// it would be of no use.
func TestFamilyFilter(t *testing.T) {
	seen := 0
	ordinary := strings.Fields("User-Agent Accept Accept-Encoding Accept-Language Cookie Authorization Content-Type Content-Length Referer Origin Cache-Control " +
		"If-None-Match Sec-Fetch-Site Sec-Fetch-Mode Sec-Ch-Ua Upgrade-Insecure-Requests Traceparent X-Amzn-Trace-Id")
	for _, name := range ordinary {
		if Might(name) {
			seen++
		}
	}
	if seen > len(ordinary)/4 {
		t.Errorf("%d of %d ordinary names are looked at twice", seen, len(ordinary))
	}
}
