package albtest

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const xff = "X-Forwarded-For"

// maxForwarded is how many addresses the balancer takes in X-Forwarded-For
// before it answers 463.
const maxForwarded = 30

// rewriter makes the head that a target gets of the one that came in.
type rewriter struct {
	attributes Attributes
	unknowns   Unknowns
}

// head is the request's header for the target, in the order that was seen at a
// target: the balancer's own lines first, then the client's, which all pass
// unless a rule says otherwise, X-Forwarded-Host and Forwarded included.
func (w rewriter) head(m *message, now time.Time) fields {
	own, replaced := w.own(m, now)
	client := m.fields.without(replaced...)
	if w.unknowns.DropClientAmzn {
		client = slices.DeleteFunc(client, isAmzn)
	}
	if w.attributes.DropInvalidHeaderFields {
		client = slices.DeleteFunc(client, func(f field) bool { return !isValidName(f.name) })
	}
	return append(own, client...)
}

// own is what the balancer writes, and the names that it takes from the client.
func (w rewriter) own(m *message, now time.Time) (own fields, replaced []string) {
	replaced = []string{"Connection", "X-Forwarded-Proto", "X-Forwarded-Port", "Host", traceHeader}
	if lines, whole := w.forwarded(m); whole {
		own, replaced = append(own, lines...), append(replaced, xff)
	}
	own = append(own,
		field{name: "X-Forwarded-Proto", value: m.scheme()},
		field{name: "X-Forwarded-Port", value: strconv.Itoa(m.listener.Port)})
	for _, f := range w.tls(m) {
		own, replaced = append(own, f), append(replaced, f.name)
	}
	own = append(own, w.host(m)...)
	sent, _ := m.fields.get(traceHeader)
	own = append(own, field{name: traceHeader, value: traceValue(sent, len(m.head), now)})
	if m.upgrade() {
		own = append(own, field{name: "Connection", value: "upgrade"})
	}
	return own, replaced
}

// forwarded is X-Forwarded-For; whole says that it replaces what came.
func (w rewriter) forwarded(m *message) (lines fields, whole bool) {
	switch w.attributes.XFFHeaderProcessing {
	case Preserve:
		return nil, false
	case Remove:
		return nil, true
	}
	sent := m.fields.values(xff)
	peer := w.peer(m.client)
	switch {
	case len(sent) == 0 || w.unknowns.SeveralXFF == KeepAndAdd:
		sent = append(sent, peer)
	case w.unknowns.SeveralXFF == AppendToLast:
		sent[len(sent)-1] += ", " + peer
	default:
		sent = []string{strings.Join(append(sent, peer), ", ")}
	}
	for _, value := range sent {
		lines = append(lines, field{name: xff, value: value})
	}
	return lines, true
}

// peer is the entry for whoever connected.
func (w rewriter) peer(client netip.AddrPort) string {
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	if w.attributes.XFFClientPort {
		return client.String()
	}
	return client.Addr().String()
}

// host is the Host lines of the target. With preserve_host_header all that
// came in are kept.
func (w rewriter) host(m *message) (lines fields) {
	if w.attributes.PreserveHostHeader && len(m.fields.values("Host")) > 0 {
		for _, value := range m.fields.values("Host") {
			lines = append(lines, field{name: "Host", value: value})
		}
		return lines
	}
	if host := targetHost(m.host, m.listener.Port); host != "" {
		lines = fields{{name: "Host", value: host}}
	}
	return lines
}

// tls is what a request over TLS is told about it, under the names that the
// listener gives them.
func (w rewriter) tls(m *message) (lines fields) {
	if m.tls == nil {
		return nil
	}
	if w.attributes.TLSVersionAndCipherSuite {
		lines = append(lines,
			field{name: "X-Amzn-Tls-Version", value: tlsVersion(m.tls.Version)},
			field{name: "X-Amzn-Tls-Cipher-Suite", value: cipherSuite(m.tls.CipherSuite)})
	}
	lines = append(lines, clientCertificate(m.listener.TLS.MutualAuthentication, m.tls.PeerCertificates)...)
	for i, f := range lines {
		lines[i].name = cmp.Or(m.listener.renamed[strings.ToLower(f.name)], f.name)
	}
	return lines
}

// isAmzn finds the names of headers that only the balancer should write.
func isAmzn(f field) bool {
	name := strings.ToLower(f.name)
	return strings.HasPrefix(name, "x-amzn-mtls-") || strings.HasPrefix(name, "x-amzn-tls-") ||
		strings.HasPrefix(name, "x-amzn-oidc-")
}

// tooManyForwarded counts the addresses in X-Forwarded-For.
func (w rewriter) tooManyForwarded(m *message) bool {
	n := 0
	for _, value := range m.fields.values(xff) {
		n += strings.Count(value, ",") + 1
	}
	if w.unknowns.XFFLimitCountsPeer && w.attributes.XFFHeaderProcessing == Append {
		n++
	}
	return n > maxForwarded
}

// tlsVersion is OpenSSL's name of a version.
func tlsVersion(v uint16) string { return strings.ReplaceAll(tls.VersionName(v), "TLS ", "TLSv") }
