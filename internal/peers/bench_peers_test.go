//go:build linux

package peers

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	echo4 "github.com/labstack/echo/v4"
	echo5 "github.com/labstack/echo/v5"

	"github.com/knownhops/knownhops/forwarded"
)

// What the last handler took for the client, each in the form in which its library gives it.
var (
	sinkAddr netip.Addr
	sinkText string
	sinkInfo forwarded.Info
)

func addrAnswer() string { return validText(sinkAddr) }
func textAnswer() string { return sinkText }
func infoAnswer() string { return validText(sinkInfo.Client) }

func validText(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

// middlewares are the contestants that hand their answer on to the next handler.
func middlewares(b testing.TB, c benchCase, trust []string) []benchTarget {
	policy := benchPolicy(b, c, trust)
	readText := func(r *http.Request) { sinkText = r.RemoteAddr }
	readChi := func(r *http.Request) { sinkAddr = middleware.GetClientIPAddr(r.Context()) }
	return []benchTarget{
		{name: "knownhops.Wrap", listed: true, answer: addrAnswer,
			serve: in(policy.Wrap, func(r *http.Request) { sinkAddr = forwarded.From(r).Client })},
		{name: "gorilla.ProxyHeaders", answer: textAnswer, serve: in(handlers.ProxyHeaders, readText)},
		{name: "chi.ClientIPFromXFF", listed: true, answer: addrAnswer,
			serve: in(middleware.ClientIPFromXFF(trust...), readChi)},
		{name: "chi.XFFTrustedProxies", answer: addrAnswer,
			serve: in(middleware.ClientIPFromXFFTrustedProxies(c.hops), readChi)},
		{name: "chi.RealIP", answer: textAnswer, serve: in(middleware.RealIP, readText)},
		{name: "gin", listed: true, answer: textAnswer,
			serve: serveGin(b, trust, func(ctx *gin.Context) { sinkText = ctx.ClientIP() })},
		{name: "gin_alone", serve: serveGin(b, trust, func(*gin.Context) {})},
		{name: "echo4", listed: true, answer: textAnswer,
			serve: serveEcho4(b, trust, func(ctx echo4.Context) error { sinkText = ctx.RealIP(); return nil })},
		{name: "echo4_alone", serve: serveEcho4(b, trust, func(echo4.Context) error { return nil })},
		{name: "echo5", listed: true, answer: textAnswer,
			serve: serveEcho5(b, trust, func(ctx *echo5.Context) error { sinkText = ctx.RealIP(); return nil })},
		{name: "echo5_alone", serve: serveEcho5(b, trust, func(*echo5.Context) error { return nil })},
		{name: "handwritten", answer: textAnswer,
			serve: in(handwritten, func(r *http.Request) { sinkText, _ = r.Context().Value(handwrittenKey{}).(string) })},
	}
}

// functions are the contestants that answer when asked.
func functions(b testing.TB, c benchCase, trust []string) []benchTarget {
	policy := benchPolicy(b, c, trust)
	ginContext := gin.CreateTestContextOnly(nopWriter{}, ginEngine(b, trust))
	address4 := echo4.ExtractIPFromXFFHeader(echo4Trust(b, trust)...)
	address5 := echo5.ExtractIPFromXFFHeader(echo5Trust(b, trust)...)
	return []benchTarget{
		{name: "knownhops.Resolve", answer: infoAnswer, serve: func(r *http.Request) { sinkInfo = policy.Resolve(r) }},
		{name: "gin", answer: textAnswer, serve: func(r *http.Request) {
			ginContext.Request = r
			sinkText = ginContext.ClientIP()
		}},
		{name: "echo4", answer: textAnswer, serve: func(r *http.Request) { sinkText = address4(r) }},
		{name: "echo5", answer: textAnswer, serve: func(r *http.Request) { sinkText = address5(r) }},
		{name: "handwritten", answer: textAnswer, serve: func(r *http.Request) { sinkText = firstAddress(r) }},
	}
}

func benchPolicy(b testing.TB, c benchCase, trust []string) *forwarded.Policy {
	policy, err := forwarded.New(forwarded.Config{
		Hops:   c.topology(trust),
		Logger: slog.New(slog.DiscardHandler), // what a warning costs is the logger's, and there is one a minute
	})
	if err != nil {
		b.Fatal(err)
	}
	return policy
}

// in serves through a middleware to a handler that reads the answer.
func in(mw func(http.Handler) http.Handler, read func(*http.Request)) func(*http.Request) {
	h := mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { read(r) }))
	return func(r *http.Request) { h.ServeHTTP(nopWriter{}, r) }
}

func ginEngine(b testing.TB, trust []string) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	if err := engine.SetTrustedProxies(trust); err != nil {
		b.Fatal(err)
	}
	return engine
}

func serveGin(b testing.TB, trust []string, read gin.HandlerFunc) func(*http.Request) {
	engine := ginEngine(b, trust)
	engine.GET(benchPath, read)
	return func(r *http.Request) { engine.ServeHTTP(nopWriter{}, r) }
}

func serveEcho4(b testing.TB, trust []string, read echo4.HandlerFunc) func(*http.Request) {
	e := echo4.New()
	e.IPExtractor = echo4.ExtractIPFromXFFHeader(echo4Trust(b, trust)...)
	e.GET(benchPath, read)
	return func(r *http.Request) { e.ServeHTTP(nopWriter{}, r) }
}

func serveEcho5(b testing.TB, trust []string, read echo5.HandlerFunc) func(*http.Request) {
	e := echo5.New()
	e.IPExtractor = echo5.ExtractIPFromXFFHeader(echo5Trust(b, trust)...)
	e.GET(benchPath, read)
	return func(r *http.Request) { e.ServeHTTP(nopWriter{}, r) }
}

// echo4Trust trusts the listed networks and none of those that echo trusts of itself.
func echo4Trust(b testing.TB, trust []string) []echo4.TrustOption {
	opts := []echo4.TrustOption{echo4.TrustLoopback(false), echo4.TrustLinkLocal(false), echo4.TrustPrivateNet(false)}
	for _, prefix := range trust {
		opts = append(opts, echo4.TrustIPRange(parseNet(b, prefix)))
	}
	return opts
}

func echo5Trust(b testing.TB, trust []string) []echo5.TrustOption {
	opts := []echo5.TrustOption{echo5.TrustLoopback(false), echo5.TrustLinkLocal(false), echo5.TrustPrivateNet(false)}
	for _, prefix := range trust {
		opts = append(opts, echo5.TrustIPRange(parseNet(b, prefix)))
	}
	return opts
}

func parseNet(b testing.TB, prefix string) *net.IPNet {
	b.Helper()
	_, ipNet, err := net.ParseCIDR(prefix)
	if err != nil {
		b.Fatal(err)
	}
	return ipNet
}

type handwrittenKey struct{}

// handwritten is what many code bases have: the first entry of the first line, from whoever sends it.
func handwritten(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handwrittenKey{}, firstAddress(r))))
	})
}

func firstAddress(r *http.Request) string {
	if list := r.Header.Get(xff); list != "" {
		return strings.TrimSpace(strings.Split(list, ",")[0])
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// nopWriter takes an answer and does nothing with it.
type nopWriter struct{}

var noHeader = http.Header{}

func (nopWriter) Header() http.Header         { return noHeader }
func (nopWriter) Write(p []byte) (int, error) { return len(p), nil }
func (nopWriter) WriteHeader(int)             {}
