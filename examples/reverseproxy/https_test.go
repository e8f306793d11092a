package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/redirect"
)

// knock sends a request like ask and returns the answer's head.
func knock(t *testing.T, method, url string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp
}

// used is what the balancer writes about a visitor who used a scheme.
func used(scheme string, more ...string) []string {
	port := map[string]string{"http": "80", "https": "443"}[scheme]
	return append([]string{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: " + scheme, "X-Forwarded-Port: " + port}, more...)
}

// TestHTTPSInAProcess is the program between a balancer and an application.
func TestHTTPSInAProcess(t *testing.T) {
	p := startProcess(t, "-upstream", backend(t, echo), "-hops", "alb=127.0.0.0/8", "-health", "/healthz",
		"-https", "www.example.com", "-alias", "example.com,*.old.example", "-alias", "shop.example.com", "-plain-host", "web.internal", "-hsts", "1h")
	assert.Contains(t, p.stdout.String(), "Visitors end up at https://www.example.com/; HSTS: max-age=3600.\n")
	for name, test := range map[string]struct {
		method, scheme, host string
		status               int
		location, hsts       string
	}{
		"https":                       {"GET", "https", "www.example.com", 200, "", "max-age=3600"},
		"http":                        {"GET", "http", "www.example.com", 301, "https://www.example.com/cart?x=1", ""},
		"http with a body":            {"POST", "http", "www.example.com", 308, "https://www.example.com/cart?x=1", ""},
		"http of an alias":            {"GET", "http", "example.com", 301, "https://example.com/cart?x=1", ""},
		"https of an alias":           {"GET", "https", "example.com", 301, "https://www.example.com/cart?x=1", "max-age=3600"},
		"an alias of the second flag": {"GET", "https", "shop.example.com", 301, "https://www.example.com/cart?x=1", "max-age=3600"},
		"below a wildcard":            {"GET", "http", "a.old.example", 301, "https://www.example.com/cart?x=1", ""},
		"a plain host":                {"GET", "http", "web.internal", 200, "", ""},
		"a host of others":            {"GET", "https", "evil.example", 421, "", ""},
		"an address":                  {"GET", "http", "10.0.20.10", 421, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp := knock(t, test.method, p.url+"/cart?x=1", used(test.scheme, "Host: "+test.host)...)
			assert.Equal(t, test.status, resp.StatusCode)
			assert.Equal(t, test.location, resp.Header.Get("Location"))
			assert.Equal(t, test.hsts, resp.Header.Get("Strict-Transport-Security"))
		})
	}
	t.Run("the probe", func(t *testing.T) {
		resp := knock(t, "GET", p.url+"/healthz") // for an address, and nobody says a scheme
		assert.Equal(t, 200, resp.StatusCode)
	})
	t.Run("a loop", func(t *testing.T) {
		resp := knock(t, "GET", p.url+"/", used("http", "Host: www.example.com", "Cookie: __Host-https-redirect=1")...)
		assert.Equal(t, 500, resp.StatusCode)
		assert.Eventually(t, func() bool { return strings.Contains(p.stderr.String(), "reason=loop_broken") }, 5*time.Second, time.Millisecond)
	})
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestHTTPSKnowsTheClient: the access log and Recover are outside of the
// redirect, the policy outside of them.
func TestHTTPSKnowsTheClient(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-hops", "alb=127.0.0.0/8", "-https", "www.example.com", "-health", "off")
	resp := knock(t, "GET", p.url+"/old", used("http", "Host: www.example.com")...)
	assert.Equal(t, 301, resp.StatusCode)
	p.logs(t, `203.0.113.7 - - [`)
	p.logs(t, `"GET /old HTTP/1.1" 301 `)
	assert.Contains(t, p.stdout.String(), "Note: a balancer's probes, which ask for an address, get 421 with -health off.\n")
}

func TestHTTPSLeavesExplainAlone(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-https", "www.example.com", "-explain", "/-/explain")
	assert.Equal(t, 200, knock(t, "GET", p.url+"/-/explain").StatusCode)
	assert.Equal(t, 421, knock(t, "GET", p.url+"/").StatusCode)
	assert.NotContains(t, p.stdout.String(), "Note: ")
}

func TestRequireProxy(t *testing.T) {
	args := []string{"-upstream", backend(t, echo), "-https", "www.example.com", "-hops", "alb=10.0.16.0/20"}
	for want, more := range map[int][]string{301: nil, 421: {"-require-proxy"}} {
		p := start(t, append(args, more...)...)
		resp := knock(t, "GET", p.url+"/", used("https", "Host: www.example.com")...)
		assert.Equal(t, want, resp.StatusCode, "past the balancer, saying that it was https")
	}
}

func TestHTTPSIsOffByDefault(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-hops", "alb=127.0.0.0/8")
	assert.Equal(t, 200, knock(t, "GET", p.url+"/", used("http", "Host: anything.example")...).StatusCode)
	assert.NotContains(t, p.stdout.String(), "Visitors end up")
}

func TestHSTSByName(t *testing.T) {
	for name, want := range map[string]redirect.HSTS{
		"off": {}, "1h": redirect.OneHour, "1w": redirect.OneWeek, "1y": redirect.OneYear, "preload": redirect.Preload, "clear": redirect.Clear,
	} {
		var o options
		assert.NoError(t, o.setHSTS(name))
		assert.Equal(t, want, o.hsts, name)
	}
	assert.Error(t, new(options).setHSTS("2h"))
}

func TestMistakesAboutHTTPS(t *testing.T) {
	for _, test := range []struct{ args, want []string }{
		{
			[]string{"-https", "https://www.example.com", "-alias", "192.0.2.1", "-plain-host", "a:80", "-hsts", "soon"},
			[]string{`-https: "https://www.example.com": `, `-alias[0]: "192.0.2.1": `, `-plain-host[0]: "a:80": `, `invalid value "soon" for flag -hsts`},
		},
		{
			[]string{"-alias", "example.com", "-plain-host", "localhost", "-hsts", "1h", "-require-proxy"},
			[]string{"-alias: has no effect", "-plain-host: has no effect", "-hsts: has no effect", "-require-proxy: has no effect", "-require-proxy: nobody could ask"},
		},
		{[]string{"-https", "localhost", "-hsts", "1h"}, []string{`-hsts: "max-age=3600": `}},
		{[]string{"-https", "www.example.com", "-require-proxy"}, []string{"-require-proxy: nobody could ask"}},
	} {
		var out, log text
		err := run(t.Context(), append(test.args, "-listen", "127.0.0.1:0"), nothing, &out, &log)
		require.Error(t, err, test.args)
		assert.Equal(t, 2, exitCode(err))
		for _, want := range test.want {
			assert.Contains(t, err.Error(), want)
		}
	}
}
