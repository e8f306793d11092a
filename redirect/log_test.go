package redirect_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
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

// chainEnforcer is an Enforcer alone, with its log.
func chainEnforcer(t *testing.T, cfg redirect.Config) (*redirect.Enforcer, *chainLog) {
	t.Helper()
	s := &chainService{log: &chainLog{}}
	chainSetup{cfg: cfg}.handler(t, s)
	return s.enforcer, s.log
}

// chainRequest is what a server would hand to Wrap.
func chainRequest(method, target, peer string, info *forwarded.Info, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = peer
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if info != nil {
		r = r.WithContext(forwarded.NewContext(r.Context(), *info))
	}
	return r
}

func chainServe(e *redirect.Enforcer, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w
}

// chainLines returns what is logged by a fresh Enforcer; want is the number of lines where no two share a turn.
func chainLines(t *testing.T, want int, cfg redirect.Config, ask func(*redirect.Enforcer)) []chainLine {
	t.Helper()
	var lines []chainLine
	for range chainMostTries {
		e, log := chainEnforcer(t, cfg)
		ask(e)
		if lines = log.since(0); len(lines) == want {
			break
		}
	}
	require.Len(t, lines, want, "%v", lines)
	return lines
}

// One line a minute for each reason, network of peers and host of ours, with the number of those left out.
func TestLogOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := chainEnforcer(t, redirect.Config{RequireProxy: true, Aliases: []string{"example.com"}})
		ask := func(times int) {
			for i := range times {
				chainServe(e, chainRequest("GET", "http://"+chainHost+"/", fmt.Sprintf("198.51.100.%d:1", i), nil))
			}
		}
		ask(100)
		first := log.one(t, slog.LevelWarn, "direct_access")
		assert.Equal(t, "0", first.text("suppressed"))
		time.Sleep(59 * time.Second)
		ask(1)
		assert.Equal(t, 1, log.size())
		time.Sleep(time.Second)
		ask(1)
		require.Equal(t, 2, log.size())
		assert.Equal(t, "100", log.since(1)[0].text("suppressed"))
	})
}

func TestLogTurns(t *testing.T) {
	ask := func(targets ...string) func(*redirect.Enforcer) {
		return func(e *redirect.Enforcer) {
			for range 3 {
				for _, target := range targets {
					peer, url, _ := strings.Cut(target, " ")
					chainServe(e, chainRequest("GET", url, peer, nil))
				}
			}
		}
	}
	cfg := redirect.Config{RequireProxy: true, Aliases: []string{"example.com", "*.old.example"}}
	const near, far = "198.51.100.1:1", "203.0.113.1:1"
	chainLines(t, 2, cfg, ask(near+" http://"+chainHost+"/", far+" http://"+chainHost+"/"))
	chainLines(t, 2, cfg, ask(near+" http://"+chainHost+"/", near+" http://example.com/"))
	chainLines(t, 2, cfg, ask(near+" http://"+chainHost+"/", near+" http://evil.example/"))
	chainLines(t, 2, cfg, ask("[2001:db8:1::1]:1 http://"+chainHost+"/", "[2001:db8:2::1]:1 http://"+chainHost+"/"))
	chainLines(t, 1, cfg, ask("[2001:db8:1::1]:1 http://"+chainHost+"/", "[2001:db8:1:2::1]:1 http://"+chainHost+"/"))
	chainLines(t, 1, cfg, ask(near+" http://"+chainHost+"/", "198.51.100.2:1 http://"+strings.ToUpper(chainHost)+":80/"))
	// What strangers invent is one host, and so is what is below a wildcard and the host that it leads to.
	chainLines(t, 1, cfg, ask(near+" http://evil.example/", near+" http://other.example/"))
	chainLines(t, 1, cfg, ask(near+" http://a.old.example/", near+" http://b.old.example/", near+" http://"+chainHost+"/"))
}

// A flood of hosts and networks fills neither the log nor memory.
func TestLogFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := chainEnforcer(t, redirect.Config{RequireProxy: true})
		flood := func() {
			for i := range 4000 {
				peer := fmt.Sprintf("%d.%d.%d.7:1", 1+i%200, i/200, i%251)
				chainServe(e, chainRequest("GET", fmt.Sprintf("http://host%d.example/", i), peer, nil))
				chainServe(e, chainRequest("GET", "http://"+chainHost+"/", peer, nil))
			}
		}
		flood()
		assert.Less(t, log.size(), 1025, "as many as there are turns")
		time.Sleep(time.Minute)
		flood()
		assert.Less(t, log.size(), 2049)
		assert.EqualValues(t, 8000, e.Stats()[redirect.ReasonUnknownHost])
		assert.EqualValues(t, 8000, e.Stats()[redirect.ReasonDirectAccess])
	})
}

func TestLogFloodIsSafe(t *testing.T) {
	e, log := chainEnforcer(t, redirect.Config{})
	h := e.Wrap(http.NotFoundHandler())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
				h.ServeHTTP(httptest.NewRecorder(), chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil, chainBrowserHeader...))
				h.ServeHTTP(httptest.NewRecorder(), chainRequest("GET", fmt.Sprintf("http://%d.example/", i), "198.51.100.1:1", nil))
				e.Stats()
			}
		})
	}
	all.Wait()
	assert.LessOrEqual(t, log.size(), 3)
	assert.EqualValues(t, 1600, e.Stats()[redirect.ReasonRedirected])
	assert.EqualValues(t, 1600, e.Stats()[redirect.ReasonLoopSuspected])
}

// What each reason is to an operator. Those that are missing here are not logged.
func TestLogLevels(t *testing.T) {
	unknown := forwarded.Info{Status: forwarded.StatusForwarded, Host: chainHost, Hops: 1, SchemeReason: forwarded.ReasonSchemeMissing}
	bad := unknown
	bad.SchemeReason = forwarded.ReasonBadProto
	lost := forwarded.Info{Status: forwarded.StatusForwarded, Scheme: forwarded.HTTPS, HostReason: forwarded.ReasonHostReplaced}
	for _, test := range []struct {
		reason string
		level  slog.Level
		status string
		cfg    redirect.Config
		r      *http.Request
	}{
		{"unknown_host", slog.LevelInfo, "421", redirect.Config{}, chainRequest("GET", "http://evil.example/", "198.51.100.1:1", nil)},
		{"ip_host", slog.LevelInfo, "421", redirect.Config{}, chainRequest("GET", "http://192.0.2.1/", "198.51.100.1:1", nil)},
		{"host_lost", slog.LevelWarn, "421", redirect.Config{}, chainRequest("GET", "http://app/", "198.51.100.1:1", &lost)},
		{"direct_access", slog.LevelWarn, "421", redirect.Config{RequireProxy: true}, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil)},
		{"loop_broken", slog.LevelError, "500", redirect.Config{}, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil, "Cookie", chainMarker+"=1")},
		{"no_proof", slog.LevelWarn, "503", redirect.Config{RefuseWithoutProof: true}, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil)},
		{"bad_scheme", slog.LevelWarn, "400", redirect.Config{}, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", &bad)},
		{"unknown_scheme", slog.LevelWarn, "0", redirect.Config{}, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", &unknown)},
		{"redirected", slog.LevelInfo, "301", redirect.Config{}, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil)},
	} {
		t.Run(test.reason, func(t *testing.T) {
			e, log := chainEnforcer(t, test.cfg)
			chainServe(e, test.r)
			require.Equal(t, 1, log.size(), "%v", log.since(0))
			line := log.one(t, test.level, test.reason)
			assert.True(t, strings.HasPrefix(line.Message, "redirect: "), line.Message)
			assert.Equal(t, test.status, line.text("status"))
			for _, key := range []string{"reason", "method", "host", "path", "status", "peer", "client", "scheme", "hops", "suppressed"} {
				assert.NotEmpty(t, line.text(key), key)
			}
			assert.Equal(t, test.reason != "redirected", line.text("fix") != "", "what is broken can be mended")
			assert.Equal(t, test.reason == "loop_broken", line.text("signals") != "")
			assert.Equal(t, line.text("scheme") == "unknown", line.text("scheme_reason") != "")
		})
	}
}

// What is usual, or only a client's own mistake, is counted and not logged.
func TestLogSilence(t *testing.T) {
	https := forwarded.Info{Status: forwarded.StatusForwarded, Scheme: forwarded.HTTPS, Host: chainHost, Hops: 1}
	e, log := chainEnforcer(t, redirect.Config{PlainHosts: []string{"orders.internal"}, Exempt: []string{"/exempt"}})
	for _, r := range []*http.Request{
		chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", &https),
		chainRequest("GET", "http://orders.internal/", "198.51.100.1:1", nil),
		chainRequest("GET", "http://"+chainHost+"/exempt", "198.51.100.1:1", nil),
		chainRequest("CONNECT", "http://"+chainHost+"/", "198.51.100.1:1", nil),
		chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil, "Upgrade", "websocket"),
		chainRequest("GET", "http://"+chainHost+"/"+strings.Repeat("x", 9000), "198.51.100.1:1", nil),
	} {
		chainServe(e, r)
	}
	assert.Empty(t, log.since(0))
	assert.Len(t, e.Stats(), 6)
}

// The first redirect is told with everything it was made of, once.
func TestLogFirstRedirect(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	for range 3 {
		chainGet(t, s.Client(), s.HTTPURL+"/cart?token=abc")
		chainAsk(t, s.Client(), http.MethodPut, s.HTTPURL+"/cart")
	}
	require.Equal(t, 1, s.log.size(), "%v", s.log.since(0))
	line := s.log.one(t, slog.LevelInfo, "redirected")
	assert.Equal(t, "redirect: the first redirect since the start", line.Message)
	for key, want := range map[string]string{
		"status": "301", "method": "GET", "host": chainHost, "path": "/cart", "scheme": "http", "hops": "1",
		"client": "203.0.113.10", "scheme_reason": "", "fix": "", "signals": "", "suppressed": "0",
	} {
		assert.Equal(t, want, line.text(key), key)
	}
	assert.True(t, strings.HasPrefix(line.text("peer"), "10.0."), line.text("peer"))
}

// chainSecret stands wherever a client keeps secrets.
const chainSecret = "s3cr3t-0123456789"

// No line says what was in a cookie, a query or credentials, whatever becomes of the request.
func TestLogKeepsSecrets(t *testing.T) {
	var text bytes.Buffer
	seen := 0
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		for _, host := range []string{chainHost, "evil.example", "192.0.2.1"} {
			for _, cookie := range []string{"id=" + chainSecret, chainMarker + "=" + chainSecret} {
				for name, cfg := range map[string]redirect.Config{
					"default": {}, "unsafe": {RefuseUnsafe: true}, "proof": {RefuseWithoutProof: true}, "proxy": {RequireProxy: true},
				} {
					for _, more := range [][]string{nil, chainBrowserHeader, {"X-Forwarded-Proto", "https"}} {
						cfg.Canonical, cfg.Logger = chainHost, slog.New(slog.NewJSONHandler(&text, nil))
						cfg.Policy = forwarded.Must(forwarded.New(forwarded.Config{Logger: slog.New(slog.DiscardHandler)}))
						e := redirect.Must(redirect.New(cfg))
						r := chainRequest(method, "http://user:"+chainSecret+"@"+host+"/path?token="+chainSecret, "198.51.100.1:1", nil,
							append([]string{
								"Cookie", cookie, "Authorization", "Bearer " + chainSecret, "Proxy-Authorization", "Basic " + chainSecret,
								"X-Api-Key", chainSecret, "Referer", "https://" + host + "/?token=" + chainSecret,
							}, more...)...)
						r.Host = host
						w := chainServe(e, r)
						assert.NotContains(t, w.Body.String(), chainSecret, name)
						seen++
					}
				}
			}
		}
	}
	assert.Greater(t, strings.Count(text.String(), "\n"), seen/2)
	assert.NotContains(t, text.String(), chainSecret)
	assert.NotContains(t, text.String(), "Bearer")
}

// Whatever a client sends, a line stays one line, and what it sent stays within quotes.
func TestLogInjection(t *testing.T) {
	const evil = "x\"\nlevel=ERROR msg=\"pwned\u2028\x1b[31m\xff"
	var text, object bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&object, nil)} {
		e := redirect.Must(redirect.New(redirect.Config{Canonical: chainHost, Logger: slog.New(handler)}))
		r := chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil, chainBrowserHeader...)
		r.Header["X-Forwarded-Ssl"] = []string{"on," + evil}
		r.Header["Sec-Fetch-Site"] = []string{evil}
		r.URL.Path = "/" + evil
		chainServe(e, r)
		r = chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil)
		r.Host, r.Method = evil, evil
		chainServe(e, r)
	}
	assert.Equal(t, strings.Count(text.String(), "time="), strings.Count(text.String(), "\n"))
	for _, bad := range []string{"\x1b", "\u2028", "\xff", "\nlevel=", `msg="pwned`} {
		assert.NotContains(t, text.String(), bad)
		assert.NotContains(t, object.String(), bad)
	}
	for line := range strings.Lines(object.String()) {
		assert.NoError(t, json.Unmarshal([]byte(line), new(map[string]any)), line)
	}
}

// Nothing that a client made up makes a line long or illegible, whatever writes it.
func TestLogLinesAreShort(t *testing.T) {
	e, log := chainEnforcer(t, redirect.Config{})
	long := strings.Repeat("\x1b\nä\xff", 600)
	r := chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil, "Sec-Fetch-Site", long, "Sec-Fetch-Dest", long)
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Port", "Cf-Visitor", "X-Arr-Ssl", "Forwarded", "X-Scheme", "X-Forwarded-Ssl"} {
		for range 50 {
			r.Header.Add(name, `https,443,on,"https",proto=https,`+long)
		}
	}
	r.URL.Path = "/" + long
	chainServe(e, r)
	r = chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil)
	r.Host, r.Method = long, long
	chainServe(e, r)
	require.GreaterOrEqual(t, log.size(), 2)
	for _, line := range log.since(0) {
		for key, value := range line.attrs {
			assert.Less(t, len(value.String()), 8<<10, key)
			if key == "signals" {
				assert.LessOrEqual(t, len(value.Any().([]redirect.Signal)), 13, "one for each kind")
				continue
			}
			assert.Less(t, len(value.String()), 700, key)
			assert.NotRegexp(t, "[^ -~…]", value.String(), key)
		}
		for _, s := range chainSignals(line) {
			assert.Less(t, len(s.Value), 600)
			assert.NotRegexp(t, "[^ -~…]", s.Value)
		}
	}
}

func chainSignals(line chainLine) []redirect.Signal {
	list, _ := line.attrs["signals"].Any().([]redirect.Signal)
	return list
}

// A logger that takes no INFO gets none, and none is lost that it takes.
func TestLogLevelOff(t *testing.T) {
	var text bytes.Buffer
	e := redirect.Must(redirect.New(redirect.Config{
		Canonical: chainHost, Logger: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}))
	chainServe(e, chainRequest("GET", "http://evil.example/", "198.51.100.1:1", nil))
	chainServe(e, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil))
	assert.Empty(t, text.String())
	chainServe(e, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil, "X-Forwarded-Proto", "https"))
	assert.Equal(t, 1, strings.Count(text.String(), "level=ERROR"))
}

// OnDecision sees what Decide says, before the answer, with the request as it is.
func TestLogOnDecision(t *testing.T) {
	type one struct {
		r *http.Request
		d redirect.Decision
	}
	var calls []one
	e, _ := chainEnforcer(t, redirect.Config{OnDecision: func(r *http.Request, d redirect.Decision) { calls = append(calls, one{r, d}) }})
	requests := []*http.Request{
		chainRequest("GET", "http://"+chainHost+"/a", "198.51.100.1:1", nil, chainBrowserHeader...),
		chainRequest("GET", "http://evil.example/", "198.51.100.1:1", nil),
		chainRequest("POST", "http://"+chainHost+"/a", "198.51.100.1:1", nil, "Authorization", "Basic x"),
		chainRequest("GET", "http://"+chainHost+"/a", "198.51.100.1:1", nil, "Cookie", chainMarker+"=1"),
	}
	for i, r := range requests {
		want := e.Decide(r)
		chainServe(e, r)
		require.Len(t, calls, i+1)
		assert.Same(t, r, calls[i].r)
		assert.Equal(t, want, calls[i].d)
	}
	assert.Equal(t, redirect.Strong, calls[0].d.Signals[0].Strength)
	assert.Equal(t, map[redirect.Reason]uint64{
		redirect.ReasonRedirected: 1, redirect.ReasonUnknownHost: 1, redirect.ReasonPreserved: 1, redirect.ReasonLoopBroken: 1, redirect.ReasonLoopSuspected: 1,
	}, e.Stats(), "Decide counts nothing")
	text, err := json.Marshal(e.Stats())
	require.NoError(t, err)
	assert.JSONEq(t, `{"redirected":1,"unknown_host":1,"preserved":1,"loop_broken":1,"loop_suspected":1}`, string(text))
}

// Stats is the caller's own.
func TestLogStatsAreACopy(t *testing.T) {
	e, _ := chainEnforcer(t, redirect.Config{})
	assert.Empty(t, e.Stats())
	chainServe(e, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil))
	e.Stats()[redirect.ReasonRedirected] = 99
	assert.Equal(t, map[redirect.Reason]uint64{redirect.ReasonRedirected: 1}, e.Stats())
}
