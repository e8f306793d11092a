package proxy

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/hostport"
)

// WriteHeaders makes out, the header of a request that is about to be sent,
// say about the client what info says, and nothing else. It is the reference
// for doing it right, and usable in any proxy:
//
//	rp := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
//		r.SetURL(upstream)
//		r.Out.Host = r.In.Host
//		proxy.WriteHeaders(r.Out.Header, r.In, forwarded.From(r.In), proxy.Headers{})
//	}}
//
// First the whole forwarding family with its aliases is deleted from out, but
// for the names in h.Keep if a trusted hop was consumed; the names that h has a
// mode for are deleted in any case. Then each of these is written from info, or
// stays away where info does not know it. Call it after hop-by-hop headers were
// removed, so that a client cannot nominate what is written.
//
// in is the request as [forwarded.Policy.Wrap] handed it on: of what its lists
// still hold, Append and Preserve pass on what trusted hops wrote. Nothing of
// in is changed, and in.RemoteAddr is not read. The zero Info (no Policy ran)
// makes the client "unknown".
//
// X-Forwarded-For is never left out where the client is unknown, in Set and
// Append: it says "unknown" then, since a next hop would take a request without
// it for the proxy's own. It has at most 30 entries, of which the leftmost go
// first: an AWS Application Load Balancer answers 463 to more.
func WriteHeaders(out http.Header, in *http.Request, info forwarded.Info, h Headers) {
	replaceFamily(out, in, &info, &h)
}

// The names of the headers that are written.
const (
	xForwardedFor    = "X-Forwarded-For"
	xForwardedProto  = "X-Forwarded-Proto"
	xForwardedHost   = "X-Forwarded-Host"
	xForwardedPort   = "X-Forwarded-Port"
	xForwardedPrefix = "X-Forwarded-Prefix"
	forwardedField   = "Forwarded"
	xRealIP          = "X-Real-Ip"
)

// unknownClient stands for a client that is not known, in all lists (RFC 7239
// §6.2).
const unknownClient = "unknown"

// maxForwardedFor is the number of entries above which an AWS Application Load
// Balancer answers 463.
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
const maxForwardedFor = 30

// replaceFamily is WriteHeaders. The text of all values goes through a buffer
// on the stack, which is why it is passed on and returned.
func replaceFamily(out http.Header, in *http.Request, info *forwarded.Info, h *Headers) {
	strip(out, info, h.Keep)
	var scratch [512]byte
	var f fields
	b := f.end(xForwardedFor, appendFor(scratch[:0], in, info, h.For))
	b = f.end(xForwardedProto, appendFact(b, xForwardedProto, in, info, h.Proto.or(Set)))
	b = f.end(xForwardedHost, appendFact(b, xForwardedHost, in, info, h.Host.or(Set)))
	b = f.end(xForwardedPort, appendFact(b, xForwardedPort, in, info, h.Port.or(Set)))
	b = f.end(xForwardedPrefix, appendFact(b, xForwardedPrefix, in, info, h.Prefix.or(Set)))
	b = f.end(xRealIP, appendFact(b, xRealIP, in, info, h.RealIP.or(Remove)))
	b = f.end(forwardedField, appendForwarded(b, in, info, h.Forwarded.or(Remove)))
	if signs(h.Via) {
		b = f.end("Via", appendVia(b, in, h.Via))
	}
	f.into(out, string(b))
}

// or is the mode, or def for Auto.
func (m Mode) or(def Mode) Mode {
	if m == Auto {
		return def
	}
	return m
}

// strip deletes the family, but for what may pass because a trusted hop stands
// for it. What has a mode of its own is deleted even then: a header that is
// managed must not stay as it came because there is nothing to write
// (CVE-2026-30851).
func strip(out http.Header, info *forwarded.Info, keep []string) {
	if info.Hops == 0 || len(keep) == 0 {
		forwarded.Strip(out, nil)
		return
	}
	kept := make(http.Header, len(keep))
	for _, name := range keep {
		name = http.CanonicalHeaderKey(name)
		if lines, ok := out[name]; ok && !isManaged(name) {
			kept[name] = lines
		}
	}
	forwarded.Strip(out, nil)
	maps.Copy(out, kept)
}

func isManaged(name string) bool {
	switch name {
	case xForwardedFor, xForwardedProto, xForwardedHost, xForwardedPort, xForwardedPrefix, forwardedField, xRealIP:
		return true
	}
	return false
}

// fields collects header fields whose values stand one behind the other in one
// text, so that all of them cost two allocations.
type fields struct {
	names [8]string
	ends  [8]int
	n     int
}

// end says that text, which it returns, ends with the value of a field; an
// empty value is none.
func (f *fields) end(name string, text []byte) []byte {
	if f.n == 0 && len(text) > 0 || f.n > 0 && len(text) > f.ends[f.n-1] {
		f.names[f.n], f.ends[f.n] = name, len(text)
		f.n++
	}
	return text
}

// into puts the fields into a header. Each slice of values is full, so that
// Header.Add cannot write into the next one's.
func (f *fields) into(out http.Header, text string) {
	values, start := make([]string, f.n), 0
	for i := range values {
		values[i] = text[start:f.ends[i]]
		out[f.names[i]] = values[i : i+1 : i+1]
		start = f.ends[i]
	}
}

// appendFact appends the value of a header that holds one fact, or nothing.
func appendFact(b []byte, name string, in *http.Request, info *forwarded.Info, mode Mode) []byte {
	switch mode {
	case Set, Append:
		return appendKnown(b, name, info)
	case Preserve:
		return appendLeft(b, name, in, info)
	}
	return b
}

// appendLeft passes on what forwarded left, as one line. Without a trusted hop
// there is nobody who could have written it.
func appendLeft(b []byte, name string, in *http.Request, info *forwarded.Info) []byte {
	if info.Hops == 0 {
		return b
	}
	return appendJoined(b, in.Header[name])
}

// appendKnown appends what is known, or nothing.
func appendKnown(b []byte, name string, info *forwarded.Info) []byte {
	switch name {
	case xForwardedProto:
		if info.Scheme != forwarded.SchemeUnknown {
			b = append(b, info.Scheme.String()...)
		}
	case xForwardedHost:
		b = appendAuthority(b, info)
	case xForwardedPort:
		if info.Port != 0 {
			b = strconv.AppendUint(b, uint64(info.Port), 10)
		}
	case xForwardedPrefix:
		b = append(b, info.Prefix...)
	case xRealIP:
		if info.Client.IsValid() {
			b = info.Client.AppendTo(b)
		}
	}
	return b
}

// appendFor appends the value of X-Forwarded-For. If nobody in front is
// trusted, the default is to set it.
func appendFor(b []byte, in *http.Request, info *forwarded.Info, mode Mode) []byte {
	switch {
	case mode == Preserve:
		return appendLeft(b, xForwardedFor, in, info)
	case mode == Set, mode == Auto && info.Hops == 0:
		return appendClient(b, info)
	case mode == Append, mode == Auto:
		return appendClients(b, in, info)
	}
	return b
}

func appendClient(b []byte, info *forwarded.Info) []byte {
	if !info.Client.IsValid() {
		return append(b, unknownClient...)
	}
	return info.Client.AppendTo(b)
}

// appendClients appends the list from the client to whom this proxy was spoken
// to by. A connection is named once: where no hop is in between, its other end
// is the client.
func appendClients(b []byte, in *http.Request, info *forwarded.Info) []byte {
	l := legOf(in, info)
	switch {
	case l.isClient:
		return l.from.Addr().AppendTo(b)
	case info.Client.IsValid():
		b = appendChain(b, in, info)
	default:
		b = append(b, unknownClient...)
	}
	if l.from.IsValid() {
		b = append(b, ", "...)
		b = l.from.Addr().AppendTo(b)
	}
	return b
}

// appendChain appends what forwarded left of the list: addresses, of which the
// first is the client's. Where a hop told of the client in another header, the
// list begins with that hop, and the client is put in front; but only a list
// that Wrap has cleaned can be taken for that. Of any other, nothing is used.
func appendChain(b []byte, in *http.Request, info *forwarded.Info) []byte {
	start, n := len(b), 0
	for item := range listed(in.Header[xForwardedFor]) {
		addr, _, ok := hostport.ParseAddr(item)
		switch begins := n > 0 || addr.WithZone("") == info.Client; {
		case !ok, !begins && !(info.Hops > 1 && isWrapped(in)):
			return appendClient(b[:start], info)
		case !begins:
			b = appendClient(b, info)
			n++
		}
		if n++; n > 1 {
			b = append(b, ", "...)
		}
		b = append(b, item...)
	}
	if n == 0 {
		return appendClient(b, info)
	}
	return dropEntries(b, start, n+1-maxForwardedFor)
}

// isWrapped reports whether a Policy has seen the request itself.
func isWrapped(in *http.Request) bool {
	_, ok := forwarded.FromContext(in.Context())
	return ok
}

// dropEntries deletes the first n entries of the list b[start:], if n is
// positive.
func dropEntries(b []byte, start, n int) []byte {
	end := start
	for ; n > 0; n-- {
		end += slices.Index(b[end:], ',') + len(", ")
	}
	return slices.Delete(b, start, end)
}

// appendJoined appends several lines as one list (RFC 9110 §5.3).
func appendJoined(b []byte, lines []string) []byte {
	for i, line := range lines {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, line...)
	}
	return b
}

// A leg is the connection that a request came on.
type leg struct {
	from     netip.AddrPort   // its other end; invalid for a unix socket, and where a balancer would pass for a client
	scheme   forwarded.Scheme // the one used on it, if known
	isClient bool             // its other end is the client, whom from holds then
}

// legOf takes the other end from the PROXY header if the first hop wrote one,
// and otherwise from the socket, as forwarded saw them.
func legOf(in *http.Request, info *forwarded.Info) leg {
	t, proxied := transportOf(in)
	switch {
	case info.Client.IsValid() && (info.Hops == 0 || info.Hops == 1 && proxied || info.Status == forwarded.StatusLocal):
		return leg{from: netip.AddrPortFrom(info.Client, info.ClientPort), scheme: info.Scheme, isClient: true}
	case proxied && info.Hops > 0 && !t.Local:
		return leg{from: plain(t.Source)} // which scheme another hop used to reach the balancer, nobody says
	case proxied, lacksPROXY(info): // a balancer that the next hop cannot see, and would take for the client
		return leg{}
	}
	return leg{from: plain(info.Peer), scheme: socketScheme(in)}
}

// plain is an address as lists hold it, or an invalid one if it is nobody's.
func plain(ap netip.AddrPort) netip.AddrPort {
	addr := ap.Addr().Unmap().WithZone("")
	if addr.IsUnspecified() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, ap.Port())
}

func transportOf(in *http.Request) (t forwarded.Transport, ok bool) {
	addr, ok := in.Context().Value(http.LocalAddrContextKey).(forwarded.TransportAddr)
	if ok {
		t = addr.Transport()
	}
	return t, ok
}

// lacksPROXY reports whether the peer may be a balancer whose PROXY header is
// missing. Other peers that leave contradictions look the same, and lose
// nothing: the client is unknown either way.
func lacksPROXY(info *forwarded.Info) bool {
	return info.Hops == 1 && info.Reason == forwarded.ReasonMismatch && info.SchemeReason == forwarded.ReasonMismatch
}

func socketScheme(in *http.Request) forwarded.Scheme {
	if in.TLS != nil {
		return forwarded.HTTPS
	}
	return forwarded.HTTP
}
