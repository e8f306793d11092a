// Package family knows the names of the forwarding family: headers that say
// what the next hop should believe.
package family

import (
	"net/http"
	"strings"
)

// names is the forwarding family: headers in which some proxy states
// what its next hop should believe about the client, its connection, its
// certificate or its identity. Whoever can reach a service can write them.
// A name that ends in "-" stands for every name that begins with it. Signed
// tokens (X-Amzn-Oidc-Data, Cf-Access-Jwt-Assertion) are no part of it: their
// readers verify them.
var names = []string{
	// the client and its connection
	"forwarded", "forwarded-for", "forwarded-proto", "forwarded-host", "x-forwarded", "x-forwarded-", "x-real-ip", "x-real-port", "x-real-proto",
	"x-original-for", "x-original-forwarded-for", "x-original-proto", "x-original-host", "x-original-prefix", "x-original-url",
	"x-original-uri", "x-original-method", "x-client-ip", "x-clientip", "client-ip", "true-client-ip",
	"x-cluster-client-ip", "x-proxyuser-ip", "proxy-client-ip", "wl-proxy-client-ip", "x-remote-ip", "x-remote-addr",
	"x-host", "x-scheme", "x-url-scheme", "x-rewrite-url", "front-end-https", "proxy",
	// vendors
	"cf-access-authenticated-user-email", "cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "cf-visitor", "cloudfront-forwarded-proto",
	"cloudfront-viewer-address", "cloudfront-viewer-tls", "fastly-client-ip", "fastly-ssl", "fly-client-ip", "fly-forwarded-",
	"do-connecting-ip", "incap-client-ip", "x-nf-client-connection-ip", "x-sucuri-clientip", "x-vercel-forwarded-for",
	"x-azure-clientip", "x-azure-socketip", "x-azure-fdid", "x-arr-ssl", "x-arr-clientcert",
	"x-envoy-external-address", "x-envoy-internal", "x-envoy-original-path", "x-appengine-user-ip", "x-appengine-remote-addr", "x-amzn-tls-",
	// client certificates
	"client-cert", "client-cert-chain", "x-client-cert", "x-client-certificate", "x-client-verify", "x-client-dn",
	"x-tls-client-", "x-amzn-mtls-", "x-ssl-", "ssl-client-",
	// identities
	"x-amzn-oidc-identity", "x-amzn-oidc-accesstoken", "x-goog-authenticated-user-", "x-ms-client-principal",
	"x-ms-client-principal-", "x-ms-token-", "x-auth-request-", "x-authentik-", "x-remote-user", "x-remote-uid",
	"x-remote-group", "x-remote-groups", "x-remote-extra-", "remote-user", "remote-groups", "remote-email", "remote-name",
	"x-webauth-", "tailscale-user-",
}

// family answers whether a header name belongs to the family, or is an alias
// of such a name: CGI, WSGI, PHP and others read X_Forwarded_For and
// X.Forwarded.For as the same variable.
type family struct {
	exact    map[string]bool
	prefixes []string
	maybe    [1 << 15 / 64]uint64 // a filter over three letters of a name
}

// forwarding is never changed after it is made.
var forwarding = newFamily(names)

const maxName = 64

func newFamily(names []string) *family {
	f := &family{exact: make(map[string]bool)}
	for _, name := range names {
		if strings.HasSuffix(name, "-") {
			f.prefixes = append(f.prefixes, name)
			f.admitPrefix(name)
			continue
		}
		f.exact[name] = true
		f.admit(sketch(name))
	}
	f.admit(sketch("connection")) // names that a look over the headers needs as well
	f.admit(sketch("host"))
	return f
}

func (f *family) admit(i uint) { f.maybe[i/64] |= 1 << (i % 64) }

// admitPrefix admits every name that begins with the prefix: where it is too
// short for the ninth letter, whatever that is.
func (f *family) admitPrefix(name string) {
	base := sketch(name)
	if len(name) > 8 {
		f.admit(base)
		return
	}
	for c := range uint(32) {
		f.admit(base | c)
	}
}

// sketchClass maps letters of either case alike, and all that aliases put
// between words to one value.
var sketchClass = func() (table [256]uint8) {
	for c := range table {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80:
			table[c] = uint8(c|0x20-'a') + 1
		case '0' <= c && c <= '9':
			table[c] = 27 + uint8(c-'0')%5
		}
	}
	return table
}()

// sketch is where a name stands in the filter: its first, third and ninth
// letters, which tell most of the family from most other headers.
func sketch(name string) uint {
	if len(name) < 3 {
		return 0
	}
	i := uint(sketchClass[name[0]])<<10 | uint(sketchClass[name[2]])<<5
	if len(name) > 8 {
		i |= uint(sketchClass[name[8]])
	}
	return i
}

// Might reports whether name is worth a closer look, as the names of the
// family, "Connection" and "Host" are. Most others are not.
func Might(name string) bool {
	i := sketch(name)
	return forwarding.maybe[i/64]&(1<<(i%64)) != 0
}

// Has reports whether name is in the family, and whether only as an alias.
func Has(name string) (member, alias bool) {
	if !Might(name) {
		return false, false
	}
	return forwarding.look(name)
}

// In reports whether a header has a member of the family, aliases included.
func In(h http.Header) bool {
	for name := range h {
		if member, _ := Has(name); member {
			return true
		}
	}
	return false
}

func (f *family) look(name string) (member, alias bool) {
	var buf [maxName]byte
	n := min(len(name), maxName)
	for i := range n {
		buf[i] = Fold(name[i])
		alias = alias || buf[i] == '-' && name[i] != '-'
	}
	folded := buf[:n]
	if len(name) <= maxName && f.exact[string(folded)] {
		return true, alias
	}
	for _, p := range f.prefixes {
		if n >= len(p) && string(folded[:len(p)]) == p {
			return true, alias
		}
	}
	return false, false
}

// Fold maps every byte that is no letter or digit to "-".
func Fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// Folded is what aliases of a name have in common.
func Folded(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = Fold(c)
	}
	return string(b)
}
