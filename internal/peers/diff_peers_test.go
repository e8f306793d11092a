//go:build linux

package peers

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	echo4 "github.com/labstack/echo/v4"
	echo5 "github.com/labstack/echo/v5"
)

// A diffPeer is another implementation that answers the same question.
type diffPeer struct {
	name    string
	headers []string // those that it reads

	// Peers without a list of whom to trust take the leftmost entry of whoever connects. They are no walkers, and
	// the agreement corpus does not bind them.
	leftmost bool

	// start prepares the peer, or skips the test, and returns what it answers to a case.
	start func(t *testing.T) func(t *testing.T, c diffCase) string
}

// diffPeers lists everybody, in the order of the ledger.
var diffPeers = []diffPeer{
	{name: "nginx-realip", headers: []string{xff}, start: startNginxRealIP},
	{name: "mod_remoteip", headers: []string{xff}, start: startModRemoteIP},
	{name: "chi", headers: []string{xff}, start: startChi},
	{name: "gin", headers: []string{xff}, start: startGin},
	{name: "echo4", headers: []string{xff, xfp}, start: startEcho4},
	{name: "echo5", headers: []string{xff, xfp}, start: startEcho5},
	{name: "proxy-addr", headers: []string{xff}, start: startNode("proxy-addr")},
	{name: "forwarded-parse", headers: []string{rfc7239}, start: startNode("forwarded-parse")},
	{name: "chi-realip", headers: []string{xff}, leftmost: true, start: startChiRealIP},
	{name: "gorilla", headers: []string{xff, xfp, xfh, rfc7239}, leftmost: true, start: startGorilla},
}

// through sends a case through a middleware and returns the request that comes out.
func through(mw func(http.Handler) http.Handler, c diffCase) (out *http.Request) {
	mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { out = r })).
		ServeHTTP(httptest.NewRecorder(), c.request())
	return out
}

func startChi(*testing.T) func(*testing.T, diffCase) string {
	mw := middleware.ClientIPFromXFF(diffTrust...)
	return func(_ *testing.T, c diffCase) string {
		return middleware.GetClientIP(through(mw, c).Context())
	}
}

func startChiRealIP(*testing.T) func(*testing.T, diffCase) string {
	return func(_ *testing.T, c diffCase) string {
		return withoutPeerPort(through(middleware.RealIP, c).RemoteAddr)
	}
}

func startGorilla(*testing.T) func(*testing.T, diffCase) string {
	return func(_ *testing.T, c diffCase) string {
		r := through(handlers.ProxyHeaders, c)
		switch c.header {
		case xfp:
			return r.URL.Scheme
		case xfh:
			return r.Host
		case rfc7239:
			return join(withoutPeerPort(r.RemoteAddr), r.URL.Scheme)
		default:
			return withoutPeerPort(r.RemoteAddr)
		}
	}
}

// withoutPeerPort tells a RemoteAddr that was left alone by its port, which is no part of an answer.
func withoutPeerPort(remote string) string {
	if remote == diffPeerAddr {
		remote, _, _ = net.SplitHostPort(remote)
	}
	return remote
}

func startGin(t *testing.T) func(*testing.T, diffCase) string {
	engine := ginEngine(t, diffTrust)
	return func(_ *testing.T, c diffCase) string {
		ctx := gin.CreateTestContextOnly(httptest.NewRecorder(), engine)
		ctx.Request = c.request()
		return ctx.ClientIP()
	}
}

func startEcho4(t *testing.T) func(*testing.T, diffCase) string {
	opts := echo4Trust(t, diffTrust)
	return addressOrScheme(echo4.ExtractIPFromXFFHeader(opts...), echo4.ExtractSchemeFromHeaders(opts...))
}

func startEcho5(t *testing.T) func(*testing.T, diffCase) string {
	opts := echo5Trust(t, diffTrust)
	return addressOrScheme(echo5.ExtractIPFromXFFHeader(opts...), echo5.ExtractSchemeFromHeaders(opts...))
}

func addressOrScheme(address, scheme func(*http.Request) string) func(*testing.T, diffCase) string {
	return func(_ *testing.T, c diffCase) string {
		if c.header == xfp {
			return scheme(c.request())
		}
		return address(c.request())
	}
}
