package redirect_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

const (
	chainHost   = albtest.DefaultHost
	chainHealth = "/healthz" // answered outside of everything
	chainNear   = "127.0.0.1"
	chainMarker = "__Host-https-redirect"
)

// chainALB is the balancer of these tests, declared.
func chainALB() forwarded.Hop { return forwarded.ALB(albtest.Subnets()...) }

// chainPassing is a hop that leaves X-Forwarded-Proto as it came.
func chainPassing(hop forwarded.Hop) forwarded.Hop {
	hop.Proto = forwarded.Passes()
	return hop
}

func chainPolicy(t *testing.T, hops ...forwarded.Hop) *forwarded.Policy {
	t.Helper()
	p, err := forwarded.New(forwarded.Config{Hops: hops, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return p
}

// A chainSetup is a service behind a balancer, and what stands between them.
type chainSetup struct {
	hops   []forwarded.Hop                 // what the service declares; nil: it has no policy
	policy *forwarded.Policy               // in place of hops
	cfg    redirect.Config                 // Canonical is chainHost unless it says otherwise
	front  func(http.Handler) http.Handler // between the balancer and the service; nil: nothing
	inner  func(http.Handler) http.Handler // between the policy and the Enforcer; nil: nothing
	app    http.HandlerFunc                // nil: 200
	edit   func(*albtest.Config)           // nil: both listeners forward
}

// A chainService is one that runs.
type chainService struct {
	*albtest.Server
	enforcer *redirect.Enforcer
	log      *chainLog
	served   atomic.Int64 // requests that came as far as the application
	way      chainWay     // of Probe
}

// A chainWay is a transport that is known only when the Enforcer already is.
type chainWay struct{ http.RoundTripper }

func (c chainSetup) start(t *testing.T) *chainService {
	t.Helper()
	s := &chainService{log: &chainLog{}}
	handler := c.handler(t, s)
	cfg := albtest.Config{
		InMemory: true,
		TargetGroups: map[string]albtest.TargetGroup{albtest.DefaultGroup: {
			Targets:     []albtest.Target{{Handler: chainAnswersHealth(handler)}},
			HealthCheck: albtest.HealthCheck{Path: chainHealth},
		}},
		Listeners: []albtest.Listener{
			{Port: 443, TLS: &albtest.TLS{}, Default: albtest.ForwardTo(albtest.DefaultGroup)},
			{Port: 80, Default: albtest.ForwardTo(albtest.DefaultGroup)},
		},
	}
	if c.edit != nil {
		c.edit(&cfg)
	}
	s.Server = albtest.Start(t, cfg)
	s.way.RoundTripper = s.Client().Transport
	return s
}

// handler is the service without its balancer.
func (c chainSetup) handler(t *testing.T, s *chainService) http.Handler {
	t.Helper()
	if c.cfg.Canonical == "" {
		c.cfg.Canonical = chainHost
	}
	c.cfg.Logger = slog.New(s.log)
	if c.cfg.ProbeTransport == nil {
		c.cfg.ProbeTransport = &s.way
	}
	var err error
	s.enforcer, err = redirect.New(c.cfg)
	require.NoError(t, err)
	handler := s.enforcer.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		if c.app != nil {
			c.app(w, r)
			return
		}
		fmt.Fprintf(w, "%s by %s", forwarded.From(r).Scheme, r.Method)
	}))
	if c.inner != nil {
		handler = c.inner(handler)
	}
	if c.policy == nil && c.hops != nil {
		c.policy = chainPolicy(t, c.hops...)
	}
	if c.policy != nil {
		handler = c.policy.Wrap(handler)
	}
	if c.front != nil {
		handler = c.front(handler)
	}
	return handler
}

// chainAnswersHealth stands for healthcheck's Wrap.
func chainAnswersHealth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == chainHealth {
			_, _ = io.WriteString(w, "healthy")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// chainProxy is a proxy on the service's own machine: it appends its peer to X-Forwarded-For, does what edit says, and
// connects from 127.0.0.1.
func chainProxy(edit func(http.Header)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out := r.Clone(r.Context())
			peer := netip.MustParseAddrPort(r.RemoteAddr).Addr().String()
			list := append(slices.Clone(r.Header["X-Forwarded-For"]), peer)
			out.Header.Set("X-Forwarded-For", strings.Join(list, ", "))
			edit(out.Header)
			out.RemoteAddr = chainNear + ":4711"
			next.ServeHTTP(w, out)
		})
	}
}

// chainOverwrites is nginx with "proxy_set_header X-Forwarded-Proto $scheme" behind a balancer that ends TLS.
func chainOverwrites(next http.Handler) http.Handler {
	return chainProxy(func(h http.Header) { h.Set("X-Forwarded-Proto", "http") })(next)
}

// chainPasses is the same nginx after it was mended.
func chainPasses(next http.Handler) http.Handler { return chainProxy(func(http.Header) {})(next) }

// chainRewrites is something between the balancer and the service that changes a request in place.
func chainRewrites(edit func(*http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out := r.Clone(r.Context())
			edit(out)
			next.ServeHTTP(w, out)
		})
	}
}

// chainAsk sends one request; header is pairs of names and values. "Host" names the host.
func chainAsk(t *testing.T, c *http.Client, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func chainGet(t *testing.T, c *http.Client, target string, header ...string) (*http.Response, string) {
	t.Helper()
	return chainAsk(t, c, http.MethodGet, target, header...)
}

// chainBrowserHeader is what browsers send to https, and nowhere else.
var chainBrowserHeader = []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate"}

// A chainJar keeps cookies as browsers do: Secure ones are taken over https only (RFC 6265bis §5.7).
type chainJar struct{ http.CookieJar }

func (j chainJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.CookieJar.SetCookies(u, slices.DeleteFunc(slices.Clone(cookies), func(c *http.Cookie) bool {
		return c.Secure && u.Scheme != "https"
	}))
}

func newChainJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return chainJar{jar}
}

// chainVisit is a browser without its Sec-Fetch headers: it follows redirects and keeps cookies. It returns the status
// of each answer, and stops after most of them.
func chainVisit(t *testing.T, c *http.Client, jar http.CookieJar, target string, header ...string) (codes []int, body string) {
	t.Helper()
	const most = 10
	keeps := *c
	keeps.Jar = jar
	for len(codes) < most {
		var resp *http.Response
		resp, body = chainGet(t, &keeps, target, header...)
		codes = append(codes, resp.StatusCode)
		next, err := resp.Location()
		if err != nil {
			return codes, body
		}
		target = next.String()
	}
	return codes, body
}

// chainNoRedirect asserts an error of the Enforcer's own that names nothing.
func chainNoRedirect(t *testing.T, resp *http.Response, body string, status int) {
	t.Helper()
	assert.Equal(t, status, resp.StatusCode)
	assert.Empty(t, resp.Header.Get("Location"))
	assert.Equal(t, "private, no-store", resp.Header.Get("Cache-Control"))
	for name, values := range resp.Header {
		assert.NotContains(t, strings.Join(values, " "), "example", name)
	}
	assert.NotContains(t, body, "example")
}

// A chainLine is one line of the log.
type chainLine struct {
	Level   slog.Level
	Message string
	attrs   map[string]slog.Value
}

// text is an attribute, "" where it is left out.
func (l chainLine) text(key string) string {
	if value, ok := l.attrs[key]; ok {
		return value.String()
	}
	return ""
}

// all is everything that the line says.
func (l chainLine) all() string {
	var b strings.Builder
	b.WriteString(l.Message)
	for key, value := range l.attrs {
		fmt.Fprintf(&b, " %s=%v", key, value)
	}
	return b.String()
}

// chainLog keeps what is logged.
type chainLog struct {
	mu    sync.Mutex
	lines []chainLine
}

func (l *chainLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *chainLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *chainLog) WithGroup(string) slog.Handler            { return l }

func (l *chainLog) Handle(_ context.Context, r slog.Record) error {
	line := chainLine{Level: r.Level, Message: r.Message, attrs: map[string]slog.Value{}}
	r.Attrs(func(a slog.Attr) bool {
		line.attrs[a.Key] = a.Value.Resolve()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

// since returns the lines after the first n.
func (l *chainLog) since(n int) []chainLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines[n:])
}

func (l *chainLog) size() int { return len(l.since(0)) }

// about are the lines of a level and a reason.
func (l *chainLog) about(level slog.Level, reason string) []chainLine {
	return slices.DeleteFunc(l.since(0), func(line chainLine) bool {
		return line.Level != level || line.text("reason") != reason
	})
}

// one returns the only line of a level and a reason.
func (l *chainLog) one(t *testing.T, level slog.Level, reason string) chainLine {
	t.Helper()
	lines := l.about(level, reason)
	require.Len(t, lines, 1, "%v %s in %v", level, reason, l.since(0))
	return lines[0]
}

// oneOrAgain is one within chainTries, for a line that may have lost its turn to another.
func (l *chainLog) oneOrAgain(t *testing.T, level slog.Level, reason string) chainLine {
	t.Helper()
	if len(l.about(level, reason)) == 0 {
		panic(chainNoLine(fmt.Sprintf("no line %v %s in %v", level, reason, l.since(0))))
	}
	return l.one(t, level, reason)
}

// A chainNoLine says which line is missing.
type chainNoLine string

// chainMostTries is how often a test may begin anew whose lines have come to share a turn. The table of turns has a
// fixed size and a seed of its own for each Enforcer, so two lines of different kinds do so once in a thousand runs.
const chainMostTries = 5

// chainTries runs a test that starts an Enforcer of its own and expects lines of several kinds from it.
func chainTries(t *testing.T, test func()) {
	t.Helper()
	var missing chainNoLine
	for range chainMostTries {
		if missing = chainLacking(test); missing == "" {
			return
		}
	}
	require.Fail(t, string(missing))
}

// chainLacking runs a test and returns what oneOrAgain missed.
func chainLacking(test func()) (missing chainNoLine) {
	defer func() {
		switch problem := recover().(type) {
		case nil:
		case chainNoLine:
			missing = problem
		default:
			panic(problem)
		}
	}()
	test()
	return ""
}

// worst are the lines from WARN upwards.
func (l *chainLog) worst() []chainLine {
	return slices.DeleteFunc(l.since(0), func(line chainLine) bool { return line.Level < slog.LevelWarn })
}
