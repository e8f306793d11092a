package albtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// silent is a TB without Logf, which keeps what it is told.
type silent struct{ errs, fatal []string }

func (s *silent) Helper()        {}
func (s *silent) Cleanup(func()) {}
func (s *silent) Errorf(format string, args ...any) {
	s.errs = append(s.errs, fmt.Sprintf(format, args...))
}
func (s *silent) Fatalf(format string, args ...any) {
	s.fatal = append(s.fatal, fmt.Sprintf(format, args...))
}

// recorder is one with Logf.
type recorder struct {
	silent
	logs []string
}

func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

var rowName = regexp.MustCompile(`^albtest: Audit: row "([^"]+)": `)

// rows are the names of those that failed. Each error names one.
func (s *silent) rows(t *testing.T) (names []string) {
	t.Helper()
	require.Empty(t, s.fatal)
	for _, e := range s.errs {
		found := rowName.FindStringSubmatch(e)
		require.NotNil(t, found, "an error that names no row: %s", e)
		names = append(names, found[1])
	}
	return names
}

func TestAuditPassesWhatIsRight(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	albtest.Audit(t, right(), albtest.AuditSpec{Client: told})
	albtest.Audit(t, right(), albtest.AuditSpec{})
	tunnels := &recorder{}
	albtest.Audit(tunnels, upgrades(func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		return origin == "" || origin == "https://"+r.Host
	})(right()), albtest.AuditSpec{Client: told})
	assert.Empty(t, tunnels.errs)
	assert.Empty(t, tunnels.logs, "nothing is skipped")
	albtest.Audit(t, upgrades(func(*http.Request) bool { return true })(right()), albtest.AuditSpec{Client: told})
	nothingLeft(t, goroutines)
}

// Who turns forged requests down is right, too.
func TestAuditPassesWhoRefuses(t *testing.T) {
	strict := before(func(w http.ResponseWriter, r *http.Request) bool {
		odd := len(entries(r)) > 1 || len(r.Header["X-Forwarded-For"]) > 1
		for name := range r.Header {
			switch name {
			case "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Amzn-Trace-Id", "User-Agent", "Accept-Encoding":
			case "Connection":
				odd = odd || r.Header.Get(name) != "close"
			default:
				odd = true
			}
		}
		if odd {
			w.WriteHeader(http.StatusBadRequest)
		}
		return odd
	})
	r := &recorder{}
	albtest.Audit(r, strict(right()), albtest.AuditSpec{Client: told})
	assert.Empty(t, r.errs)
}

// nothingLeft waits for the goroutines that were not there before to end.
func nothingLeft(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// A service with names, paths and a health check of its own, and this module's
// proxy in front of it.
func TestAuditOfAChain(t *testing.T) {
	const host = "shop.example.org"
	alb := forwarded.ALB(albtest.Subnets()...)
	outer := forwarded.Must(forwarded.New(forwarded.Config{Hops: []forwarded.Hop{alb}, Hosts: []string{host}, Logger: quiet()}))
	inner := forwarded.Must(forwarded.New(forwarded.Config{
		Hops: []forwarded.Hop{forwarded.Proxy("127.0.0.1"), alb}, Hosts: []string{host}, Logger: quiet(),
	}))
	app := httptest.NewServer(inner.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := forwarded.From(r)
		switch {
		case r.URL.Path == "/healthz":
			_, _ = io.WriteString(w, "healthy")
		case info.Host == "":
			w.WriteHeader(http.StatusMisdirectedRequest)
		case info.Scheme != forwarded.HTTPS:
			leads(w, "https://"+host+r.URL.RequestURI())
		default:
			w.Header().Set(believedHeader, info.Client.String())
		}
	})))
	defer app.Close()
	front, err := proxy.New(proxy.Config{Upstreams: []string{app.URL}, Policy: outer, Logger: quiet()})
	require.NoError(t, err)
	albtest.Audit(t, front, albtest.AuditSpec{Host: host, HealthPath: "/healthz?deep=0", Path: "/shop?page=1", Client: told})
	require.NoError(t, front.Shutdown(t.Context()))
}

// Every mistake is found, by the rows that are about it and by no others; and
// there is a mistake for every row.
func TestAuditFindsMistakes(t *testing.T) {
	found := map[string]bool{}
	for _, m := range mistakes {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			r := &recorder{}
			albtest.Audit(r, m.make(right()), albtest.AuditSpec{Client: told})
			rows := r.rows(t)
			assert.ElementsMatch(t, matching(m.rows), rows)
			for _, name := range rows {
				found[name] = true
			}
		})
	}
	for _, name := range albtest.AuditRowNames() {
		assert.True(t, found[name], "no mistake makes %s fail", name)
	}
}

// matching are the names of the rows that the patterns mean.
func matching(patterns []string) (names []string) {
	for _, name := range albtest.AuditRowNames() {
		meant := false
		for _, p := range patterns {
			p, out := strings.CutPrefix(p, "-")
			front, back, any := strings.Cut(p, "*")
			if name == p || any && strings.HasPrefix(name, front) && strings.HasSuffix(name, back) {
				meant = !out
			}
		}
		if meant {
			names = append(names, name)
		}
	}
	return names
}

func TestAuditRowNamesAreUnique(t *testing.T) {
	names := albtest.AuditRowNames()
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(names))), len(names))
	for _, name := range names {
		assert.Regexp(t, `^[a-z]+/[a-z0-9_.-]+$`, name)
	}
}

func believingRealIP(s service) service {
	right := s.client
	s.client = func(r *http.Request) netip.Addr {
		if a := addr(r.Header.Get("X-Real-IP")); a.IsValid() {
			return a
		}
		return right(r)
	}
	return s
}

func TestAuditSays(t *testing.T) {
	r := &recorder{}
	albtest.Audit(r, believingRealIP(right()), albtest.AuditSpec{Client: told})
	require.NotEmpty(t, r.errs)
	assert.Equal(t, `albtest: Audit: row "client/x-real-ip": the service takes the client for 192.0.2.66, which is not who connected to the balancer; without what is forged, for 203.0.113.10, who it is
	sent over https through the balancer: GET / HTTP/1.1 | Host: www.example.com | Connection: close | X-Real-IP: 192.0.2.66
	got: 200 OK
	why it matters: allow-lists, rate limits and logs go by the client's address; whoever can write it chooses what applies to him
	what to change: read no header but X-Forwarded-For: the balancer passes every other one on as the client wrote it`, r.errs[0])
}

func TestAuditFollowsRedirects(t *testing.T) {
	for want, to := range map[string]func(*http.Request) string{
		"the redirects go round in a circle, by https://www.example.com/": func(r *http.Request) string {
			return map[string]string{"/": "/b", "/b": "https://www.example.com:443/c", "/c": "/"}[r.URL.Path]
		},
		"after 20 redirects there is another one": func(r *http.Request) string { return r.URL.Path + "a" },
	} {
		r := &recorder{}
		albtest.Audit(r, before(func(w http.ResponseWriter, r *http.Request) bool {
			return strings.Trim(r.URL.Path, "abc") == "/" && leads(w, to(r))
		})(right()), albtest.AuditSpec{})
		require.Equal(t, []string{"answer/loop-https", "answer/loop-http"}, r.rows(t))
		assert.Contains(t, r.errs[0], `row "answer/loop-https": `+want)
	}
}

func TestAuditAllow(t *testing.T) {
	known := []string{"client/x-real-ip", "mode/silent-other-headers", "direct/other-headers"}
	albtest.Audit(t, believingRealIP(right()), albtest.AuditSpec{Client: told, Allow: known})

	r := &recorder{}
	albtest.Audit(r, believingRealIP(right()), albtest.AuditSpec{
		Client: told, Allow: append(known, "client/plain", "client/nonsense", "client/nonsense", "websocket/origin"),
	})
	assert.Equal(t, []string{
		`albtest: Audit: row "client/plain" is in AuditSpec.Allow, but passes: take it out`,
		`albtest: Audit: AuditSpec.Allow has "client/nonsense", which is the name of no row`,
	}, r.errs, "a row that is skipped is no mistake in the list")
}

func TestAuditSkips(t *testing.T) {
	r := &recorder{}
	albtest.Audit(r, believingRealIP(right()), albtest.AuditSpec{})
	assert.Empty(t, r.errs, "nobody says who the client is")
	require.Len(t, r.logs, 1)
	assert.Contains(t, r.logs[0], "\nAuditSpec.Client is nil: client/plain, client/ipv6, ")
	assert.Contains(t, r.logs[0], "\nAuditSpec.Path takes no WebSocket: websocket/origin, websocket/foreign-origin")
	assert.NotContains(t, r.logs[0], "host/")

	s := &silent{}
	wrong := right()
	wrong.health = func(*http.Request) bool { return false }
	albtest.Audit(s, wrong, albtest.AuditSpec{})
	require.NotEmpty(t, s.errs)
	assert.Contains(t, s.errs[0], "\nskipped rows:\nAuditSpec.Client is nil: client/plain, ")
	assert.NotContains(t, s.errs[1], "skipped rows")
}

func TestAuditSpecMistakes(t *testing.T) {
	for want, spec := range map[string]albtest.AuditSpec{
		`albtest: Audit: AuditSpec.Host "www.example.com:443" is not a host name without a port`:                 {Host: "www.example.com:443"},
		`albtest: Audit: AuditSpec.Host "192.0.2.1" is not a host name without a port`:                           {Host: "192.0.2.1"},
		`albtest: Audit: AuditSpec.Path "index.html" is not a path that begins with a slash`:                     {Path: "index.html"},
		`albtest: Audit: AuditSpec.HealthPath "/health check" is not a path that begins with a slash`:            {HealthPath: "/health check"},
		`albtest: Audit: AuditSpec.Path "/\r\nX: y" is not a path that begins with a slash`:                      {Path: "/\r\nX: y"},
		`albtest: Audit: AuditSpec.HealthPath "https://www.example.com/" is not a path that begins with a slash`: {HealthPath: "https://www.example.com/"},
	} {
		s := &silent{}
		albtest.Audit(s, right(), spec)
		assert.Equal(t, []string{want}, s.fatal)
		assert.Empty(t, s.errs)
	}
	s := &silent{}
	albtest.Audit(s, nil, albtest.AuditSpec{})
	assert.Equal(t, []string{"albtest: Audit: the service is nil"}, s.fatal)
}

// A service that hangs is one that does not answer; virtual time finds out at
// once.
func TestAuditOfAServiceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		hangs := before(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("X-Real-IP") != "" {
				<-r.Context().Done()
			}
			return false
		})
		albtest.Audit(r, hangs(right()), albtest.AuditSpec{Client: told})
		assert.Contains(t, r.rows(t), "client/x-real-ip")
		assert.Contains(t, r.errs[0], "there is no answer")
		assert.NotContains(t, r.rows(t), "client/true-client-ip")
	})
}
