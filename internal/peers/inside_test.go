//go:build linux

package peers

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// Middlewares that believe the forwarding headers of whoever sends them are in use everywhere, often in code that one
// does not own. Inside Policy.Wrap they find nothing that could mislead them.

// believers are such middlewares. What they believe shows in RemoteAddr, URL.Scheme and Host.
var believers = []struct {
	name string
	wrap func(http.Handler) http.Handler
}{
	{"gorilla.ProxyHeaders", handlers.ProxyHeaders},
	{"chi.RealIP", middleware.RealIP},
	{"both", func(h http.Handler) http.Handler { return middleware.RealIP(handlers.ProxyHeaders(h)) }},
}

const (
	insideClient = "203.0.113.7" // the client that hops write down
	insideHop    = "127.0.0.1"
	outerHop     = "10.1.1.1" // connects to the inner hop, where there are two
)

// An inside is a way for a request to arrive, and all that is true about it.
type inside struct {
	name    string
	peer    string // who connects
	cfg     forwarded.Config
	written []string // by the hops, after whatever the client sent
	scheme  string   // that the hops vouch for; "": nobody does
	remotes []string // what RemoteAddr may be beside the peer's
}

var insides = []inside{
	{name: "no hops", peer: "127.0.0.9"},
	{name: "past the hop", peer: "127.0.0.9", cfg: forwarded.Config{Hops: []forwarded.Hop{forwarded.Trusted(insideHop)}}},
	{
		name: "one hop", peer: insideHop,
		cfg:     forwarded.Config{Hops: []forwarded.Hop{forwarded.Trusted(insideHop)}},
		written: []string{"X-Forwarded-For: " + insideClient, "X-Forwarded-Proto: https"},
		scheme:  "https", remotes: []string{insideClient},
	},
	{
		name: "one hop, RemoteAddr rewritten", peer: insideHop,
		cfg:     forwarded.Config{Hops: []forwarded.Hop{forwarded.Trusted(insideHop)}, RewriteRemoteAddr: true},
		written: []string{"X-Forwarded-For: " + insideClient, "X-Forwarded-Proto: https"},
		scheme:  "https", remotes: []string{insideClient},
	},
	{
		name: "two hops", peer: insideHop,
		cfg: forwarded.Config{Hops: []forwarded.Hop{
			{Name: "inner", From: []string{insideHop}, For: forwarded.Appends(xff)}, forwarded.Trusted(outerHop),
		}},
		written: []string{"X-Forwarded-For: " + insideClient + ", " + outerHop, "X-Forwarded-Proto: https"},
		scheme:  "https", remotes: []string{insideClient},
	},
	{
		name: "hop that speaks RFC 7239", peer: insideHop,
		cfg: forwarded.Config{Hops: []forwarded.Hop{
			{Name: "rfc", From: []string{insideHop}, For: forwarded.Appends(rfc7239), Proto: forwarded.Appends(rfc7239)},
		}},
		written: []string{"Forwarded: for=" + insideClient + ";proto=https"},
		scheme:  "https", remotes: []string{insideClient},
	},
	{
		name: "hop that does not know the client", peer: insideHop,
		cfg:     forwarded.Config{Hops: []forwarded.Hop{forwarded.Trusted(insideHop)}},
		written: []string{"X-Forwarded-For: unknown", "X-Forwarded-Proto: https"},
		scheme:  "https",
	},
	{
		name: "hop that writes nothing", peer: insideHop,
		cfg: forwarded.Config{Hops: []forwarded.Hop{{Name: "mute", From: []string{insideHop}}}},
	},
}

// policy is the one that is under test.
func (in inside) policy(t *testing.T) *forwarded.Policy {
	t.Helper()
	in.cfg.Logger = slog.New(slog.DiscardHandler)
	p, err := forwarded.New(in.cfg)
	require.NoError(t, err)
	return p
}

// arriving is the attack as it leaves the hops: what they set is theirs alone, what they append comes last.
func (in inside) arriving(a attack) attack {
	if len(in.written) == 0 {
		return a
	}
	a.lines = slices.DeleteFunc(slices.Clone(a.lines), func(line string) bool {
		return in.scheme != "" && strings.HasPrefix(line, xfp+":")
	})
	a.lines = append(a.lines, in.written...)
	return a
}

// A belief is a request as the handler inside a believer sees it.
type belief struct {
	request *http.Request
	target  string // URL.Scheme before: a client may send a whole URL as its target
}

// record returns a handler that hands over what it sees, and the channel it hands it to.
func record(wrap, believer func(http.Handler) http.Handler) (http.Handler, chan belief) {
	seen := make(chan belief, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.URL.Scheme
		inner := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // trailers come at its end; a broken body has none
			seen <- belief{r, target}
		})
		wrap(believer(inner)).ServeHTTP(w, r)
	}), seen
}

// judgeBelief asserts that nothing forged was believed or is there to be believed.
func (in inside) judgeBelief(t *testing.T, got belief) {
	t.Helper()
	r := got.request
	host := r.RemoteAddr
	if ap, err := netip.ParseAddrPort(host); err == nil {
		host = ap.Addr().String()
	}
	require.Contains(t, append([]string{in.peer}, in.remotes...), host, "RemoteAddr")
	require.Contains(t, []string{got.target, in.scheme}, r.URL.Scheme, "URL.Scheme")
	require.NotContains(t, strings.ToLower(r.Host), "evil", "Host")
	for _, h := range []http.Header{r.Header, r.Trailer} {
		for name, values := range h {
			require.Empty(t, forgery(strings.Join(values, " ")), "%s: %q", name, values)
		}
	}
}

// forgery returns the first text in a value that only the client of these tests writes.
func forgery(value string) string {
	for _, forged := range forgeries {
		if strings.Contains(value, forged) {
			return forged
		}
	}
	return ""
}

// eachInside runs a test for every way to arrive, believer and attack.
func eachInside(t *testing.T, test func(t *testing.T, in inside, believer func(http.Handler) http.Handler, a attack)) {
	for _, in := range insides {
		for _, believer := range believers {
			for _, a := range attacks {
				t.Run(in.name+"/"+believer.name+"/"+a.name, func(t *testing.T) { test(t, in, believer.wrap, in.arriving(a)) })
			}
		}
	}
}

func TestBelieversInsideWrap(t *testing.T) {
	eachInside(t, func(t *testing.T, in inside, believer func(http.Handler) http.Handler, a attack) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(a.request())))
		if err != nil {
			require.True(t, a.mustRefuse || a.mayRefuse, "net/http refuses: %v", err)
			return
		}
		r.RemoteAddr = net.JoinHostPort(in.peer, "4711")
		h, seen := record(in.policy(t).Wrap, believer)
		h.ServeHTTP(httptest.NewRecorder(), r)
		in.judgeBelief(t, <-seen)
	})
}

func TestBelieversInsideWrapOnARealServer(t *testing.T) {
	eachInside(t, func(t *testing.T, in inside, believer func(http.Handler) http.Handler, a attack) {
		h, seen := record(in.policy(t).Wrap, believer)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		serve(t, ln, h)
		status := door{addr: ln.Addr().String()}.send(t, netip.MustParseAddr(in.peer), a)
		if status == http.StatusBadRequest {
			require.True(t, a.mustRefuse || a.mayRefuse, "refused")
			return
		}
		require.Equal(t, http.StatusOK, status)
		in.judgeBelief(t, <-seen)
	})
}

// The tests above show something only because the same requests do mislead a believer that stands alone. That it takes
// anybody's word is in its documentation.
func TestBelieversAlone(t *testing.T) {
	whole := attack{lines: family}
	alone := func(h http.Handler) http.Handler { return h }
	for _, believer := range believers {
		t.Run(believer.name, func(t *testing.T) {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(whole.request())))
			require.NoError(t, err)
			r.RemoteAddr = "127.0.0.9:4711"
			h, seen := record(alone, believer.wrap)
			h.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, "6.6.6.6", (<-seen).request.RemoteAddr)
		})
	}
}
