//go:build linux

package peers

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/handlers"
	echo4 "github.com/labstack/echo/v4"
	echo4mw "github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"
	"github.com/unrolled/secure"
	"golang.org/x/crypto/acme/autocert"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// Where requests come from, as a server in Go sees it: from a client, or from the balancer that it was told of.
const (
	redirectClient   = "203.0.113.9:40000"
	redirectBalancer = "10.0.0.5:40000"
	redirectTrusted  = "10.0.0.0/8"
)

// reachedHeader is in every answer of the application behind.
const reachedHeader = "X-Reached"

// An opponent sends plain http to https, set up the way its own documentation shows.
type opponent struct {
	name     string
	balancer bool // can be told that a balancer ends TLS in front of it

	// wrap is the set-up of a library, start that of a program; one of them is nil.
	wrap  func(app http.Handler) http.Handler
	start func(*testing.T) (addr string)
}

const redirectOurs = "knownhops"

func opponents() []opponent {
	return []opponent{
		{name: redirectOurs, balancer: true, wrap: wrapOurs},
		{name: "unrolled/secure", balancer: true, wrap: wrapUnrolled()},
		{name: "unrolled/secure, AllowedHosts", balancer: true, wrap: wrapUnrolled(redirectCanonical, redirectAlias)},
		{name: "gorilla CanonicalHost", wrap: handlers.CanonicalHost("https://"+redirectCanonical, http.StatusFound)},
		{name: "echo HTTPSRedirect", balancer: true, wrap: wrapEcho},
		{name: "autocert HTTPHandler", wrap: wrapAutocert},
		{name: "Caddy automatic HTTPS", start: startCaddyRedirect},
		{name: "nginx return 301", start: startNginxRedirect},
	}
}

func wrapOurs(app http.Handler) http.Handler {
	silent := slog.New(slog.DiscardHandler)
	hops := forwarded.Must(forwarded.New(forwarded.Config{
		Hops: []forwarded.Hop{forwarded.Trusted(redirectTrusted)}, Logger: silent,
	}))
	https := redirect.Must(redirect.New(redirect.Config{
		Canonical: redirectCanonical, Aliases: []string{redirectAlias}, Logger: silent,
	}))
	return hops.Wrap(https.Wrap(app))
}

// wrapUnrolled is the README's set-up for a server behind a proxy.
func wrapUnrolled(allowed ...string) func(http.Handler) http.Handler {
	return secure.New(secure.Options{
		AllowedHosts:    allowed,
		SSLRedirect:     true,
		SSLProxyHeaders: map[string]string{"X-Forwarded-Proto": "https"},
	}).Handler
}

// wrapEcho needs no trust options: networks like the balancer's are trusted by default.
func wrapEcho(app http.Handler) http.Handler {
	e := echo4.New()
	e.Logger.SetOutput(io.Discard)
	e.Pre(echo4mw.HTTPSRedirect())
	e.Any("/*", echo4.WrapHandler(app))
	return e
}

func wrapAutocert(http.Handler) http.Handler {
	m := &autocert.Manager{Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(redirectCanonical, redirectAlias)}
	return m.HTTPHandler(nil)
}

// startCaddyRedirect runs Caddy with a site of both names, whose redirects it makes up by itself.
func startCaddyRedirect(t *testing.T) string {
	c := certificate(t)
	return startPeer(t, peerSpec{binary: "caddy", listen: 2, args: func(dir string, addrs []string) []string {
		conf := writeFile(t, dir, "Caddyfile", fmt.Sprintf(`
{
	admin off
	auto_https disable_certs
	http_port %d
	https_port %d
}
%s, %s {
	bind 127.0.0.1
	tls %s %s
	respond "reached"
}
`, door{addr: addrs[0]}.port(), door{addr: addrs[1]}.port(), redirectCanonical, redirectAlias,
			writeFile(t, dir, "cert.pem", string(c.cert)), writeFile(t, dir, "key.pem", string(c.key))))
		return []string{"run", "--adapter", "caddyfile", "--config", conf}
	}})[0]
}

// startNginxRedirect runs nginx with the one line that everybody knows.
func startNginxRedirect(t *testing.T) string {
	return startPeer(t, peerSpec{binary: "nginx", listen: 1, args: func(dir string, addrs []string) []string {
		conf := writeFile(t, dir, "nginx.conf", fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	large_client_header_buffers 4 32k;
	server {
		listen %[2]s;
		server_name %[3]s %[4]s;
		return 301 https://$host$request_uri;
	}
}
`, dir, addrs[0], redirectCanonical, redirectAlias))
		return []string{"-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")}
	}})[0]
}

// startOpponent returns where the opponent listens. It may skip the test.
func startOpponent(t *testing.T, o opponent) string {
	if o.start != nil {
		return o.start(t)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(reachedHeader, "yes") })
	serve(t, ln, placed(o.wrap(app)))
	return ln.Addr().String()
}

// placed puts the client where the corpus has it: everybody believes more of 127.0.0.1 than of a stranger.
func placed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr) // net/http wrote it
		r.RemoteAddr = redirectClient
		if host == redirectSource(true) {
			r.RemoteAddr = redirectBalancer
		}
		next.ServeHTTP(w, r)
	})
}

// redirectSource is the address that the client dials from, which tells placed who it is.
func redirectSource(balancer bool) string {
	if balancer {
		return "127.0.0.2"
	}
	return "127.0.0.1"
}

// A rawAnswer is what came back. The status is 0 where nothing did, or nothing that is HTTP.
type rawAnswer struct {
	status  int
	header  http.Header
	body    string
	reached bool
}

func (a rawAnswer) location() string { return a.header.Get("Location") }
func (a rawAnswer) redirects() bool  { return a.status/100 == 3 && a.location() != "" }

// ask sends a case to an opponent, byte for byte.
func ask(t *testing.T, addr string, c rawCase) rawAnswer {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(redirectSource(c.via))}, Timeout: time.Second}
	conn, err := dialer.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(exchangeTime)))
	_, _ = io.WriteString(conn, c.bytes()) // whoever refuses early closes early
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: c.method()})
	if err != nil {
		return rawAnswer{}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return rawAnswer{status: resp.StatusCode, header: resp.Header}
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // cut short is as good
	return rawAnswer{resp.StatusCode, resp.Header, string(body), resp.Header.Get(reachedHeader) != ""}
}

// askAll puts the corpus to an opponent, as far as it is meant for it.
func askAll(t *testing.T, o opponent) map[string]rawAnswer {
	addr, answers := startOpponent(t, o), map[string]rawAnswer{}
	for _, c := range rawCases() {
		if !c.via || o.balancer {
			answers[c.name] = ask(t, addr, c)
		}
	}
	return answers
}
