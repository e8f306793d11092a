package albtest

import (
	"crypto/tls"
	"net/netip"
	"strings"
)

// field is one header line. A line that has no colon, or that continues the
// line before it, is kept as it came in raw, and has no name.
type field struct{ name, value, raw string }

// is compares names as HTTP does.
func (f field) is(name string) bool { return f.raw == "" && strings.EqualFold(f.name, name) }

// line is the field as it goes out. AWS: a folded line is not joined; the
// balancer adds a colon to it and routes it on.
func (f field) line() string {
	if f.raw != "" {
		return f.raw + ":\r\n"
	}
	return f.name + ": " + f.value + "\r\n"
}

// fields are header lines in their order.
type fields []field

// get returns the value of the first line with that name.
func (fs fields) get(name string) (string, bool) {
	for _, f := range fs {
		if f.is(name) {
			return f.value, true
		}
	}
	return "", false
}

// values returns the value of each line with that name.
func (fs fields) values(name string) []string {
	var list []string
	for _, f := range fs {
		if f.is(name) {
			list = append(list, f.value)
		}
	}
	return list
}

// has looks for a word in the comma-separated lists of that name.
func (fs fields) has(name, word string) bool {
	for _, value := range fs.values(name) {
		for item := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(item), word) {
				return true
			}
		}
	}
	return false
}

// without returns the lines that have none of the names.
func (fs fields) without(names ...string) fields {
	kept := make(fields, 0, len(fs))
	for _, f := range fs {
		if !anyName(f, names) {
			kept = append(kept, f)
		}
	}
	return kept
}

func anyName(f field, names []string) bool {
	for _, name := range names {
		if f.is(name) {
			return true
		}
	}
	return false
}

// text is the lines as they go out.
func (fs fields) text() string {
	var b strings.Builder
	for _, f := range fs {
		b.WriteString(f.line())
	}
	return b.String()
}

// origin is where a request came from: what is known before its first byte.
type origin struct {
	listener *listener
	client   netip.AddrPort
	node     netip.Addr
	tls      *tls.ConnectionState // nil: plain HTTP
}

// message is a request as it came in.
type message struct {
	origin
	head                    string // as it came, up to and with the empty line
	method, target, version string
	fields                  fields
	http2                   bool

	host  string // from Host, or the authority of an absolute target; with its port
	path  string // as it came
	query string // as it came, without the question mark
	asked bool   // the target had a question mark
	tier  tier
	cause string // AWS's word for the tier
}

// scheme is what the client speaks to the balancer.
func (m *message) scheme() string {
	if m.tls != nil {
		return "https"
	}
	return "http"
}

// upgrade reports whether the client wants to leave HTTP.
func (m *message) upgrade() bool {
	_, named := m.fields.get("Upgrade")
	return named && !m.http2 && m.version == "HTTP/1.1" && m.fields.has("Connection", "upgrade")
}

// keepAlive reports whether the client's connection can take another request.
func (m *message) keepAlive() bool {
	if m.version == "HTTP/1.0" {
		return m.fields.has("Connection", "keep-alive")
	}
	return !m.fields.has("Connection", "close")
}

// dnsName is the balancer's own, which stands in for the Host that a client of
// HTTP/1.0 left out.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/userguide/how-elastic-load-balancing-works.html#http-connections
const dnsName = "balancer.example.com"

// locate splits the request target. The authority of an absolute target wins
// over Host unless the host is preserved.
func (m *message) locate(preserveHost bool) {
	m.host, _ = m.fields.get("Host")
	if m.host == "" && m.version == "HTTP/1.0" {
		m.host = dnsName
	}
	rest := m.target
	if scheme, after, ok := strings.Cut(rest, "://"); ok && isWebScheme(scheme) {
		authority := after
		rest = "/"
		if i := strings.IndexAny(after, "/?"); i >= 0 {
			authority, rest = after[:i], after[i:]
		}
		if !preserveHost {
			m.host = authority
		}
		if strings.HasPrefix(rest, "?") {
			rest = "/" + rest
		}
	}
	m.path, m.query, m.asked = strings.Cut(rest, "?")
}

func isWebScheme(s string) bool { return strings.EqualFold(s, "http") || strings.EqualFold(s, "https") }

// uri is the request target in its origin form.
func (m *message) uri() string {
	if m.asked {
		return m.path + "?" + m.query
	}
	return m.path
}

// isGRPC reports whether the request is a call of gRPC.
func (m *message) isGRPC() bool {
	kind, _ := m.fields.get("Content-Type")
	return strings.HasPrefix(kind, "application/grpc")
}
