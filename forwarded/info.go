package forwarded

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
)

// Info is what is known about a request, and how well. It is a comparable
// value; the zero Info means that no Policy ran. What is not known is the
// zero value of its field and never a guess: the address of a proxy is not
// handed out as the client's, and an unknown scheme is not http.
type Info struct {
	Client   netip.Addr     // the client, unmapped and without zone; invalid: unknown
	ClientID string         // "unknown" or an obfuscated "_name" (RFC 7239 §6), when that is what the hop said
	Host     string         // the host that the client asked for: lower case, validated, no port; "": unknown or not in Config.Hosts
	Prefix   string         // the path prefix that a hop took off, like "/api"; "": none
	Peer     netip.AddrPort // the other end of the socket, unmapped; under a PROXY header: the balancer. Invalid for a unix socket
	Hops     int            // trusted hops consumed

	ClientPort uint16 // the client's own port; 0: unknown
	Port       uint16 // the port that the client connected to; 0: unknown
	Scheme     Scheme // the scheme that the client used
	Complete   bool   // at least one hop is declared, and all of them were consumed
	Status     Status // how much is known of the client
	Reason     Reason // why; never zero once a Policy ran

	SchemeReason Reason // why the scheme is unknown; zero when it is known
	HostReason   Reason // why Host is not what was sent; zero when it is
}

// Scheme is what the client used, or that nobody knows. The zero value is
// SchemeUnknown, which is not http: a redirect must not act on it.
type Scheme uint8

// The schemes.
const (
	SchemeUnknown Scheme = iota
	HTTP
	HTTPS
)

var schemeNames = [...]string{"unknown", "http", "https"}

// String is "unknown", "http" or "https".
func (s Scheme) String() string { return nameOf(schemeNames[:], int(s)) }

// MarshalText is String.
func (s Scheme) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Scheme) defaultPort() uint16 {
	return [...]uint16{SchemeUnknown: 0, HTTP: 80, HTTPS: 443}[s]
}

// Status tells how much is known of the client.
type Status uint8

// The statuses.
const (
	StatusNone      Status = iota // no Policy ran
	StatusDirect                  // no trusted hop: the socket's other end is the client
	StatusLocal                   // the nearest hop spoke for itself: a health check
	StatusForwarded               // the client came through Hops trusted hops
	StatusUnknown                 // the client cannot be known; Reason says why
)

var statusNames = [...]string{"none", "direct", "local", "forwarded", "unknown"}

// String is the status in one lower-case word.
func (s Status) String() string { return nameOf(statusNames[:], int(s)) }

// MarshalText is String.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "invalid"
}

// From returns what a Policy's Wrap found out about r, or the zero Info
// (StatusNone) if none ran.
func From(r *http.Request) Info {
	info, ok := r.Context().Value(infoKey{}).(*Info)
	if !ok {
		return Info{}
	}
	return *info
}

// URL returns the absolute URL that the client used: its scheme, host and
// port (left out where it is the scheme's default or unknown), the prefix
// that a hop took off, and r's path and query. A port that no hop vouches for
// is unknown even if the Host header had one: internal ports must not leak.
// What a router inside Wrap took off the path (http.StripPrefix) is missing. It
// is nil unless scheme and
// host are known, and for requests whose target is no path (CONNECT,
// "OPTIONS *").
func (i Info) URL(r *http.Request) *url.URL {
	if i.Scheme == SchemeUnknown || i.Host == "" || r.URL == nil || r.URL.Opaque != "" || !startsWithSlash(r.URL.Path) {
		return nil
	}
	u := &url.URL{
		Scheme: i.Scheme.String(), Host: i.authority(),
		Path: i.Prefix + r.URL.Path, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery,
	}
	if r.URL.RawPath != "" {
		u.RawPath = i.Prefix + r.URL.RawPath
	}
	return u
}

func startsWithSlash(path string) bool { return path != "" && path[0] == '/' }

func (i Info) authority() string {
	if i.Port == 0 || i.Port == i.Scheme.defaultPort() {
		return bracket(i.Host)
	}
	return joinHostPort(i.Host, i.Port)
}

// ClientIn reports whether the client is known and lies in one of prefixes.
// An unknown client lies in none, so allow-lists fail closed. IPv4-mapped
// prefixes of 96 bits and more count as IPv4; others that are not valid hold
// nobody.
func (i Info) ClientIn(prefixes ...netip.Prefix) bool {
	for _, p := range prefixes {
		if p, ok := plainPrefix(p); ok && p.Contains(i.Client.Unmap()) {
			return true
		}
	}
	return false
}

// ClientNotIn reports whether the client is known and lies in none of
// prefixes. For an unknown client, or with a prefix that is not valid, it is
// false, so deny-lists fail closed too.
func (i Info) ClientNotIn(prefixes ...netip.Prefix) bool {
	for _, p := range prefixes {
		if _, ok := plainPrefix(p); !ok {
			return false
		}
	}
	return i.Client.IsValid() && !i.ClientIn(prefixes...)
}

// plainPrefix turns an IPv4-mapped prefix into the IPv4 one. A shorter one
// than /96 holds far more than it looks like, and is refused.
func plainPrefix(p netip.Prefix) (netip.Prefix, bool) {
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, p.IsValid()
}

// LogValue is a group of the fields that are known.
func (i Info) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("status", i.Status.String()), slog.String("reason", i.Reason.String())}
	add := func(known bool, key string, value any) {
		if known {
			attrs = append(attrs, slog.Any(key, value))
		}
	}
	add(i.Client.IsValid(), "client", i.Client)
	add(i.ClientID != "", "client_id", i.ClientID)
	add(i.Scheme != SchemeUnknown, "scheme", i.Scheme.String())
	add(i.SchemeReason != 0, "scheme_reason", i.SchemeReason.String())
	add(i.Host != "", "host", i.Host)
	add(i.HostReason != 0, "host_reason", i.HostReason.String())
	add(i.Port != 0, "port", i.Port)
	add(i.Prefix != "", "prefix", i.Prefix)
	add(i.Peer.IsValid(), "peer", i.Peer)
	add(i.Hops != 0, "hops", i.Hops)
	return slog.GroupValue(attrs...)
}
