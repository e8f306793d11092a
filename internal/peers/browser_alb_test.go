//go:build linux

package peers

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// The whole way of a visitor behind an emulated ALB, whose port 80 hands on to the service or redirects by itself. To
// the browser it makes no difference; the balancer's log has who redirected.
func TestBrowserBehindALB(t *testing.T) {
	e, err := redirect.New(redirect.Config{
		Canonical: albtest.DefaultHost, Aliases: []string{"old.example"}, HSTS: redirect.OneHour, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", policyOf(t, forwarded.ALB(nearNet)).Wrap(e.Wrap(welcome)))
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	target := listenFront(t, "127.0.0.1:0", mux, false)

	for _, c := range []struct {
		name   string
		port80 albtest.Action
		by     albtest.Answerer
	}{
		{"port 80 forwards", albtest.ForwardTo("nginx"), albtest.ByTarget},
		{"port 80 redirects", albtest.ToHTTPS(), albtest.ByBalancer},
	} {
		t.Run(c.name, func(t *testing.T) {
			alb := emulated(t, target, func(cfg *albtest.Config) {
				g := cfg.TargetGroups["nginx"]
				g.HealthCheck.Path = "/health"
				cfg.TargetGroups["nginx"] = g
				cfg.Listeners[1].Default = c.port80
			})
			b := startBrowser(t, siteOf(t, alb))
			l := b.open(t, "http://old.example/cart?x=1")
			assert.Equal(t, []string{"301 http://old.example/cart?x=1", "301 https://old.example/cart?x=1", "200 https://www.example.com/cart?x=1"}, l.way)
			assert.Equal(t, "welcome over https", l.text)
			assert.Equal(t, []string{"http " + string(c.by), "h2 target", "h2 target"}, visitors(alb, "/cart"))
			l = b.open(t, "http://old.example/")
			assert.Equal(t, "307 http://old.example/ by HSTS", l.way[0])
		})
	}
}

// siteOf is what a browser has to know of a balancer.
func siteOf(t *testing.T, alb *albtest.Server) *site {
	t.Helper()
	resp, err := alb.Client().Get(alb.HTTPSURL + "/health")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	s := &site{port: 443, keyHash: keyHash(resp.TLS.PeerCertificates[0])}
	s.plain.addr, s.secure.addr = alb.Addr(80), alb.Addr(443)
	return s
}

// visitors says how each request for a path came, and who answered it.
func visitors(alb *albtest.Server, path string) (list []string) {
	for _, e := range alb.Log() {
		if strings.Contains(e.Sent, " "+path+"?") {
			list = append(list, fmt.Sprint(e.Type, " ", e.AnsweredBy))
		}
	}
	return list
}
