package proxy

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/knownhops/knownhops/internal/conferr"
	"github.com/knownhops/knownhops/internal/hostport"
)

// An upstream is one place where requests go, with what is known of it. All
// above fleet is constant once New has returned.
type upstream struct {
	name          string // as configured
	scheme        string // "http", "https" or "h2c"
	network, addr string // what is dialled: "tcp" and "127.0.0.1:8080", or "unix" and a path
	host          string // the authority of its URLs, and Host under RewriteHost
	seed          uint64 // for ClientHash
	carrier       carrier
	fleet         *fleet

	phase    atomic.Pointer[phase] // nil: it has its full share
	inFlight atomic.Int64
	ended    atomic.Uint64
	failures atomic.Uint64
	bad      atomic.Int64 // failures in a row
	worked   atomic.Bool  // an exchange was good once

	health health // guarded by fleet.mu
}

// take counts a request in flight, unless there are limit of them already; a
// limit that is not positive is none.
func (u *upstream) take(limit int64) bool {
	if n := u.inFlight.Add(1); limit > 0 && n > limit {
		u.inFlight.Add(-1)
		return false
	}
	return true
}

// full reports whether take would refuse.
func (u *upstream) full(limit int64) bool { return limit > 0 && u.inFlight.Load() >= limit }

// parseUpstreams reads Config.Upstreams and adds its mistakes to errs. What it
// returns are the good ones.
func parseUpstreams(errs *conferr.Errors, list []string) (ups []*upstream) {
	if len(list) == 0 {
		errs.Add("Upstreams", "", "there is none", `name one, like "http://127.0.0.1:8080"`)
	}
	seen := map[string]int{}
	for i, text := range list {
		field := fmt.Sprintf("Upstreams[%d]", i)
		u, reason, fix := parseUpstream(text)
		if reason != "" {
			errs.Add(field, withoutSecrets(text), reason, fix)
			continue
		}
		key := u.network + " " + strings.Replace(u.addr, ".:", ":", 1)
		if other, ok := seen[key]; ok {
			errs.Add(field, text, fmt.Sprintf("the same address as Upstreams[%d]", other), "name each upstream once")
			continue
		}
		seen[key] = i
		ups = append(ups, u)
	}
	return ups
}

// parseUpstream reads one upstream; reason says what is wrong with it, if
// anything, and fix what to write.
func parseUpstream(text string) (u *upstream, reason, fix string) {
	u = &upstream{name: text}
	if file, ok := strings.CutPrefix(text, "unix:"); ok {
		reason, fix = u.parseUnix(file)
	} else {
		reason, fix = u.parseURL(text)
	}
	h := fnv.New64a()
	h.Write([]byte(u.network + " " + u.addr))
	u.seed = h.Sum64()
	return u, reason, fix
}

// maxSocketPath is the longest path of a unix socket on Linux (unix(7): 108
// bytes with the zero at the end).
const maxSocketPath = 107

func (u *upstream) parseUnix(file string) (reason, fix string) {
	switch {
	case strings.HasPrefix(file, "//"):
		return "a socket is named by its path, not by a URL", `write "unix:/` + strings.TrimLeft(file, "/") + `"`
	case !strings.HasPrefix(file, "/"):
		return "the path of a socket must be absolute", `write it like "unix:/run/app.sock"`
	case len(file) > maxSocketPath:
		return fmt.Sprintf("longer than the %d bytes that the path of a socket may have", maxSocketPath), "use a shorter path"
	case strings.ContainsFunc(file, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "a control character in the path", `write it like "unix:/run/app.sock"`
	}
	u.scheme, u.network, u.addr, u.host = "http", "unix", path.Clean(file), "localhost"
	return "", ""
}

// defaultPort is 0 for what is no scheme of an upstream.
func defaultPort(scheme string) uint16 {
	switch scheme {
	case "http", "h2c":
		return 80
	case "https":
		return 443
	}
	return 0
}

func (u *upstream) parseURL(text string) (reason, fix string) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return "no scheme", missingScheme(text)
	}
	u.scheme = strings.ToLower(scheme)
	port := defaultPort(u.scheme)
	if port == 0 {
		return "an unknown scheme", `use "http://", "https://", "h2c://" or "unix:"`
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return beyondHost(rest[i:], withoutSecrets(scheme+"://"+rest[:i]))
	}
	if strings.Contains(rest, "@") {
		return "credentials do not belong into an address", "remove them, and let the application's own configuration hold them"
	}
	return u.parseAuthority(rest, port)
}

func missingScheme(text string) string {
	if _, _, ok := hostport.ParseHost(text); ok {
		return `write "http://` + text + `"`
	}
	return `write it like "http://127.0.0.1:8080"`
}

// beyondHost refuses what follows the host.
func beyondHost(rest, base string) (reason, fix string) {
	switch {
	case rest == "/":
		return "a slash at the end", `write "` + base + `": paths are passed on as they are`
	case rest[0] == '/':
		return "an upstream has no path", `write "` + base + `", and wrap the proxy in StripPrefix to take a prefix off`
	case rest[0] == '?':
		return "an upstream has no query", `write "` + base + `": the client's query is passed on as it is`
	}
	return "an upstream has no fragment", `write "` + base + `"`
}

// parseAuthority reads host and port. A name keeps the dot at its end for
// dialling, where it means that no search domain is tried.
func (u *upstream) parseAuthority(text string, byDefault uint16) (reason, fix string) {
	host, port, ok := hostport.ParseHost(text)
	if !ok {
		return badAuthority(text)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsUnspecified() {
		return "an address to listen on, not one to connect to", "write 127.0.0.1 or [::1]"
	}
	u.host = host
	if strings.Contains(host, ":") {
		u.host = "[" + host + "]"
	}
	if port != 0 && port != byDefault {
		u.host += ":" + strconv.Itoa(int(port))
	}
	if port == 0 {
		port = byDefault
	}
	if name, _, _ := strings.Cut(text, ":"); strings.HasSuffix(name, ".") {
		host += "."
	}
	u.network, u.addr = "tcp", net.JoinHostPort(host, strconv.Itoa(int(port)))
	return "", ""
}

func badAuthority(text string) (reason, fix string) {
	if text == "" || strings.LastIndexByte(text, ':') == 0 {
		return "no host", `write one, like "127.0.0.1` + text + `"`
	}
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		if _, ok := hostport.ParsePort(text[i+1:]); !ok {
			return "not a port", "write a number from 1 to 65535"
		}
	}
	return "not a host", `write a name or an address, like "127.0.0.1:8080" or "[::1]:8080"`
}

// withoutSecrets is what of a refused upstream may be shown: users, passwords
// and queries may be secret.
func withoutSecrets(text string) string {
	text, _, query := strings.Cut(text, "?")
	if query {
		text += "?…"
	}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		scheme, _, ok := strings.Cut(text[:i], "://")
		if ok {
			scheme += "://"
		} else {
			scheme = ""
		}
		text = scheme + "…" + text[i:]
	}
	return text
}
