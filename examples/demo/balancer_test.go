package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// target receives one request at a time from a balancer.
type target struct {
	*httptest.Server
	seen   *http.Request
	status int
}

func newTarget(t *testing.T) *target {
	g := &target{status: http.StatusOK}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.seen = r
		w.WriteHeader(g.status)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *target) balancer(t *testing.T) *balancer {
	b := newBalancer("", g.Listener.Addr().String(), &journal{}, slog.New(slog.DiscardHandler))
	t.Cleanup(b.stop)
	return b
}

// An ALB has an opinion about five headers and passes the rest.
func TestBalancerPasses(t *testing.T) {
	g := newTarget(t)
	r := httptest.NewRequest(http.MethodPost, "/path?a=1;b=2", strings.NewReader("body"))
	r.Host, r.RemoteAddr = "www.example.com", "192.0.2.1:4711"
	passed := map[string]string{
		"Forwarded": "for=6.6.6.6", "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "X-Real-Ip": "6.6.6.6",
		"X_forwarded_for": "7.7.7.7", "User-Agent": "me", "Cookie": "a=b",
	}
	for name, value := range passed {
		r.Header[name] = []string{value}
	}
	r.Header["X-Forwarded-For"] = []string{"6.6.6.6", "7.7.7.7"}
	r.Header.Set("X-Forwarded-Proto", "http")
	r.Header.Set("X-Forwarded-Port", "1")
	r.Header.Set("Connection", "close, X-Forwarded-For, X-Forwarded-Proto")
	w := httptest.NewRecorder()
	g.balancer(t).listener("https", 8443).ServeHTTP(w, r)

	passed["X-Forwarded-For"] = "6.6.6.6, 7.7.7.7, 192.0.2.1"
	passed["X-Forwarded-Proto"] = "https"
	passed["X-Forwarded-Port"] = "8443"
	for name, want := range passed {
		if got := strings.Join(g.seen.Header[name], " + "); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if g.seen.Host != "www.example.com:8443" || g.seen.RequestURI != "/path?a=1;b=2" || g.seen.Method != http.MethodPost {
		t.Errorf("%s %s at %s", g.seen.Method, g.seen.RequestURI, g.seen.Host)
	}
	for _, name := range []string{"Accept-Encoding", "Via"} {
		if got, ok := g.seen.Header[name]; ok {
			t.Errorf("%s: %q of its own", name, got)
		}
	}
}

func TestBalancerWithoutATarget(t *testing.T) {
	g := newTarget(t)
	b := g.balancer(t)
	g.Close()
	w := httptest.NewRecorder()
	b.listener("http", 80).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusBadGateway {
		t.Errorf("status %d", w.Code)
	}
	if err := b.watch(t.Context()); err == nil {
		t.Error("its health check succeeds")
	}
}

// A probe carries nothing that speaks of a client.
func TestProbe(t *testing.T) {
	g := newTarget(t)
	b := g.balancer(t)
	if err := b.probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := g.seen.Header; len(got) != 2 || got.Get("User-Agent") != "ELB-HealthChecker/2.0" || got.Get("Connection") != "close" {
		t.Errorf("header %v", got)
	}
	if g.seen.Host != g.Listener.Addr().String() || g.seen.URL.Path != probePath {
		t.Errorf("%s at %s", g.seen.URL, g.seen.Host)
	}
	g.status = http.StatusMovedPermanently
	if err := b.probe(t.Context()); err == nil || !strings.Contains(err.Error(), "[301]") {
		t.Errorf("301: %v", err)
	}
}

func TestHostHeader(t *testing.T) {
	for _, test := range []struct {
		host string
		port uint16
		want string
	}{
		{"example.com", 443, "example.com"},
		{"example.com:443", 443, "example.com"},
		{"example.com:8080", 80, "example.com"},
		{"example.com", 8443, "example.com:8443"},
		{"example.com:8443", 8443, "example.com:8443"},
		{"example.com:1", 8443, "example.com:1"},
	} {
		if got := hostHeader(test.host, test.port); got != test.want {
			t.Errorf("%s on %d: %s, not %s", test.host, test.port, got, test.want)
		}
	}
}

func TestTraceID(t *testing.T) {
	now := time.Unix(0x6b03276a, 0)
	for name, test := range map[string]struct {
		lines []string
		want  string
	}{
		"none":          {nil, `^Root=ID$`},
		"root":          {[]string{"Root=1-2-3"}, `^Self=ID;Root=1-2-3$`},
		"root and more": {[]string{"Root=1-2-3;CalledFrom=app"}, `^Self=ID;Root=1-2-3;CalledFrom=app$`},
		"forged self":   {[]string{"Self=1-2-4; Root=1-2-3"}, `^Self=ID;Root=1-2-3$`},
		"self alone":    {[]string{"Self=1-2-4"}, `^Root=ID$`},
		"two lines":     {[]string{"Root=1-2-3", "A=b"}, `^Self=ID;Root=1-2-3;A=b$`},
	} {
		pattern := regexp.MustCompile(strings.ReplaceAll(test.want, "ID", "1-6b03276a-[0-9a-f]{24}"))
		if got := traceID(test.lines, now); !pattern.MatchString(got) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
