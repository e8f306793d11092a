package redirect_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// Inside of http.StripPrefix the path as sent may begin with an escaped slash,
// which divides no host from a path: "https://www.example.com%2F@evil.example/".
func TestInsideStripPrefix(t *testing.T) {
	e := redirect.Must(redirect.HTTPS("www.example.com", "example.com"))
	h := http.StripPrefix("/shop", e.Wrap(http.NotFoundHandler()))
	for request, want := range map[string]string{
		"GET /shop%2F@evil.example/x": "",
		"GET /shop%2f.evil.example":   "",
		"OPTIONS /shop%2a":            "", // not "OPTIONS *", which has no path to write
		"OPTIONS /shop*":              "",
		"GET /shop/a%2Fb":             "https://www.example.com/a%2Fb",
		"GET /shop/@evil.example/x":   "https://www.example.com/@evil.example/x",
		"GET /shop":                   "https://www.example.com/",
	} {
		method, target, _ := strings.Cut(request, " ")
		r := httptest.NewRequest(method, target, nil)
		r.Host = "www.example.com"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, want, w.Header().Get("Location"), request)
		if want == "" {
			assert.Equal(t, http.StatusBadRequest, w.Code, request)
		}
	}
}

// Whoever sends credentials in clear is told so, whatever else is said about
// the request.
func TestCredentialsAreToldBesidesTheRest(t *testing.T) {
	for name, c := range map[string]struct {
		cfg    redirect.Config
		header []string
		other  string // reason of the other line; "": there is none
	}{
		"preserved":              {other: "preserved"}, // the first redirect since the start
		"preserved, hint":        {header: []string{"X-Forwarded-Ssl", "on"}, other: "preserved"},
		"preserved, origin":      {header: []string{"Origin", "https://" + chainHost}, other: "preserved"},
		"preserved, browser":     {header: chainBrowserHeader, other: "preserved"},
		"unsafe_refused":         {cfg: redirect.Config{RefuseUnsafe: true}},
		"unsafe_refused, hint":   {cfg: redirect.Config{RefuseUnsafe: true}, header: []string{"X-Forwarded-Ssl", "on"}},
		"unsafe_refused, origin": {cfg: redirect.Config{RefuseUnsafe: true}, header: []string{"Origin", "https://" + chainHost}},
		"no_proof":               {cfg: redirect.Config{RefuseWithoutProof: true}, other: "no_proof"},
		"loop_broken":            {header: []string{"Cookie", chainMarker + "=1"}, other: "loop_broken"},
		"websocket":              {header: []string{"Upgrade", "websocket"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := 1
			if c.other != "" {
				want = 2
			}
			c.cfg.Policy = new(forwarded.Policy)
			lines := chainLines(t, want, c.cfg, func(e *redirect.Enforcer) {
				chainServe(e, chainRequest("POST", "http://"+chainHost+"/login", "198.51.100.1:1", nil, append(c.header, "Authorization", "Bearer x")...))
			})
			told := lines[len(lines)-1]
			assert.Equal(t, slog.LevelWarn, told.Level)
			assert.Equal(t, "redirect: credentials came over http, in clear", told.Message)
			assert.Contains(t, told.text("fix"), "revoke")
			if c.other != "" {
				assert.Equal(t, c.other, lines[0].text("reason"))
				assert.NotContains(t, lines[0].Message, "credentials")
			}
		})
	}
}

// "ok" says that visitors end up at https. A page that is served over http on
// purpose shows nothing of the kind, nor does a Probe that was not carried out.
func TestProbeIsNotOKOverHTTP(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Exempt: []string{"/status"}, PlainHosts: []string{"orders.internal"}}}.start(t)
	report := chainProbe(t, s, s.HTTPURL+"/status")
	assert.False(t, report.OK())
	assert.Contains(t, report.Problem, "exempt")
	assert.Contains(t, report.Fix, "another path")
	assert.True(t, chainProbe(t, s, s.HTTPSURL+"/status").OK(), "over https it is a page like others")

	report, err := s.enforcer.Probe(t.Context(), "http://orders.internal/")
	assert.ErrorContains(t, err, "PlainHosts")
	assert.False(t, report.OK())

	ended, cancel := context.WithCancel(t.Context())
	s.way.RoundTripper = chainRoundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme == "https" {
			cancel()
			return nil, ended.Err()
		}
		return s.Client().Transport.RoundTrip(r)
	})
	report, err = s.enforcer.Probe(ended, s.HTTPURL)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Len(t, report.Steps, 1, "the redirect was fine")
	for _, r := range []redirect.Report{report, {}} {
		assert.False(t, r.OK())
		assert.NotRegexp(t, `(?m)^ok$`, r.String())
		assert.Contains(t, r.String(), "problem: ")
	}
}

// Over http anybody on the way can answer Probe. He leads it to names and ports
// of the Config, if anywhere, and not to what else listens on this machine or
// next to it.
func TestProbeIsNotLedInside(t *testing.T) {
	named := redirect.Config{Canonical: chainHost, Aliases: []string{"example.com", "*.old.example"}, PlainHosts: []string{"localhost", "*.internal"}, HTTPSPort: 8443}
	anybody := redirect.Config{Canonical: chainHost, DangerouslyAnyHost: true}
	for _, c := range []struct {
		cfg      redirect.Config
		location string
		followed bool
	}{
		{named, "https://example.com:8443/", true},
		{named, "https://" + chainHost + "/", true},
		{named, "https://a.old.example/", true},
		{named, "http://example.com/", true},
		{named, "http://example.com:8080/", true}, // where Probe has begun
		{named, "/elsewhere", true},
		{named, "http://localhost:2375/containers/json", false},
		{named, "http://localhost/", false},
		{named, "http://vault.internal:8200/v1/sys/seal", false},
		{named, "https://" + chainHost + ":22/", false},
		{named, "https://" + chainHost + ":8080/", false},
		{named, "http://" + chainHost + ":9200/", false},
		{named, "http://169.254.169.254/", false},
		{named, "gopher://" + chainHost + "/", false},
		{anybody, "https://" + chainHost + "/", true},
		{anybody, "http://metadata.example/", false},
	} {
		var asked []string
		c.cfg.Logger = discard
		c.cfg.ProbeTransport = chainRoundTrip(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.String())
			resp := &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {c.location}}, Body: http.NoBody, Request: r}
			if len(asked) > 1 {
				resp.StatusCode, resp.Header = http.StatusOK, http.Header{}
			}
			return resp, nil
		})
		report, err := redirect.Must(redirect.New(c.cfg)).Probe(t.Context(), "http://"+chainHost+":8080/")
		require.NoError(t, err)
		assert.False(t, report.OK(), c.location)
		assert.Equal(t, c.followed, len(asked) == 2, "%s: %v", c.location, asked)
		assert.Equal(t, !c.followed, strings.Contains(report.Problem, "redirected elsewhere"), report.Problem)
	}
}

// One header that anybody may send is no fact about the chain: who follows a
// sentence that takes it for one breaks a chain that works.
func TestHintsAreNoFacts(t *testing.T) {
	const doubtful = "if clients use https here: "
	through := forwarded.Info{Status: forwarded.StatusForwarded, Scheme: forwarded.HTTP, Host: chainHost, Hops: 2, Complete: true}
	direct := forwarded.Info{Status: forwarded.StatusDirect, Scheme: forwarded.HTTP, Host: chainHost}
	fix := func(cfg redirect.Config, info forwarded.Info, header ...string) string {
		cfg.Canonical, cfg.Logger = chainHost, discard
		return redirect.Must(redirect.New(cfg)).Decide(chainRequest("GET", "http://"+chainHost+"/", "10.0.0.1:1", &info, header...)).Fix
	}
	for _, info := range []forwarded.Info{through, direct} {
		for _, hint := range [][]string{{"X-Forwarded-Ssl", "on"}, {"Referer", "https://" + chainHost + "/"}, {"X-Forwarded-Port", "443"}} {
			assert.True(t, strings.HasPrefix(fix(redirect.Config{}, info, hint...), doubtful), "%v through %d", hint, info.Hops)

			for _, stronger := range [][]string{chainBrowserHeader, {"Cookie", chainMarker + "=1"}} {
				sure := fix(redirect.Config{}, info, append(stronger, hint...)...)
				assert.NotEmpty(t, sure)
				assert.NotContains(t, sure, doubtful, "%v", stronger)
			}
			assert.Contains(t, fix(redirect.Config{RefuseWithoutProof: true}, info, hint...), "make https work for this host")
			assert.Contains(t, fix(redirect.Config{}, info, append(hint, "Upgrade", "websocket")...), "wss://")
		}
	}
}

// A chainRound is a client that goes from URL to URL, and round again.
type chainRound struct {
	scheme forwarded.Scheme
	host   string
}

// chainGoesRound asks for the same pages several times and returns how many loops were suspected.
func chainGoesRound(t *testing.T, cfg redirect.Config, times int, urls ...chainRound) uint64 {
	t.Helper()
	e, _ := chainEnforcer(t, cfg)
	for range times {
		for _, u := range urls {
			info := forwarded.Info{Status: forwarded.StatusForwarded, Scheme: u.scheme, Host: u.host, Hops: 1, Complete: true}
			chainServe(e, chainRequest("GET", "http://"+u.host+"/feed", "10.0.0.1:1", &info))
			time.Sleep(time.Second / 2)
		}
	}
	return e.Stats()[redirect.ReasonLoopSuspected]
}

// Programs that ask for http, or for an alias, each time are no loop: they get
// their page.
func TestWhoArrivesDoesNotGoRound(t *testing.T) {
	cfg := redirect.Config{Aliases: []string{"example.com", "*.old.example"}}
	oneHop := cfg
	oneHop.OneHop = true
	page := chainRound{forwarded.HTTPS, chainHost}
	for name, c := range map[string]struct {
		cfg  redirect.Config
		urls []chainRound
	}{
		"http each time":         {cfg, []chainRound{{forwarded.HTTP, chainHost}, page}},
		"the alias each time":    {cfg, []chainRound{{forwarded.HTTPS, "example.com"}, page}},
		"both":                   {cfg, []chainRound{{forwarded.HTTP, "example.com"}, {forwarded.HTTPS, "example.com"}, page}},
		"below a wildcard":       {cfg, []chainRound{{forwarded.HTTP, "a.old.example"}, page}},
		"straight to the target": {oneHop, []chainRound{{forwarded.HTTP, "example.com"}, page}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				assert.Zero(t, chainGoesRound(t, c.cfg, 40, c.urls...))
			})
		})
	}
}

// Who is sent to a place and never comes there does go round, whichever name it
// asked for.
func TestWhoDoesNotArriveGoesRound(t *testing.T) {
	cfg := redirect.Config{Aliases: []string{"example.com", "*.old.example"}}
	oneHop := cfg
	oneHop.OneHop = true
	for name, c := range map[string]struct {
		cfg redirect.Config
		url chainRound
	}{
		"http":                       {cfg, chainRound{forwarded.HTTP, chainHost}},
		"the alias":                  {cfg, chainRound{forwarded.HTTPS, "example.com"}},
		"below a wildcard":           {cfg, chainRound{forwarded.HTTPS, "a.old.example"}},
		"the alias, straight":        {oneHop, chainRound{forwarded.HTTPS, "example.com"}},
		"the alias, straight, http":  {oneHop, chainRound{forwarded.HTTP, "example.com"}},
		"below a wildcard over http": {cfg, chainRound{forwarded.HTTP, "a.old.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				assert.EqualValues(t, 6, chainGoesRound(t, c.cfg, 10, c.url), "the fifth and all that follow")
			})
		})
	}
}

// However a plain host is written, it takes no name away that https is enforced
// for.
func TestPlainHostsTakeNoAlias(t *testing.T) {
	for _, names := range [][2]string{
		{"*.old.example", "*.old.example."}, {"*.old.example", "*.Old.Example"}, {"*.old.example.", "*.old.example"},
		{"old.example", "old.example."}, {"a.old.example", "*.old.example."},
	} {
		_, err := redirect.New(redirect.Config{Canonical: chainHost, Aliases: names[:1], PlainHosts: names[1:], Logger: discard})
		assert.ErrorContains(t, err, "for which https is enforced", "%v", names)
	}
}

// HSTS for a local name would bind every program on a visitor's machine.
func TestNoHSTSForLocalNames(t *testing.T) {
	for _, cfg := range []redirect.Config{
		{Canonical: chainHost, Aliases: []string{"localhost", "app.localhost", "x.onion"}, HSTS: redirect.OneYear},
		{Canonical: chainHost, DangerouslyAnyHost: true, HSTS: redirect.OneYear},
	} {
		for _, host := range []string{"localhost", "app.localhost", "x.onion"} {
			assert.Empty(t, hstsOf(t, cfg, host, true, ""), host)
		}
		assert.Equal(t, []string{"max-age=31536000"}, hstsOf(t, cfg, chainHost, true, ""))
	}
}

// What is legal and probably not meant is said at the start, and nothing else is.
func TestStartWarnings(t *testing.T) {
	subdomains := redirect.HSTS{MaxAge: time.Hour, IncludeSubDomains: true}
	always := func(forwarded.Info, string) bool { return true }
	declared := forwarded.Must(forwarded.Behind(chainALB()))
	for _, c := range []struct {
		cfg  redirect.Config
		says string // "": nothing
	}{
		{redirect.Config{HSTS: redirect.Preload, Aliases: []string{"example.com"}, PlainHosts: []string{"intern.example.com"}}, "intern.example.com"},
		{redirect.Config{HSTS: subdomains, PlainHosts: []string{"*.x.WWW.example.com."}}, "x.www.example.com"},
		{redirect.Config{HSTS: subdomains, PlainHosts: []string{"intern.example.com", "xwww.example.com"}}, ""}, // beside it
		{redirect.Config{HSTS: redirect.OneYear, PlainHosts: []string{"a.www.example.com"}}, ""},
		{redirect.Config{HSTS: redirect.Preload, HTTPSPort: 8443}, "port 443"},
		{redirect.Config{RequireProxy: true, Policy: new(forwarded.Policy)}, "declares no hops"},
		{redirect.Config{RequireProxy: true, Policy: declared}, ""},
		{redirect.Config{RequireProxy: true}, ""}, // the policy may be around it
		{redirect.Config{RefuseWithoutProof: true, DangerouslyAnyHost: true}, "set Proof"},
		{redirect.Config{RefuseWithoutProof: true, DangerouslyAnyHost: true, Proof: always}, ""},
		{redirect.Config{RefuseWithoutProof: true}, ""},
	} {
		_, log := chainEnforcer(t, c.cfg)
		if c.says == "" {
			assert.Empty(t, log.since(0))
			continue
		}
		require.Equal(t, 1, log.size(), "%s: %v", c.says, log.since(0))
		line := log.since(0)[0]
		assert.Equal(t, slog.LevelWarn, line.Level)
		assert.Contains(t, line.all(), c.says)
		assert.NotEmpty(t, line.text("fix"))
	}
}

// A missing handler shows at the start, not at the first visitor who uses https.
func TestWrapOfNothing(t *testing.T) {
	e := redirect.Must(redirect.New(redirect.Config{Canonical: chainHost, Logger: discard}))
	assert.Panics(t, func() { e.Wrap(nil) })
}

// An exempt path is what browsers send for it. Another spelling is not, since
// routers do not agree on what it is.
func TestExemptIsComparedAsSent(t *testing.T) {
	for path, other := range map[string]string{
		"/a!b": "/a%21b", "/(status)": "/%28status%29", "/it's": "/it%27s", "/a;b": "/a%3Bb", "/a,b": "/a%2Cb", "/a~b": "/a%7Eb", "/a:b": "/a%3Ab",
		"/a@b": "/a%40b", "/[x]": "/%5Bx%5D", "/a$b": "/a%24b", `/a\b`: "/a%5cb", "/a/b": "/a%2Fb",
	} {
		e := redirect.Must(redirect.New(redirect.Config{Canonical: chainHost, Exempt: []string{path}, Logger: discard}))
		decide := func(target string) string {
			r, err := asRead("GET", target)
			require.NoError(t, err)
			r.Host, r.RemoteAddr = chainHost, "198.51.100.1:1"
			return e.Decide(r).Reason.String()
		}
		assert.Equal(t, "exempt", decide(path), path)
		assert.Equal(t, "redirected", decide(other), other)
	}
	for _, path := range []string{"/a/../b", "//a", "/a//b", "/./a"} {
		_, err := redirect.New(redirect.Config{Canonical: chainHost, Exempt: []string{path}})
		assert.ErrorContains(t, err, "Exempt[0]", path)
	}
}

// RefuseUnsafe ends a connection on which secrets might follow in clear, if it
// is the client's alone: a proxy has others on it.
func TestRefuseUnsafeEndsNoConnectionOfOthers(t *testing.T) {
	e := redirect.Must(redirect.New(redirect.Config{Canonical: chainHost, RefuseUnsafe: true, Logger: discard}))
	for hops, want := range []string{"close", "", ""} {
		info := forwarded.Info{Status: forwarded.StatusForwarded, Scheme: forwarded.HTTP, Host: chainHost, Hops: hops}
		w := chainServe(e, chainRequest("POST", "http://"+chainHost+"/", "10.0.0.1:1", &info))
		assert.Equal(t, http.StatusForbidden, w.Code)
		assert.Equal(t, want, w.Header().Get("Connection"), "through %d hops", hops)
	}

	srv := httptest.NewUnstartedServer(e.Wrap(http.NotFoundHandler()))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	var mu sync.Mutex
	conns := make(map[net.Conn]bool)
	srv.Config.ConnState = func(c net.Conn, _ http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		conns[c] = true
	}
	srv.Start()
	defer srv.Close()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	shared := &http.Client{
		Transport:     &http.Transport{Protocols: protocols},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer shared.CloseIdleConnections()
	for _, method := range []string{"GET", "POST", "GET", "POST", "GET"} {
		resp, _ := chainAsk(t, shared, method, srv.URL, "Host", chainHost)
		assert.Equal(t, 2, resp.ProtoMajor)
	}
	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, conns, 1, "a GOAWAY would end what others are waiting for")
}

// What Probe says may end up in a log: no passwords, nothing endless, nothing
// that steers a terminal.
func TestProbeKeepsSecrets(t *testing.T) {
	const password = "hunter2"
	answers := func(location string) *redirect.Enforcer {
		return redirect.Must(redirect.New(redirect.Config{Canonical: chainHost, Logger: discard, ProbeTransport: chainRoundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {location}}, Body: http.NoBody, Request: r}, nil
		})}))
	}
	for _, url := range []string{"https://user:" + password + "@" + chainHost + ":x/", "https://user:" + password + "@" + chainHost + "/", "https://user:" + password + "@%zz"} {
		report, err := answers("/").Probe(t.Context(), url)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), password)
		assert.NotContains(t, report.String(), password)
	}
	for location, says := range map[string]string{
		"https://user:" + password + "@" + chainHost + "/":      "redirected elsewhere",
		"https://user:" + password + "@" + chainHost + ":x/":    "redirected elsewhere",
		"https://user:" + password + "@evil.example/":           "redirected elsewhere",
		"/" + strings.Repeat("x", megabyte):                     "longer than any browser follows",
		"/" + strings.Repeat("x", 7<<10):                        "no end after",
		"/\x1b[2J" + strings.Repeat("\n", 100):                  "redirected elsewhere",
		"https://evil.example/" + strings.Repeat("\u2028", 100): "redirected elsewhere",
	} {
		report, err := answers(location).Probe(t.Context(), "https://"+chainHost+"/")
		require.NoError(t, err)
		assert.False(t, report.OK())
		text := report.String()
		assert.Contains(t, text, says)
		assert.NotContains(t, text, password)
		assert.Less(t, len(text), 64<<10, "%.40q", location)
		assert.NotRegexp(t, `[^ -~…\n]`, text)
		assert.Less(t, strings.Count(text, "\n"), 10)
	}
}
