package albtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// authority signs a certificate for whatever name a client asks for.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool

	mu     sync.Mutex
	issued map[string]*tls.Certificate
}

// lifetime of the certificates: longer than any test, in virtual time too.
const lifetime = 10 * 365 * 24 * time.Hour

// maxIssued bounds the certificates kept, for a client that asks for ever new
// names.
const maxIssued = 1024

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of the test authority: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "albtest authority", Organization: []string{"for tests only"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(lifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("test authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("test authority: %w", err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool(), issued: make(map[string]*tls.Certificate)}
	a.pool.AddCert(cert)
	return a, nil
}

// certificate is tls.Config.GetCertificate.
func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(hello.Conn.LocalAddr().String())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if cert := a.issued[name]; cert != nil {
		return cert, nil
	}
	cert, err := a.sign(name, int64(len(a.issued))+2)
	if err == nil && len(a.issued) < maxIssued {
		a.issued[name] = cert
	}
	return cert, err
}

// sign makes a certificate for a name or an address. All of them share the
// authority's key, which protects nothing.
func (a *authority) sign(name string, serial int64) (*tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    a.cert.NotBefore,
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip, net.IPv4(127, 0, 0, 1)}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate for %q: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: a.key}, nil
}

// serverConfig is the TLS configuration of an HTTPS listener.
func (a *authority) serverConfig(t *TLS, http2 bool) *tls.Config {
	cfg := &tls.Config{MinVersion: t.MinVersion, NextProtos: []string{"h2", "http/1.1"}}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	if !http2 {
		cfg.NextProtos = cfg.NextProtos[1:]
	}
	cfg.Certificates = t.Certificates
	if len(t.Certificates) == 0 {
		cfg.GetCertificate = a.certificate
	}
	switch t.MutualAuthentication {
	case Passthrough:
		cfg.ClientAuth = tls.RequestClientCert
	case Verify:
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, t.TrustStore
	}
	cfg.SessionTicketsDisabled = t.MutualAuthentication != Off // AWS: no resumption then
	return cfg
}
