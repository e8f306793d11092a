package albtest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// clientCertificate is what the target is told about the client's certificate.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/mutual-authentication.html
func clientCertificate(mode MutualMode, chain []*x509.Certificate) fields {
	const prefix = "X-Amzn-Mtls-Clientcert"
	if len(chain) == 0 {
		return nil
	}
	leaf := chain[0]
	switch mode {
	case Passthrough:
		return fields{{name: prefix, value: escapePEM(chain)}}
	case Verify:
		return fields{
			{name: prefix + "-Serial-Number", value: fmt.Sprintf("%X", leaf.SerialNumber.Bytes())},
			{name: prefix + "-Issuer", value: leaf.Issuer.String()},
			{name: prefix + "-Subject", value: leaf.Subject.String()},
			{name: prefix + "-Validity", value: "NotBefore=" + leaf.NotBefore.UTC().Format(time.RFC3339) +
				";NotAfter=" + leaf.NotAfter.UTC().Format(time.RFC3339)},
			{name: prefix + "-Leaf", value: escapePEM(chain[:1])},
		}
	}
	return nil
}

// escapePEM is the certificates in PEM, URL-encoded but for +, = and /.
func escapePEM(chain []*x509.Certificate) string {
	var text strings.Builder
	for _, cert := range chain {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	escaped := strings.ReplaceAll(url.QueryEscape(text.String()), "+", "%20")
	return strings.NewReplacer("%2B", "+", "%3D", "=", "%2F", "/").Replace(escaped)
}

// cipherSuite is OpenSSL's name of a cipher suite: that of TLS 1.3 is the
// standard's, the others drop TLS, WITH and some of the underscores.
func cipherSuite(id uint16) string {
	name := tls.CipherSuiteName(id)
	kept, ok := strings.CutPrefix(name, "TLS_ECDHE_")
	if !ok {
		return name
	}
	kept = strings.NewReplacer("WITH_", "", "_CBC_", "_", "AES_128", "AES128", "AES_256", "AES256",
		"CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305").Replace(kept)
	return "ECDHE-" + strings.ReplaceAll(kept, "_", "-")
}
