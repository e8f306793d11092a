package proxy

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/hostport"
)

// appendForwarded appends the value of Forwarded, or nothing.
func appendForwarded(b []byte, in *http.Request, info *forwarded.Info, mode Mode) []byte {
	switch mode {
	case Set:
		return appendClientElement(b, info)
	case Append:
		return appendElements(b, in, info)
	case Preserve:
		return appendLeft(b, forwardedField, in, info)
	}
	return b
}

// appendElements appends a Forwarded list (RFC 7239): what forwarded left of
// the one that came, or an element for the client where that says nothing, and
// one for the connection that the request came on.
func appendElements(b []byte, in *http.Request, info *forwarded.Info) []byte {
	l, start := legOf(in, info), len(b)
	switch left := in.Header["Forwarded"]; {
	case l.isClient: // its element comes below
	case info.Hops > 0 && info.Client.IsValid() && len(left) > 0:
		b = appendJoined(b, left)
	default:
		b = appendClientElement(b, info)
	}
	if !l.from.IsValid() {
		return b
	}
	if len(b) > start {
		b = append(b, ", "...)
	}
	b = appendNode(b, l.from)
	if _, _, ok := hostport.ParseHost(in.Host); ok {
		b = append(b, ";host="...)
		b = appendParameter(b, in.Host)
	}
	return appendProto(b, l.scheme)
}

// appendClientElement appends one element with all that is known of the
// client.
func appendClientElement(b []byte, info *forwarded.Info) []byte {
	if info.Client.IsValid() {
		b = appendNode(b, netip.AddrPortFrom(info.Client, info.ClientPort))
	} else {
		b = append(b, "for="...)
		b = append(b, pseudonymOf(info)...)
	}
	if info.Host != "" {
		b = append(b, ";host="...)
		var authority [320]byte // names have at most 253 bytes
		b = appendParameter(b, string(appendAuthority(authority[:0], info)))
	}
	return appendProto(b, info.Scheme)
}

// pseudonymOf is what the hop said instead of an address, or "unknown".
func pseudonymOf(info *forwarded.Info) string {
	if isToken(info.ClientID) {
		return info.ClientID
	}
	return unknownClient
}

// appendNode appends a for parameter. An IPv6 address stands in brackets, and
// with them or a port in quotes (RFC 7239 §6).
func appendNode(b []byte, node netip.AddrPort) []byte {
	b = append(b, "for="...)
	if node.Port() == 0 && node.Addr().Is4() {
		return node.Addr().AppendTo(b)
	}
	b = append(b, '"')
	if node.Port() != 0 {
		b = node.AppendTo(b)
	} else {
		b = append(b, '[')
		b = node.Addr().AppendTo(b)
		b = append(b, ']')
	}
	return append(b, '"')
}

func appendProto(b []byte, scheme forwarded.Scheme) []byte {
	if scheme == forwarded.SchemeUnknown {
		return b
	}
	b = append(b, ";proto="...)
	return append(b, scheme.String()...)
}

// appendParameter appends a token as it is and everything else as a quoted
// string (RFC 7239 §4).
func appendParameter(b []byte, value string) []byte {
	if isToken(value) {
		return append(b, value...)
	}
	b = append(b, '"')
	for i := range len(value) {
		if value[i] == '"' || value[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, value[i])
	}
	return append(b, '"')
}

// appendAuthority appends the host that the client asked for, with its port
// unless that is the scheme's own.
func appendAuthority(b []byte, info *forwarded.Info) []byte {
	if info.Host == "" {
		return b
	}
	if strings.IndexByte(info.Host, ':') >= 0 { // an IPv6 address
		b = append(b, '[')
		b = append(b, info.Host...)
		b = append(b, ']')
	} else {
		b = append(b, info.Host...)
	}
	if info.Port == 0 || info.Port == usualPort(info.Scheme) {
		return b
	}
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(info.Port), 10)
}

func usualPort(scheme forwarded.Scheme) uint16 {
	switch scheme {
	case forwarded.HTTP:
		return 80
	case forwarded.HTTPS:
		return 443
	}
	return 0
}
