//go:build linux

package peers

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// entranceAddr is where entrances ask the service from. Browsers come from another address.
const entranceAddr = "127.0.0.2"

// A site is all that a browser finds in place of the internet: one service, and before it an entrance without TLS and
// one with TLS.
type site struct {
	plain, secure entrance
	silent        atomic.Bool // the entrances hand requests on as they are: no word of the client's address and scheme
	log           syncBuffer  // of the enforcer
	port          int         // on which browsers find the secure entrance
	keyHash       string      // of its certificate

	mu      sync.Mutex
	service http.Handler
	visits  []*visit
}

// An entrance is a proxy on loopback.
type entrance struct {
	addr  string
	conns atomic.Int64 // accepted so far
}

// A visit is a request as it came to an entrance, and the answer.
type visit struct {
	scheme, method, host, target, body string
	header                             http.Header
	status                             int // 0: not answered yet
	answer                             http.Header
}

func (v *visit) String() string {
	return fmt.Sprintf("%d %s %s://%s%s", v.status, v.method, v.scheme, v.host, v.target)
}

// startSite opens the entrances until the end of the test.
func startSite(t *testing.T) *site {
	t.Helper()
	s := &site{service: http.NotFoundHandler(), port: 443}
	leaf, err := x509.ParseCertificate(certificate(t).pair.Certificate[0])
	require.NoError(t, err)
	s.keyHash = keyHash(leaf)
	addr := listenFront(t, "127.0.0.1:0", http.HandlerFunc(s.serve), false)
	s.plain.open(t, s.entrance(t, "http", addr), false)
	s.secure.open(t, s.entrance(t, "https", addr), true)
	return s
}

// keyHash is the SHA-256 of a certificate's public key, as Chromium wants it.
func keyHash(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// siteAddr is an address at which browsers find the site too, as they do by every name below .example.
const siteAddr = "192.0.2.1"

// resolverRules are the site's in the form of Chromium's --host-resolver-rules: the first that fits is taken.
func (s *site) resolverRules() string {
	var b strings.Builder
	for _, name := range []string{"*.example", "*.example.", albtest.DefaultHost, siteAddr} {
		fmt.Fprintf(&b, "MAP %s:80 %s, MAP %[1]s:%[3]d %[4]s, ", name, s.plain.addr, s.port, s.secure.addr)
	}
	return b.String() + "MAP * ~NOTFOUND"
}

// open listens and serves until the end of the test.
func (e *entrance) open(t *testing.T, h http.Handler, secure bool) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	e.addr = ln.Addr().String()
	serveFront(t, countingListener{ln, &e.conns}, h, secure)
}

// A countingListener counts the connections that it accepts.
type countingListener struct {
	net.Listener
	conns *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.conns.Add(1)
	}
	return conn, err
}

type visitKey struct{}

// entrance records each request and hands it on to the service.
func (s *site) entrance(t *testing.T, scheme, service string) http.Handler {
	transport := &http.Transport{DialContext: dialFrom(entranceAddr)}
	t.Cleanup(transport.CloseIdleConnections)
	p := &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: service})
			p.Out.Host, p.Out.URL.RawQuery = p.In.Host, p.In.URL.RawQuery // as they came
			if !s.silent.Load() {
				p.SetXForwarded()
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			s.answered(resp.Request.Context().Value(visitKey{}).(*visit), resp)
			return nil
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/favicon.ico" {
			return // browsers ask for it when they like
		}
		v := s.arrived(scheme, r)
		p.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}

// arrived records a request, with its body, which is put back.
func (s *site) arrived(scheme string, r *http.Request) *visit {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what a browser does not finish is not compared
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	v := &visit{
		scheme: scheme, method: r.Method, host: r.Host, target: r.RequestURI, body: string(body),
		header: r.Header.Clone(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visits = append(s.visits, v)
	return v
}

func (s *site) answered(v *visit, resp *http.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.status, v.answer = resp.StatusCode, resp.Header.Clone()
}

// came returns the requests since the last call, and in one line each.
func (s *site) came() (visits []visit, lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.visits {
		visits, lines = append(visits, *v), append(lines, v.String())
	}
	s.visits = nil
	return visits, lines
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.handler().ServeHTTP(w, r)
}

// handler is the service.
func (s *site) handler() http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.service
}

// use makes h the service from the next request on.
func (s *site) use(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service = h
}

// declared is the hop that the entrances are.
func declared() forwarded.Hop { return forwarded.Trusted(entranceAddr) }

// enforce makes the service one with an Enforcer in front of h, behind these hops.
func (s *site) enforce(t *testing.T, cfg redirect.Config, h http.Handler, hops ...forwarded.Hop) *redirect.Enforcer {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	e, err := redirect.New(cfg)
	require.NoError(t, err)
	s.use(policyOf(t, hops...).Wrap(e.Wrap(h)))
	return e
}

// welcome is a page that says which scheme the service takes the client's for.
var welcome = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "welcome over %v", forwarded.From(r).Scheme)
})
