package albtest_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
)

const believedHeader = "X-Believed-Client"

// told is AuditSpec.Client for the services of these tests.
func told(resp *http.Response) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(resp.Header.Get(believedHeader))
	return addr, err == nil
}

// service is put together from one right or wrong answer to each question.
type service struct {
	client func(*http.Request) netip.Addr
	https  func(*http.Request) bool
	host   func(*http.Request) string // empty: refuse
	health func(*http.Request) bool
	path   func(*http.Request) string
}

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.health(r) {
		_, _ = io.WriteString(w, "healthy")
		return
	}
	if c := s.client(r); c.IsValid() {
		w.Header().Set(believedHeader, c.String())
	}
	host, path := s.host(r), s.path(r)
	switch {
	case host == "":
		http.Error(w, "no such host", http.StatusMisdirectedRequest)
	case !s.https(r):
		w.Header().Set("Location", "https://"+host+path)
		w.WriteHeader(http.StatusPermanentRedirect)
	case path != "/":
		http.Error(w, "no such page", http.StatusNotFound)
	default:
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		fmt.Fprintf(w, `<a href="https://%s/">home</a>`, host)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// knowing is the policy of a service behind albtest.
func knowing() *forwarded.Policy {
	return forwarded.Must(forwarded.New(forwarded.Config{
		Hops: []forwarded.Hop{forwarded.ALB(albtest.Subnets()...)}, Hosts: []string{albtest.DefaultHost}, Logger: quiet(),
	}))
}

// right answers each question well, with package forwarded. It knows health
// checks by who sends them, at every path.
func right() service {
	policy := knowing()
	info := policy.Resolve
	return service{
		client: func(r *http.Request) netip.Addr { return info(r).Client },
		https:  func(r *http.Request) bool { return info(r).Scheme == forwarded.HTTPS },
		host:   func(r *http.Request) string { return info(r).Host },
		health: func(r *http.Request) bool { return info(r).Status == forwarded.StatusLocal },
		path:   func(r *http.Request) string { return r.URL.RequestURI() },
	}
}

// addr reads an address as trusting services do.
func addr(text string) netip.Addr {
	a, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil {
		at, _ := netip.ParseAddrPort(strings.TrimSpace(text))
		a = at.Addr()
	}
	return a
}

func peer(r *http.Request) netip.Addr { return netip.MustParseAddrPort(r.RemoteAddr).Addr() }
