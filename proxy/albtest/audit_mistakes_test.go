package albtest_test

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/proxy/albtest"
)

// mistake is a service with one thing wrong.
type mistake struct {
	name string
	make func(service) http.Handler
	rows []string // those that say so, with * at the end for any; "-" takes some of them out again
}

// only makes a service of one that has something changed.
func only(change func(s *service)) func(service) http.Handler {
	return func(s service) http.Handler {
		change(&s)
		return s
	}
}

// before makes a service that does something first, and is done if it is.
func before(first func(w http.ResponseWriter, r *http.Request) (done bool)) func(service) http.Handler {
	return func(s service) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.health(r) || !first(w, r) {
				s.ServeHTTP(w, r)
			}
		})
	}
}

// entries of X-Forwarded-For.
func entries(r *http.Request) []string {
	return strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
}

// leads redirects.
func leads(w http.ResponseWriter, to string) bool {
	w.Header()["Location"] = []string{to}
	w.WriteHeader(http.StatusFound)
	return true
}

// everyLine is every value that a client can write, trailers included.
func everyLine(r *http.Request) (values []string) {
	_, _ = io.Copy(io.Discard, r.Body)
	for _, h := range []http.Header{r.Header, r.Trailer} {
		for name, v := range h {
			if name != "X-Forwarded-For" || len(r.Trailer) > 0 {
				values = append(values, v...)
			}
		}
	}
	return values
}

// upgrades takes a WebSocket if the page may open it.
func upgrades(may func(*http.Request) bool) func(service) http.Handler {
	return before(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Upgrade") == "" || !may(r) {
			return false
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		return true
	})
}

var forgedAddress = netip.MustParseAddr("192.0.2.66")

var mistakes = []mistake{
	{
		name: "believes the leftmost entry",
		make: only(func(s *service) {
			s.client = func(r *http.Request) netip.Addr { return addr(entries(r)[0]) }
		}),
		rows: []string{"client/in-subnets", "client/x-forwarded-for*", "-client/x-forwarded-for-trailer", "mode/client-port-forged", "direct/x-forwarded-for*"},
	},
	{
		name: "believes X-Real-IP",
		make: only(func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				if a := addr(r.Header.Get("X-Real-IP")); a.IsValid() {
					return a
				}
				return right(r)
			}
		}),
		rows: []string{"client/x-real-ip", "mode/silent-other-headers", "direct/other-headers"},
	},
	{
		name: "believes whatever header has an address",
		make: only(func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				if strings.Contains(strings.Join(everyLine(r), " "), forgedAddress.String()) {
					return forgedAddress
				}
				return right(r)
			}
		}),
		rows: []string{
			"client/*", "-client/plain", "-client/ipv6", "-client/in-subnets", "-client/x-forwarded-for*", "client/x-forwarded-for-trailer",
			"cdn/*-client", "mode/silent-other-headers", "direct/forwarded", "direct/other-headers",
		},
	},
	{
		name: "takes the peer for the client",
		make: only(func(s *service) { s.client = peer }),
		rows: []string{"client/plain", "client/ipv6", "mode/silent*", "mode/remove", "mode/client-port", "mode/client-port-ipv6"},
	},
	{
		name: "falls back on the peer",
		make: only(func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				if a := right(r); a.IsValid() {
					return a
				}
				return peer(r)
			}
		}),
		rows: []string{"mode/silent*", "mode/remove"},
	},
	{
		name: "believes everybody's last entry",
		make: only(func(s *service) {
			s.client = func(r *http.Request) netip.Addr { list := entries(r); return addr(list[len(list)-1]) }
		}),
		rows: []string{"direct/x-forwarded-for*"},
	},
	{
		name: "believes the first entry that it does not trust",
		make: only(func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				for _, entry := range slices.Backward(entries(r)) {
					if a := addr(entry); a.IsValid() && !trusted.Contains(a) && trusted.Contains(peer(r)) {
						return a
					}
				}
				return right(r)
			}
		}),
		rows: []string{"client/in-subnets"},
	},
	{
		name: "knows no addresses with ports",
		make: only(func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				if list := entries(r); addr(list[len(list)-1]).IsValid() && strings.ContainsAny(list[len(list)-1], "]:") {
					return netip.Addr{}
				}
				return right(r)
			}
		}),
		rows: []string{"client/ipv6", "mode/client-port", "mode/client-port-ipv6"},
	},
	{
		name: "believes the headers of every proxy, from everybody",
		make: only(func(s *service) {
			s.client = func(r *http.Request) netip.Addr {
				forwardedFor, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Forwarded"), "for="), ";")
				for _, text := range []string{entries(r)[0], r.Header.Get("X-Real-IP"), forwardedFor} {
					if text != "" {
						return addr(text)
					}
				}
				return peer(r)
			}
			s.https = func(r *http.Request) bool {
				return cmp.Or(r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Scheme")) == "https"
			}
			s.host = func(r *http.Request) string { return cmp.Or(r.Header.Get("X-Forwarded-Host"), r.Host) }
		}),
		rows: []string{
			"client/in-subnets", "client/x-forwarded-for*", "-client/x-forwarded-for-trailer",
			"mode/*", "-mode/client-port", "-mode/client-port-ipv6",
			"host/x-forwarded-host", "host/unknown", "host/suffix", "host/ip*", "host/absolute-form", "host/port",
			"direct/*", "-direct/plain", "-direct/x-forwarded-proto-list", "-direct/no-host",
		},
	},
	{
		name: "believes a scheme in any header",
		make: only(func(s *service) {
			right := s.https
			s.https = func(r *http.Request) bool {
				for name, values := range r.Header {
					value := strings.ToLower(values[0])
					switch {
					case name == "X-Forwarded-Proto", name == "X-Forwarded-Port", name == "User-Agent":
					case strings.Contains(value, "https"), value == "on", value == "443":
						return true
					case name == "X-Arr-Ssl", name == "Fastly-Ssl", name == "X-Amzn-Tls-Version":
						return true
					case strings.Contains(value, "http"):
						return false
					}
				}
				return right(r)
			}
		}),
		rows: []string{"scheme/*", "cdn/*-scheme"},
	},
	{
		name: "believes a host in any header",
		make: only(func(s *service) {
			right := s.host
			s.host = func(r *http.Request) string {
				for _, values := range r.Header {
					if strings.Contains(values[0], "evil.example") && right(r) != "" {
						return "evil.example"
					}
				}
				return right(r)
			}
		}),
		rows: []string{"host/x*", "-host/x-forwarded-prefix", "-host/x-original-url", "-host/x-rewrite-url", "host/forwarded", "direct/host-headers"},
	},
	{
		name: "makes links of X-Forwarded-Host",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			host := r.Header.Get("X-Forwarded-Host")
			if host != "" {
				fmt.Fprintf(w, `<a href="https://%s/">home</a>`, host)
			}
			return host != ""
		}),
		rows: []string{"host/x-forwarded-host", "direct/host-headers"},
	},
	{
		name: "sets cookies for X-Forwarded-Host",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			if host := r.Header.Get("X-Forwarded-Host"); host != "" {
				w.Header().Set("Set-Cookie", "a=b; Domain="+host)
			}
			return false
		}),
		rows: []string{"host/x-forwarded-host", "direct/host-headers"},
	},
	{
		name: "names X-Forwarded-Host in Link",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			if host := r.Header.Get("X-Forwarded-Host"); host != "" {
				w.Header().Set("Link", "<https://"+host+"/style.css>; rel=preload")
			}
			return false
		}),
		rows: []string{"host/x-forwarded-host", "direct/host-headers"},
	},
	{
		name: "promises https to who says that he uses it",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("X-Scheme") != "" {
				w.Header().Set("Strict-Transport-Security", "max-age=1")
			}
			return false
		}),
		rows: []string{"scheme/x-scheme"},
	},
	{
		name: "fails where the host is not its own",
		make: func(s service) http.Handler {
			return before(func(w http.ResponseWriter, r *http.Request) bool {
				if s.host(r) != "" {
					return false
				}
				w.WriteHeader(http.StatusInternalServerError)
				return true
			})(s)
		},
		rows: []string{"host/unknown", "host/suffix", "host/ip*", "host/absolute-form", "direct/ip*", "direct/no-host", "probe/look-alike-host", "probe/look-alike-direct"},
	},
	{
		name: "believes paths in headers",
		make: only(func(s *service) {
			right := s.path
			s.path = func(r *http.Request) string {
				path := cmp.Or(r.Header.Get("X-Original-URL"), r.Header.Get("X-Rewrite-URL"), right(r))
				return r.Header.Get("X-Forwarded-Prefix") + path
			}
		}),
		rows: []string{"host/x-forwarded-prefix", "host/x-original-url", "host/x-rewrite-url"},
	},
	{
		name: "redirects what is not https to whatever host",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			return !strings.HasPrefix(r.Header.Get("X-Forwarded-Proto"), "https") && leads(w, "https://"+r.Host+r.URL.RequestURI())
		}),
		rows: []string{"host/unknown", "host/suffix", "host/ip*", "host/absolute-form", "host/port", "direct/x-forwarded-proto*", "direct/ip*", "direct/no-host"},
	},
	{
		name: "compares hosts in exact case",
		make: only(func(s *service) {
			right := s.host
			s.host = func(r *http.Request) string {
				if r.Host != strings.ToLower(r.Host) {
					return ""
				}
				return right(r)
			}
		}),
		rows: []string{"answer/capitals"},
	},
	{
		name: "tells clients its own port",
		make: only(func(s *service) {
			right := s.host
			s.host = func(r *http.Request) string {
				host, local := right(r), r.Context().Value(http.LocalAddrContextKey).(net.Addr).(*net.TCPAddr)
				if host == "" || local.Port == 80 {
					return host
				}
				return fmt.Sprintf("%s:%d", host, local.Port)
			}
		}),
		rows: []string{"redirect/port"},
	},
	{
		name: "goes by the scheme of its own connection",
		make: only(func(s *service) { s.https = func(r *http.Request) bool { return r.TLS != nil } }),
		rows: []string{"answer/loop-*"},
	},
	{
		name: "redirects to decoded paths",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path != "/" && leads(w, r.URL.Path)
		}),
		rows: []string{"redirect/double-slash*", "redirect/triple-slash", "redirect/backslash*", "redirect/slash-encoded", "redirect/tab"},
	},
	{
		name: "takes dots out of paths",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			return strings.Contains(r.URL.Path, "/./") && leads(w, strings.ReplaceAll(r.URL.Path, "/./", "/"))
		}),
		rows: []string{"redirect/slash-dot"},
	},
	{
		name: "glues path to host",
		make: only(func(s *service) {
			s.path = func(r *http.Request) string { return strings.TrimPrefix(r.URL.RequestURI(), "/") }
		}),
		rows: []string{"redirect/at", "redirect/backslash*", "redirect/slash-encoded", "redirect/tab"},
	},
	{
		name: "writes line breaks into headers",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "\n") {
				return false
			}
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return false
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "+r.URL.Path+"\r\n\r\n")
			return true
		}),
		rows: []string{"redirect/line-break"},
	},
	{
		name: "redirects health checks",
		make: only(func(s *service) {
			right := s.host
			s.health = func(*http.Request) bool { return false }
			s.host = func(r *http.Request) string { return cmp.Or(right(r), albtest.DefaultHost) }
		}),
		rows: []string{"probe/*", "-probe/look-alike*"},
	},
	{
		name: "refuses health checks for their host",
		make: only(func(s *service) { s.health = func(*http.Request) bool { return false } }),
		rows: []string{"probe/*", "-probe/look-alike*"},
	},
	{
		name: "knows health checks by their User-Agent",
		make: only(func(s *service) {
			s.health = func(r *http.Request) bool { return strings.HasPrefix(r.UserAgent(), "ELB-HealthChecker/") }
		}),
		rows: []string{"probe/look-alike*"},
	},
	{
		name: "takes what has no X-Forwarded-For for internal",
		make: only(func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				if len(r.Header["X-Forwarded-For"]) == 0 {
					return netip.MustParseAddr("127.0.0.1")
				}
				return right(r)
			}
		}),
		rows: []string{"mode/silent*", "mode/remove", "direct/plain", "direct/forwarded", "direct/other-headers"},
	},
	{
		name: "removes what Connection nominates",
		make: func(s service) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name := range strings.SplitSeq(r.Header.Get("Connection"), ", ") {
					r.Header.Del(name)
				}
				s.ServeHTTP(w, r)
			})
		},
		rows: []string{"connection/*"},
	},
	{
		name: "fails on what it cannot read",
		make: before(func(_ http.ResponseWriter, r *http.Request) bool {
			if first := entries(r)[0]; first != "" && !addr(first).IsValid() {
				panic(http.ErrAbortHandler)
			}
			return false
		}),
		rows: []string{"client/x-forwarded-for-ipv6-brackets", "client/x-forwarded-for-garbage", "client/x-forwarded-for-quoted", "client/x-forwarded-for-unknown", "client/x-forwarded-for-long"},
	},
	{
		name: "fails always",
		make: before(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}),
		rows: []string{"answer/https", "client/plain", "client/ipv6", "mode/client-port", "mode/client-port-ipv6"},
	},
	{
		name: "does not know its own name",
		make: only(func(s *service) { s.host = func(*http.Request) string { return "" } }),
		rows: []string{"answer/https"},
	},
	{
		name: "reads the first line of X-Forwarded-For only",
		make: only(func(s *service) {
			right := s.client
			s.client = func(r *http.Request) netip.Addr {
				first := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
				if len(r.Header["X-Forwarded-For"]) > 1 && trusted.Contains(peer(r)) {
					return addr(first[len(first)-1])
				}
				return right(r)
			}
		}),
		rows: []string{"client/x-forwarded-for-lines"},
	},
	{
		name: "serves no clients of HTTP/2",
		make: before(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.UserAgent(), "Go-http-client/2") { // all others of an audit have none
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		}),
		rows: []string{"answer/http2"},
	},
	{
		name: "logs in whom a header names",
		make: before(func(_ http.ResponseWriter, r *http.Request) bool { return r.Header.Get("X-Remote-User") != "" }),
		rows: []string{"identity/forged"},
	},
	{
		name: "compares Origin with its own connection",
		make: upgrades(func(r *http.Request) bool {
			origin := r.Header.Get("Origin")
			return origin == "" || origin == "http://"+r.Host
		}),
		rows: []string{"websocket/origin"},
	},
	{
		name: "compares Origin with X-Forwarded-Host",
		make: upgrades(func(r *http.Request) bool {
			_, host, _ := strings.Cut(r.Header.Get("Origin"), "://")
			return host == "" || host == cmp.Or(r.Header.Get("X-Forwarded-Host"), r.Host)
		}),
		rows: []string{"websocket/foreign-origin"},
	},
}

var trusted = netip.MustParsePrefix(albtest.Subnets()[0])
