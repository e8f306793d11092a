package albtest_test

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// recorder is a TB that keeps what it is told.
type recorder struct {
	errs, fatal, logs []string
}

func (r *recorder) Helper()        {}
func (r *recorder) Cleanup(func()) {}
func (r *recorder) Errorf(format string, args ...any) {
	r.errs = append(r.errs, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = append(r.fatal, fmt.Sprintf(format, args...))
}
func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

var rowName = regexp.MustCompile(`^albtest: Audit: row "([^"]+)": `)

// rows are the names of those that failed.
func (r *recorder) rows(t *testing.T) (names []string) {
	for _, e := range r.errs {
		found := rowName.FindStringSubmatch(e)
		if found == nil {
			t.Fatalf("an error that names no row: %s", e)
		}
		names = append(names, found[1])
	}
	return names
}

const believedHeader = "X-Believed-Client"

// told is AuditSpec.Client for the services of these tests.
func told(resp *http.Response) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(resp.Header.Get(believedHeader))
	return addr, err == nil
}

// service is a service that is put together from one right or wrong answer to
// each question.
type service struct {
	client func(*http.Request) netip.Addr
	https  func(*http.Request) bool
	host   func(*http.Request) string // empty: refuse
	health func(*http.Request) bool
	port   string
}

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.health(r) {
		_, _ = io.WriteString(w, "healthy")
		return
	}
	if c := s.client(r); c.IsValid() {
		w.Header().Set(believedHeader, c.String())
	}
	host := s.host(r)
	switch {
	case host == "":
		http.Error(w, "no such host", http.StatusMisdirectedRequest)
	case !s.https(r):
		w.Header().Set("Location", "https://"+host+s.port+r.URL.RequestURI())
		w.WriteHeader(http.StatusPermanentRedirect)
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

// right answers each question well, with package forwarded. It takes health
// checks at every path, and only those.
func right() service {
	policy := knowing()
	info := policy.Resolve
	return service{
		client: func(r *http.Request) netip.Addr { return info(r).Client },
		https:  func(r *http.Request) bool { return info(r).Scheme == forwarded.HTTPS },
		host:   func(r *http.Request) string { return info(r).Host },
		health: func(r *http.Request) bool { return info(r).Status == forwarded.StatusLocal },
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

// mistake is a service with one thing wrong, and the rows that say so.
type mistake struct {
	name string
	make func(*service)
	rows []string // "client/*" is every row of that kind, "-client/ipv6" none but this one
}

var mistakes = []mistake{
	{name: "nothing wrong", make: func(*service) {}},
	{
		name: "the leftmost entry of X-Forwarded-For",
		make: func(s *service) {
			s.client = func(r *http.Request) netip.Addr {
				first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
				return addr(first)
			}
		},
	},
	{
		name: "X-Real-IP",
		make: func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				if real := addr(r.Header.Get("X-Real-IP")); real.IsValid() {
					return real
				}
				return right(r)
			}
		},
	},
	{
		name: "the peer",
		make: func(s *service) { s.client = peer },
	},
	{
		name: "everybody's X-Forwarded-For",
		make: func(s *service) {
			s.client = func(r *http.Request) netip.Addr {
				list := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
				return addr(list[len(list)-1])
			}
		},
	},
	{
		name: "the first entry that is not trusted",
		make: func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				list := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
				for _, entry := range slices.Backward(list) {
					if a := addr(entry); a.IsValid() && !netip.MustParsePrefix(albtest.Subnets()[0]).Contains(a) {
						if right(r) == peer(r) {
							return peer(r)
						}
						return a
					}
				}
				return right(r)
			}
		},
	},
	{
		name: "headers of proxies, from anybody", // as a known middleware does it
		make: func(s *service) {
			s.client = func(r *http.Request) netip.Addr {
				if v := r.Header.Get("X-Forwarded-For"); v != "" {
					first, _, _ := strings.Cut(v, ", ")
					return addr(first)
				}
				if v := r.Header.Get("X-Real-IP"); v != "" {
					return addr(v)
				}
				if v := r.Header.Get("Forwarded"); v != "" {
					first, _, _ := strings.Cut(strings.TrimPrefix(v, "for="), ";")
					return addr(first)
				}
				return peer(r)
			}
			s.https = func(r *http.Request) bool {
				return cmp.Or(r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Scheme")) == "https"
			}
			s.host = func(r *http.Request) string { return cmp.Or(r.Header.Get("X-Forwarded-Host"), r.Host) }
		},
	},
	{
		name: "a redirect wherever the balancer did not write https",
		make: func(s *service) {
			s.https = func(r *http.Request) bool { return r.Header.Get("X-Forwarded-Proto") == "https" }
			s.host = func(r *http.Request) string { return r.Host }
		},
	},
	{
		name: "health checks are redirected",
		make: func(s *service) {
			s.health = func(*http.Request) bool { return false }
			right := s.host
			s.host = func(r *http.Request) string { return cmp.Or(right(r), albtest.DefaultHost) }
		},
	},
	{
		name: "health checks are refused for their host",
		make: func(s *service) { s.health = func(*http.Request) bool { return false } },
	},
	{
		name: "health checks by their User-Agent",
		make: func(s *service) {
			s.health = func(r *http.Request) bool { return strings.HasPrefix(r.UserAgent(), "ELB-HealthChecker/") }
		},
	},
	{
		name: "X-Forwarded-Host",
		make: func(s *service) {
			right := s.host
			s.host = func(r *http.Request) string { return cmp.Or(r.Header.Get("X-Forwarded-Host"), right(r)) }
		},
	},
	{
		name: "its own connection's scheme",
		make: func(s *service) { s.https = func(r *http.Request) bool { return r.TLS != nil } },
	},
	{
		name: "its own port",
		make: func(s *service) {
			s.https = func(r *http.Request) bool {
				s.port = r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
				s.port = s.port[strings.LastIndexByte(s.port, ':'):]
				return right().https(r)
			}
		},
	},
}

func TestX(t *testing.T) {
	for _, tc := range mistakes {
		s := right()
		tc.make(&s)
		r := &recorder{}
		albtest.Audit(r, s, albtest.AuditSpec{Client: told})
		for _, e := range r.errs {
			t.Log(e)
		}
		t.Logf("%s: %q %q", tc.name, r.rows(t), r.fatal)
	}
}
