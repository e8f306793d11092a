package forwarded_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/knownhops/knownhops/forwarded"
)

const certHeader = "X-Amzn-Mtls-Clientcert"

// An authority signs certificates for these tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate for clients, valid now; edit changes it. Without
// an authority it signs itself.
func (a *authority) issue(t *testing.T, edit func(*x509.Certificate)) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	edit(template)
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func asCA(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.Subject.CommonName, c.ExtKeyUsage = true, x509.KeyUsageCertSign, "authority", nil
}

func asClient(*x509.Certificate) {}

func newAuthority(t *testing.T) authority {
	t.Helper()
	return (*authority)(nil).issue(t, asCA)
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// pemOf is the chain as it stands in a file, leaf first.
func pemOf(chain ...authority) string {
	var b strings.Builder
	for _, c := range chain {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}))
	}
	return b.String()
}

// albPEM is how ALB writes a chain: URL-encoded, with "+", "=" and "/" as they are.
func albPEM(chain ...authority) string {
	return strings.NewReplacer("%", "%25", "\n", "%0A", " ", "%20").Replace(pemOf(chain...))
}

func certHop() forwarded.Hop {
	h := albHop()
	h.ClientCert = forwarded.Sets(certHeader)
	return h
}

// viaALB is an https request of a known client through ALB.
func viaALB(header ...string) *http.Request {
	return get(albPeer, append([]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https"}, header...)...)
}

func TestClientCertFromHeader(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	middle := ca.issue(t, asCA)
	leaf := ca.issue(t, asClient)
	for !strings.Contains(pemOf(leaf), "+") || !strings.Contains(pemOf(leaf), "/") {
		leaf = ca.issue(t, asClient) // so that decoding a plus sign as a blank would show
	}
	deep := middle.issue(t, asClient)
	der := base64.StdEncoding.EncodeToString(leaf.cert.Raw)
	foreign := other.issue(t, asClient)
	expired := ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	future := ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	server := ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	self := (*authority)(nil).issue(t, asClient)
	dropping := passingNginx()
	dropping.ClientCert = forwarded.Drops()
	withCAs := func(pool *x509.CertPool, hops ...forwarded.Hop) forwarded.Config {
		return forwarded.Config{Hops: hops, ClientCAs: pool}
	}
	good := withCAs(ca.pool(), certHop())
	header := func(value string) *http.Request { return viaALB(certHeader + ": " + value) }
	via := func(lines ...string) *http.Request {
		return get(albPeer, append(lines, certHeader+": "+albPEM(leaf))...)
	}
	both := refRequest{remote: nginxPeer, host: ourHost, header: lines(
		"X-Forwarded-For: "+client+", 10.0.16.5", "X-Forwarded-Proto: https", certHeader+": "+albPEM(leaf))}
	hopsOwn := viaALB()
	hopsOwn.TLS = socketTLS(ourHost, leaf, ca)
	hopsOwnBesideHeader := header(albPEM(foreign))
	hopsOwnBesideHeader.TLS = socketTLS(ourHost, leaf, ca)
	for _, c := range []struct {
		name string
		cfg  forwarded.Config
		r    *http.Request
		want *x509.Certificate
	}{
		{"as ALB writes it", good, header(albPEM(leaf)), leaf.cert},
		{"path-escaped, = as %3D, + as %2B", good, header(strings.NewReplacer("=", "%3D", "+", "%2B", "/", "%2F").Replace(albPEM(leaf))), leaf.cert},
		{"RFC 9440", good, header(":" + der + ":"), leaf.cert},
		{"base64 of the DER", good, header(der), leaf.cert},
		{"a chain", good, header(albPEM(deep, middle)), deep.cert},
		{"a chain with the root", good, header(albPEM(deep, middle, ca)), deep.cert},
		{"through nginx, which passes it", withCAs(ca.pool(), passingNginx(), certHop()), both.request(), leaf.cert},
		{"as many certificates as are read", good, header(albPEM(leaf, ca, ca, ca, ca, ca, ca, ca, ca, ca)), leaf.cert},

		{"an authority's own", good, header(albPEM(middle)), nil},
		{"a chain in the wrong order", good, header(albPEM(middle, deep)), nil},
		{"an authority's own, RFC 9440", good, header(":" + base64.StdEncoding.EncodeToString(middle.cert.Raw) + ":"), nil},
		{"a chain without its middle", good, header(albPEM(deep)), nil},
		{"another authority", good, header(albPEM(foreign)), nil},
		{"another authority in the chain", good, header(albPEM(foreign, other)), nil},
		{"expired", good, header(albPEM(expired)), nil},
		{"not valid yet", good, header(albPEM(future)), nil},
		{"for servers only", good, header(albPEM(server)), nil},
		{"self-signed", good, header(albPEM(self)), nil},
		{"two lines", good, via("X-Forwarded-For: "+client, "X-Forwarded-Proto: https", certHeader+": "+albPEM(leaf)), nil},
		{"over http", good, via("X-Forwarded-For: "+client, "X-Forwarded-Proto: http"), nil},
		{"scheme not told", good, via("X-Forwarded-For: " + client), nil},
		{"unknown client", good, via("X-Forwarded-For: unknown", "X-Forwarded-Proto: https"), nil},
		{"no client", good, via("X-Forwarded-Proto: https"), nil},
		{"forged, direct", good, get(directPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https", certHeader+": "+albPEM(leaf)), nil},
		{"forged past ALB, through nginx", withCAs(ca.pool(), passingNginx(), certHop()),
			get(nginxPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https", certHeader+": "+albPEM(leaf)), nil},
		{"no rule", withCAs(ca.pool(), albHop()), header(albPEM(leaf)), nil},
		{"no authorities", withCAs(nil, certHop()), header(albPEM(leaf)), nil},
		{"an inner hop drops it", withCAs(ca.pool(), dropping, certHop()), both.request(), nil},
		{"no header", good, viaALB(), nil},
		{"an empty header", good, header(""), nil},
		{"junk", good, header("junk"), nil},
		{"junk in PEM", good, header("-----BEGIN CERTIFICATE-----%0Ajunk%0A-----END CERTIFICATE-----%0A"), nil},
		{"a key in PEM", good, header(strings.ReplaceAll(albPEM(leaf), "CERTIFICATE", "PRIVATE%20KEY")), nil},
		{"bad escapes", good, header(albPEM(leaf) + "%zz"), nil},
		{"more text than any chain", good, header(albPEM(leaf) + strings.Repeat("%0A", 64<<10)), nil},
		{"more certificates than any chain", good, header(albPEM(leaf, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca)), nil},
		{"the hop's own, of a re-encrypted leg", good, hopsOwn, nil},
		{"the hop's own beside a bad one", good, hopsOwnBesideHeader, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := pass(newPolicy(t, c.cfg), c.r)
			got, ok := forwarded.ClientCert(r)
			if ok != (c.want != nil) || ok && !got.Equal(c.want) {
				t.Errorf("got %v (%v), want %v", got != nil, ok, c.want != nil)
			}
		})
	}
}

// TestClientCertAfterTheHeaderIsGone: further middleware may remove the header
// before anybody asks.
func TestClientCertAfterTheHeaderIsGone(t *testing.T) {
	ca := newAuthority(t)
	p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{certHop()}, ClientCAs: ca.pool()})
	r, _ := pass(p, viaALB(certHeader+": "+albPEM(ca.issue(t, asClient))))
	r.Header.Del(certHeader)
	defer func() {
		if got := recover(); got != nil {
			t.Errorf("ClientCert panics: %v", got)
		}
	}()
	forwarded.ClientCert(r)
}

// socketTLS is a connection for host whose client showed leaf, signed by ca.
func socketTLS(host string, leaf, ca authority) *tls.ConnectionState {
	return &tls.ConnectionState{
		ServerName: host, HandshakeComplete: true, PeerCertificates: []*x509.Certificate{leaf.cert},
		VerifiedChains: [][]*x509.Certificate{{leaf.cert, ca.cert}},
	}
}

func TestClientCertFromSocket(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.issue(t, asClient)
	unverified := socketTLS(ourHost, leaf, ca)
	unverified.VerifiedChains = nil
	transport := &forwarded.Transport{Peer: netip.MustParseAddrPort(albPeer), Source: netip.MustParseAddrPort(client + ":5000"), Destination: netip.MustParseAddrPort("10.0.16.5:443")}
	for _, c := range []struct {
		name string
		hop  forwarded.Hop
		q    refRequest
		tls  *tls.ConnectionState
		want bool
	}{
		{"direct", albHop(), refRequest{remote: directPeer, host: ourHost}, socketTLS(ourHost, leaf, ca), true},
		{"direct, any spelling", albHop(), refRequest{remote: directPeer, host: "WWW.example.com.:443"}, socketTLS("www.Example.com", leaf, ca), true},
		{"another server name", albHop(), refRequest{remote: directPeer, host: ourHost}, socketTLS("other.example.com", leaf, ca), false},
		{"no server name", albHop(), refRequest{remote: directPeer, host: ourHost}, socketTLS("", leaf, ca), false},
		{"no host, no server name", albHop(), refRequest{remote: directPeer}, socketTLS("", leaf, ca), false},
		{"not verified", albHop(), refRequest{remote: directPeer, host: ourHost}, unverified, false},
		{"no TLS", albHop(), refRequest{remote: directPeer, host: ourHost}, nil, false},
		{"behind ALB", albHop(), refRequest{remote: albPeer, host: ourHost, header: lines("X-Forwarded-For: "+client, "X-Forwarded-Proto: https")}, socketTLS(ourHost, leaf, ca), false},
		{"an ALB probe", albHop(), refRequest{remote: albPeer, host: ourHost}, socketTLS(ourHost, leaf, ca), false},
		{"a bad peer", albHop(), refRequest{remote: "x", host: ourHost}, socketTLS(ourHost, leaf, ca), false},
		{"through an NLB that passes bytes", forwarded.NLBTCP("10.0.16.0/20"), refRequest{remote: albPeer, host: ourHost, transport: transport}, socketTLS(ourHost, leaf, ca), true},
		{"through an NLB that ends TLS and encrypts again", forwarded.NLBTLS("10.0.16.0/20"), refRequest{remote: albPeer, host: ourHost, transport: transport}, socketTLS(ourHost, leaf, ca), false},
		{"an NLB without a PROXY header", forwarded.NLBTCP("10.0.16.0/20"), refRequest{remote: albPeer, host: ourHost}, socketTLS(ourHost, leaf, ca), false},
	} {
		r := c.q.request()
		r.TLS = c.tls
		wrapped, _ := pass(behind(t, c.hop), r)
		if cert, ok := forwarded.ClientCert(wrapped); ok != c.want || ok && !cert.Equal(leaf.cert) {
			t.Errorf("%s: %v, want %v", c.name, ok, c.want)
		}
	}
}

// TestClientCertWithoutWrap: whoever forgets Wrap behind a proxy must not take
// the proxy's certificate for the client's.
func TestClientCertWithoutWrap(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.issue(t, asClient)
	unverified := socketTLS(ourHost, leaf, ca)
	unverified.VerifiedChains = nil
	info := func(s forwarded.Status) *forwarded.Info { return &forwarded.Info{Status: s} }
	for _, c := range []struct {
		name   string
		header string
		info   *forwarded.Info // nil: NewContext was not called
		tls    *tls.ConnectionState
		want   bool
	}{
		{"direct", "Cookie: a", nil, socketTLS(ourHost, leaf, ca), true},
		{"direct, says a resolver of one's own", "Cookie: a", info(forwarded.StatusDirect), socketTLS(ourHost, leaf, ca), true},
		{"headers that are none of the family", "X-Amzn-Trace-Id: 1", nil, socketTLS(ourHost, leaf, ca), true},

		{"not verified", "Cookie: a", nil, unverified, false},
		{"another server name", "Cookie: a", nil, socketTLS("other.example.com", leaf, ca), false},
		{"no TLS", "Cookie: a", nil, nil, false},
		{"X-Forwarded-For", "X-Forwarded-For: " + client, nil, socketTLS(ourHost, leaf, ca), false},
		{"X-Forwarded-For without a value", "X-Forwarded-For: ", nil, socketTLS(ourHost, leaf, ca), false},
		{"Forwarded", "Forwarded: for=" + client, nil, socketTLS(ourHost, leaf, ca), false},
		{"X-Real-Ip", "X-Real-Ip: " + client, nil, socketTLS(ourHost, leaf, ca), false},
		{"an alias", "X_Forwarded_Proto: https", nil, socketTLS(ourHost, leaf, ca), false},
		{"another alias", "x.real.ip: " + client, nil, socketTLS(ourHost, leaf, ca), false},
		{"a certificate's header", certHeader + ": x", nil, socketTLS(ourHost, leaf, ca), false},
		{"direct, but X-Forwarded-For", "X-Forwarded-For: " + client, info(forwarded.StatusDirect), socketTLS(ourHost, leaf, ca), false},
		{"no status", "Cookie: a", info(forwarded.StatusNone), socketTLS(ourHost, leaf, ca), false},
		{"local", "Cookie: a", info(forwarded.StatusLocal), socketTLS(ourHost, leaf, ca), false},
		{"forwarded", "Cookie: a", info(forwarded.StatusForwarded), socketTLS(ourHost, leaf, ca), false},
		{"unknown", "Cookie: a", info(forwarded.StatusUnknown), socketTLS(ourHost, leaf, ca), false},
	} {
		r := get(directPeer, c.header)
		r.TLS = c.tls
		if c.info != nil {
			r = r.WithContext(forwarded.NewContext(r.Context(), *c.info))
		}
		if cert, ok := forwarded.ClientCert(r); ok != c.want || ok && !cert.Equal(leaf.cert) {
			t.Errorf("%s: %v, want %v", c.name, ok, c.want)
		}
	}
}

// TestClientCertMutualTLS: over a real connection, and not for another host
// than the one that the connection was made for.
func TestClientCertMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.issue(t, asClient)
	var p forwarded.Policy
	srv := httptest.NewUnstartedServer(p.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cert, ok := forwarded.ClientCert(r); ok {
			io.WriteString(w, cert.Subject.CommonName)
		}
	})))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}
	srv.StartTLS()
	defer srv.Close()
	config := srv.Client().Transport.(*http.Transport).TLSClientConfig
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key}}
	config.ServerName = "example.com" // the name of httptest's own certificate
	for host, want := range map[string]string{"example.com": "client", "other.example.com": ""} {
		r, err := http.NewRequest("GET", srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != want {
			t.Errorf("asked for %s: certificate of %q, want %q", host, body, want)
		}
	}
}
