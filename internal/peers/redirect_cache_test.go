//go:build linux

package peers

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// A cached is an application behind a shared cache that is its only proxy. What it serves itself may be kept for a
// minute; what the Enforcer answers may not.
type cached struct {
	front    string // address of the cache, where nobody speaks TLS: who stands in front of it says so
	enforcer *redirect.Enforcer
}

const cachedHost = "www.example.com"

func startCached(t *testing.T, cfg redirect.Config, cache func(upstream string) string) *cached {
	t.Helper()
	cfg.Canonical, cfg.Aliases, cfg.Logger = cachedHost, []string{"example.com"}, slog.New(slog.DiscardHandler)
	e, err := redirect.New(cfg)
	require.NoError(t, err)
	hop := forwarded.Trusted(nearNet)
	app := policyOf(t, hop).Wrap(e.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		fmt.Fprint(w, forwarded.From(r).Scheme)
	})))
	return &cached{front: cache(listenFront(t, "127.0.0.1:0", app, false)), enforcer: e}
}

// ask sends one request. A scheme of https is what a TLS proxy in front of the cache would write.
func (c *cached) ask(t *testing.T, scheme, host, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.front+path, nil)
	require.NoError(t, err)
	req.Host = host
	req.Header.Set("X-Forwarded-Proto", scheme)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// A cachedAnswer is one that the Enforcer gives itself, to a request for a path of its own.
type cachedAnswer struct {
	name, scheme, host string
	header             []string
	proof              bool // with RefuseWithoutProof
	status             int
	vary               bool // the answer depends on the client's headers, and says so
}

func (a cachedAnswer) askedFrom(t *testing.T, c *cached) (*http.Response, string) {
	t.Helper()
	return c.ask(t, a.scheme, a.host, "/"+a.name, a.header...)
}

var cachedAnswers = []cachedAnswer{
	{name: "redirected", scheme: "http", host: cachedHost, status: 301, vary: true},
	{name: "host_redirected", scheme: "https", host: "example.com", status: 301},
	{name: "loop_broken", scheme: "http", host: cachedHost, header: []string{"Cookie", "__Host-https-redirect=1"}, status: 500, vary: true},
	{name: "no_proof", scheme: "http", host: cachedHost, proof: true, status: 503, vary: true},
	{name: "unknown_host", scheme: "https", host: "evil.example", status: 421},
	{name: "bad_scheme", scheme: "gopher", host: cachedHost, status: 400},
}

// eachAnswer runs a test for each of them, with one cache for all that have the same configuration.
func eachAnswer(t *testing.T, cache func(upstream string) string, test func(t *testing.T, c *cached, a cachedAnswer)) {
	t.Helper()
	for _, proof := range []bool{false, true} {
		c := startCached(t, redirect.Config{RefuseWithoutProof: proof}, cache)
		for _, a := range cachedAnswers {
			if a.proof == proof {
				t.Run(a.name, func(t *testing.T) { test(t, c, a) })
			}
		}
	}
}

// neverKept: each of the Enforcer's answers is asked for anew by every client, and what the application may have kept
// is kept, so that the cache is one.
func neverKept(t *testing.T, c *cached, a cachedAnswer) {
	for i := range 3 {
		resp, _ := a.askedFrom(t, c)
		assert.Equal(t, a.status, resp.StatusCode)
		assert.NotContains(t, resp.Header.Get("X-Cache"), "HIT")
		assert.Equal(t, "private, no-store", resp.Header.Get("Cache-Control"))
		assert.Equal(t, a.vary, strings.Contains(strings.Join(resp.Header["Vary"], ","), "Cookie"))
		assert.EqualValues(t, i+1, c.decided(a.name), "the Enforcer must have been asked")
	}
	// The same URL, for a visitor to whom it is the page.
	resp, body := c.ask(t, "https", cachedHost, "/"+a.name)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "https", body)
	assert.Empty(t, resp.Cookies())
	resp, _ = c.ask(t, "https", cachedHost, "/"+a.name)
	assert.Contains(t, resp.Header.Get("X-Cache"), "HIT", "the application's own answer may be kept")
}

// decided is how often the Enforcer gave a reason.
func (c *cached) decided(name string) uint64 {
	for reason, n := range c.enforcer.Stats() {
		if reason.String() == name {
			return n
		}
	}
	return 0
}

// cachingNginx returns the address of an nginx with proxy_cache and these lines in its location. Its cache key is
// nginx's own, which has neither the client's scheme nor its Host in it behind another proxy.
func cachingNginx(t *testing.T, lines ...string) func(upstream string) string {
	return func(upstream string) string {
		return startPeer(t, peerSpec{binary: "nginx", listen: 1, args: func(dir string, addrs []string) []string {
			conf := writeFile(t, dir, "nginx.conf", fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/nginx.pid;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache keys_zone=shared:1m;
	server {
		listen %[2]s;
		location / {
			proxy_cache shared;
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			add_header X-Cache $upstream_cache_status always;
			%[3]s
			proxy_pass http://%[4]s;
		}
	}
}
`, dir, addrs[0], strings.Join(lines, "\n"), upstream))
			return []string{"-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", conf}
		}})[0]
	}
}

// nginx keeps what it is allowed to, and with proxy_cache_valid also what says nothing about it. Neither is true of an
// Enforcer's answers.
func TestRedirectCacheNginx(t *testing.T) {
	t.Run("as it comes", func(t *testing.T) { eachAnswer(t, cachingNginx(t), neverKept) })
	t.Run("valid any", func(t *testing.T) { eachAnswer(t, cachingNginx(t, "proxy_cache_valid any 10m;"), neverKept) })
}

// The negative control: an nginx that is told to ignore what answers say keeps them all, the marker cookie with them,
// and hands them to everybody who asks for that path, under another host or over https too. Headers cannot prevent it.
func TestRedirectCacheNginxForced(t *testing.T) {
	forced := cachingNginx(t, "proxy_cache_valid any 10m;", "proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;")
	eachAnswer(t, forced, func(t *testing.T, c *cached, a cachedAnswer) {
		a.askedFrom(t, c)
		resp, _ := c.ask(t, "https", cachedHost, "/"+a.name)
		assert.Equal(t, "HIT", resp.Header.Get("X-Cache"))
		assert.Equal(t, a.status, resp.StatusCode)
		assert.Equal(t, a.name == "redirected", len(resp.Cookies()) == 1)
		assert.EqualValues(t, 1, c.decided(a.name))
		for _, location := range resp.Header["Location"] {
			assert.Equal(t, "https://"+cachedHost+"/"+a.name, location, "even then it leads nowhere else")
		}
	})
}

// Ignoring Cache-Control alone, which is what people try first, still keeps no cookie: nginx stores no answer with
// Set-Cookie. Vary tells the others apart by the client's cookies, and the rest is kept.
func TestRedirectCacheNginxIgnoresCacheControl(t *testing.T) {
	ignoring := cachingNginx(t, "proxy_cache_valid any 10m;", "proxy_ignore_headers Cache-Control Expires;")
	kept := map[string]bool{"host_redirected": true, "no_proof": true, "unknown_host": true, "bad_scheme": true}
	eachAnswer(t, ignoring, func(t *testing.T, c *cached, a cachedAnswer) {
		a.askedFrom(t, c)
		resp, _ := c.ask(t, "https", cachedHost, "/"+a.name)
		assert.Equal(t, kept[a.name], resp.Header.Get("X-Cache") == "HIT")
		assert.Equal(t, kept[a.name], resp.StatusCode != http.StatusOK)
		assert.Empty(t, resp.Cookies())
	})
}

// varnish returns the address of a Varnish with its built-in rules and these. Its hash has the host, and not the scheme.
func varnish(t *testing.T, rules string) func(upstream string) string {
	return func(upstream string) string {
		host, port, err := net.SplitHostPort(upstream)
		require.NoError(t, err)
		return startPeer(t, peerSpec{binary: "varnishd", listen: 1, args: func(dir string, addrs []string) []string {
			vcl := writeFile(t, dir, "default.vcl", fmt.Sprintf(`
vcl 4.1;
backend default { .host = "%s"; .port = "%s"; }
sub vcl_deliver {
	if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; } else { set resp.http.X-Cache = "MISS"; }
}
%s
`, host, port, rules))
			return []string{"-F", "-n", filepath.Join(dir, "v"), "-a", addrs[0], "-T", "none", "-j", "none", "-s", "malloc,8m", "-f", vcl}
		}})[0]
	}
}

func TestRedirectCacheVarnish(t *testing.T) { eachAnswer(t, varnish(t, ""), neverKept) }

// The negative control: Varnish keeps whatever a rule gives a lifetime. A redirect that it keeps then goes to https
// visitors too, and they go round without the application hearing of it. A browser comes out at the second request: it
// brings the marker cookie, with which Varnish asks the application. Answers of other hosts stay apart.
func TestRedirectCacheVarnishForced(t *testing.T) {
	c := startCached(t, redirect.Config{}, varnish(t, "sub vcl_backend_response { set beresp.ttl = 10m; return (deliver); }"))
	c.ask(t, "http", cachedHost, "/x")
	for range 3 {
		resp, _ := c.ask(t, "https", cachedHost, "/x")
		assert.Equal(t, "HIT", resp.Header.Get("X-Cache"))
		assert.Equal(t, "https://"+cachedHost+"/x", resp.Header.Get("Location"), "round and round")
		assert.Len(t, resp.Cookies(), 1)
	}
	assert.EqualValues(t, 1, c.decided("redirected"))
	resp, _ := c.ask(t, "https", cachedHost, "/x", "Cookie", "__Host-https-redirect=1")
	assert.Equal(t, http.StatusOK, resp.StatusCode)

	c.ask(t, "https", "evil.example", "/y")
	resp, _ = c.ask(t, "https", "evil.example", "/y")
	assert.Equal(t, "HIT", resp.Header.Get("X-Cache"))
	assert.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
	resp, _ = c.ask(t, "https", cachedHost, "/y")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
}

// Many clients that wait for one answer each get their own: a cache that joins their requests into one does not hand
// one client's marker to the others.
func TestRedirectCacheJoinedRequests(t *testing.T) {
	for name, cache := range map[string]func(string) string{"nginx": cachingNginx(t, "proxy_cache_lock on;"), "varnish": varnish(t, "")} {
		t.Run(name, func(t *testing.T) {
			c := startCached(t, redirect.Config{}, cache)
			var all sync.WaitGroup
			for i := range 6 {
				all.Go(func() {
					scheme, want := "http", http.StatusMovedPermanently
					if i%2 == 0 {
						scheme, want = "https", http.StatusOK
					}
					resp, _ := c.ask(t, scheme, cachedHost, fmt.Sprintf("/%s", scheme))
					assert.Equal(t, want, resp.StatusCode)
					assert.Equal(t, scheme == "http", len(resp.Cookies()) == 1)
				})
			}
			all.Wait()
			assert.EqualValues(t, 3, c.decided("redirected"))
		})
	}
}
