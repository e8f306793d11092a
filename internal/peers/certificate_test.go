//go:build linux

package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testCert is a certificate for the host that every client asks for, in the forms that peers want.
type testCert struct {
	pair      tls.Certificate
	cert, key []byte // PEM
	pool      *x509.CertPool
}

var sharedCert struct {
	sync.Once
	testCert
}

// certificate returns the one certificate of this test binary.
func certificate(t *testing.T) testCert {
	t.Helper()
	sharedCert.Do(func() { sharedCert.testCert = newCertificate(t) })
	return sharedCert.testCert
}

func newCertificate(t *testing.T) testCert {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: frontHost},
		DNSNames:              []string{frontHost},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	c := testCert{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		pool: x509.NewCertPool(),
	}
	c.pair, err = tls.X509KeyPair(c.cert, c.key)
	require.NoError(t, err)
	require.True(t, c.pool.AppendCertsFromPEM(c.cert))
	return c
}
