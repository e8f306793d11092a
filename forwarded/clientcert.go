package forwarded

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"

	"github.com/knownhops/knownhops/internal/family"
	"github.com/knownhops/knownhops/internal/hostport"
)

// ClientCert returns the client's certificate if it was verified here.
//
// Without a hop in between (StatusDirect, or no Wrap and no forwarding header
// either) it is the certificate of the TLS connection, if
// its chain was verified and the connection's server name is the request's
// host. Behind a hop with a ClientCert rule it is the one in that header, if
// the client used https, the header came once, and its chain verifies against
// Config.ClientCAs for client authentication: that a proxy put it there
// proves nothing (Cloudflare and ALB's passthrough mode hand on what failed).
//
// The header holds URL-encoded PEM, leaf first (ALB's X-Amzn-Mtls-Clientcert
// and -Leaf, nginx's $ssl_client_escaped_cert), RFC 9440's ":base64:", or the
// base64 of the DER (HAProxy).
func ClientCert(r *http.Request) (cert *x509.Certificate, ok bool) {
	c := carried(r)
	if c == nil {
		return unwrappedCert(r)
	}
	info := &c.walk.info
	if info.Status == StatusDirect || info.Status == StatusForwarded && c.topo.nodes[info.Hops-1].passesBytes() {
		return socketCert(c.orig)
	}
	if info.Status != StatusForwarded || c.walk.read&(1<<kindCert) == 0 || c.topo.cfg.ClientCAs == nil {
		return nil, false
	}
	lines := c.orig.Header[c.topo.nodes[info.Hops-1].read[kindCert].header]
	if len(lines) != 1 {
		return nil, false // a handler changed the header since
	}
	return verifiedCert(lines[0], c.topo.cfg.ClientCAs)
}

// unwrappedCert is for requests that no Wrap has seen. A forwarding header
// says that somebody stands in between, whose certificate is not the client's.
func unwrappedCert(r *http.Request) (*x509.Certificate, bool) {
	if info, ok := FromContext(r.Context()); ok && info.Status != StatusDirect {
		return nil, false
	}
	for name := range r.Header {
		if member, _ := family.Has(name); member {
			return nil, false
		}
	}
	return socketCert(r)
}

// passesBytes reports whether TLS goes through the hop to the client: a hop
// that speaks PROXY and does not end TLS itself.
func (n *node) passesBytes() bool { return n.proxy && !n.proxyScheme }

// socketCert is local mutual TLS. A connection made for one host must not
// carry its certificate into requests for another (RFC 9110 §7.4).
func socketCert(r *http.Request) (*x509.Certificate, bool) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.PeerCertificates) == 0 {
		return nil, false
	}
	asked, _, ok := hostport.ParseHost(r.Host)
	if !ok || !equalFold(asked, strings.TrimSuffix(r.TLS.ServerName, ".")) {
		return nil, false
	}
	return r.TLS.PeerCertificates[0], true
}

const (
	maxCertText = 64 << 10
	maxChain    = 10
)

func verifiedCert(text string, roots *x509.CertPool) (*x509.Certificate, bool) {
	chain := parseChain(text)
	if len(chain) == 0 || chain[0].IsCA {
		return nil, false // an authority is nobody's client; the chain may be in the wrong order
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, false
	}
	return chain[0], true
}

// parseChain reads the three forms; nil if it is none of them.
func parseChain(text string) []*x509.Certificate {
	if text == "" || len(text) > maxCertText {
		return nil
	}
	if strings.Contains(text, "-----BEGIN") {
		return parsePEM(text)
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, ":"), ":")
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return []*x509.Certificate{cert}
}

// parsePEM decodes with PathUnescape: a plus sign is part of the base64.
func parsePEM(text string) (chain []*x509.Certificate) {
	text, err := url.PathUnescape(text)
	if err != nil {
		return nil
	}
	rest := []byte(text)
	for len(chain) <= maxChain {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return chain
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			return nil
		}
		chain = append(chain, cert)
	}
	return nil
}
