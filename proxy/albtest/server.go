package albtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// TB is what NewServer, Start and Audit need of a test; *testing.T has it.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Server is a running balancer. Its methods may be called concurrently.
type Server struct {
	// HTTPURL is the first HTTP listener under DefaultHost, for the clients of
	// this server: "http://www.example.com", with the listener's port unless
	// it is 80. Empty: there is no such listener.
	HTTPURL string

	// HTTPSURL is the same for the first HTTPS listener and port 443:
	// "https://www.example.com".
	HTTPSURL string

	cfg       Config
	env       *environment
	authority *authority
	groups    map[string]*group
	listeners []*listener
	rewriter  rewriter

	ctx    context.Context // ends with the server
	cancel context.CancelFunc
	work   sync.WaitGroup // the listeners, and the clients' connections

	mu    sync.Mutex
	conns map[net.Conn]struct{} // of clients; nil: the server is closed

	pool       pool
	transports transports
	clients    clients
	faults     faults
	journal    journal
}

// New starts a balancer for a program; the caller closes it. The error is a
// ConfigErrors, which names every mistake at once, or says why a loopback
// address cannot be listened on.
//
// Unless Config.NoWait is set, it returns after each target had its first
// health check from each node.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if errs := cfg.check(); len(errs) > 0 {
		return nil, errs
	}
	s, err := newServer(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// newServer makes a server that does nothing yet.
func newServer(cfg Config) (*Server, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:       cfg,
		authority: ca,
		groups:    make(map[string]*group),
		rewriter:  rewriter{cfg.Attributes, cfg.Unknowns},
		conns:     make(map[net.Conn]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.env = &environment{nodes: cfg.Nodes, unknowns: cfg.Unknowns, certificate: ca.certificate}
	for _, group := range cfg.TargetGroups {
		for _, target := range group.Targets {
			if target.IP.IsValid() {
				s.env.take(target.IP.Unmap())
			}
		}
	}
	if cfg.InMemory {
		s.env.network = newMemory()
	} else {
		s.env.network = newLoopback(cfg.ClientAddr)
	}
	for _, l := range cfg.Listeners {
		s.listeners = append(s.listeners, compileListener(l))
	}
	return s, nil
}

// start makes everything run. Where it fails, Close ends what does.
func (s *Server) start() error {
	for _, name := range sortedKeys(s.cfg.TargetGroups) {
		g, err := newGroup(name, s.cfg.TargetGroups[name], s.cfg.uses(name), s.env)
		if err != nil {
			return fmt.Errorf("albtest: group %q: %w", name, err)
		}
		s.groups[name] = g
		if _, err := g.register(g.cfg.Targets...); err != nil {
			return err
		}
	}
	for _, l := range s.listeners {
		if err := s.open(l); err != nil {
			return fmt.Errorf("albtest: listener %d: %w", l.Port, err)
		}
	}
	if !s.cfg.NoWait {
		s.settle()
	}
	return nil
}

// open starts a listener.
func (s *Server) open(l *listener) (err error) {
	l.socket, err = s.env.network.listen(netip.AddrPortFrom(publicAddr, uint16(l.Port)))
	if err != nil {
		return err
	}
	if l.TLS != nil {
		l.tls = s.authority.serverConfig(l.TLS, !s.cfg.Attributes.DisableHTTP2)
	}
	s.url(l)
	s.work.Go(func() { s.accept(l) })
	return nil
}

// url sets the field for the first listener of its kind.
func (s *Server) url(l *listener) {
	field, scheme, usual := &s.HTTPURL, "http", 80
	if l.TLS != nil {
		field, scheme, usual = &s.HTTPSURL, "https", 443
	}
	if *field != "" {
		return
	}
	*field = scheme + "://" + DefaultHost
	if l.Port != usual {
		*field += ":" + strconv.Itoa(l.Port)
	}
}

// settle waits for the first checks, which end with their time-outs at the
// latest; a target that fails them is the caller's to find out.
func (s *Server) settle() {
	for _, g := range s.groups {
		ctx, cancel := context.WithTimeout(s.ctx, 2*g.cfg.HealthCheck.Timeout)
		_ = g.settle(ctx)
		cancel()
	}
}

// NewServer puts target behind a balancer with AWS's defaults: listener 443,
// with a certificate of its own authority, forwards to it, and listener 80
// redirects to listener 443. The group is named "app". It is closed when the test ends.
func NewServer(t TB, target http.Handler) *Server {
	t.Helper()
	return Start(t, Config{TargetGroups: map[string]TargetGroup{DefaultGroup: {Targets: []Target{{Handler: target}}}}})
}

// DefaultGroup is the name of the target group that NewServer makes.
const DefaultGroup = "app"

// Start is New for a test: a mistake in cfg ends the test, and the end of the
// test closes the server.
func Start(t TB, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatalf("albtest: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Close ends the listeners, the targets that are handlers, the health checks
// and every connection, and waits for their goroutines. Requests in flight are
// cut off, so a handler has to return when its request's context ends. Closing
// twice is permitted.
func (s *Server) Close() {
	s.cancel()
	for _, l := range s.listeners {
		if l.socket != nil {
			_ = l.socket.Close()
		}
	}
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
	s.work.Wait()
	s.pool.close()
	s.transports.close()
	s.clients.close()
	for _, g := range s.groups {
		g.close()
	}
}

// track notes a client's connection for Close, unless that came first.
func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) forget(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) idleTimeout() time.Duration     { return s.cfg.Attributes.IdleTimeout }
func (s *Server) clientKeepAlive() time.Duration { return s.cfg.Attributes.ClientKeepAlive }

// Client returns a client at Config.ClientAddr. Every host name reaches the
// balancer: port 443 of any host is listener 443. It trusts the server's
// certificates and follows no redirects, since they are what is looked at.
func (s *Server) Client() *http.Client { return s.ClientFrom(s.cfg.ClientAddr) }

// ClientFrom is Client at another address.
func (s *Server) ClientFrom(addr netip.Addr) *http.Client {
	return s.clients.client("from "+addr.String(), func() *http.Transport {
		dial := func(ctx context.Context, _, to string) (net.Conn, error) {
			_, text, _ := net.SplitHostPort(to)
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("albtest: %q has no port: %w", to, err)
			}
			return s.Dial(ctx, addr, int(port))
		}
		return throughBalancer(dial, &tls.Config{RootCAs: s.authority.pool})
	})
}

// Direct returns a client that goes past the balancer, as anybody can who finds
// out the address of a target without a security group: every URL reaches the
// group's first target, from an address outside Subnets. It follows no
// redirects. Like TargetGroup, it panics if there is no such group.
func (s *Server) Direct(group string) *http.Client {
	g := s.group(group)
	return s.clients.client("direct "+group, func() *http.Transport { return pastBalancer(g) })
}

// Dial connects to the listener with that port, as from an address, and leaves
// it to the caller what to send.
func (s *Server) Dial(ctx context.Context, from netip.Addr, port int) (net.Conn, error) {
	c, err := s.env.network.dial(ctx, from, netip.AddrPortFrom(publicAddr, uint16(port)))
	if err != nil {
		return nil, fmt.Errorf("albtest: listener %d: %w", port, err)
	}
	return c, nil
}

// Addr returns where programs outside this one, such as curl, reach the
// listener with that port: "127.0.0.1:41234". Empty: there is no such listener,
// or the server is in memory.
func (s *Server) Addr(port int) string {
	i := slices.IndexFunc(s.listeners, func(l *listener) bool { return l.Port == port })
	if i < 0 || s.cfg.InMemory {
		return ""
	}
	return s.listeners[i].socket.Addr().String()
}

// CertPool returns the authority that signs the certificates of the HTTPS
// listeners.
func (s *Server) CertPool() *x509.CertPool { return s.authority.pool.Clone() }

// TargetGroup returns the handle of a group. It panics if there is none of that
// name, since the name stands in the test that asks.
func (s *Server) TargetGroup(name string) *TargetGroupHandle {
	return &TargetGroupHandle{s.group(name)}
}

func (s *Server) group(name string) *group {
	g := s.groups[name]
	if g == nil {
		panic(fmt.Sprintf("albtest: no target group %q; there are %q", name, sortedKeys(s.groups)))
	}
	return g
}

// Fault arms a fault. Several can be armed; each request takes the oldest that
// concerns its group. It panics if the fault has no kind.
func (s *Server) Fault(f Fault) {
	if f.Kind == 0 || f.Kind > ShortBody {
		panic("albtest: a fault without a kind")
	}
	s.faults.arm(f)
}

// Mend disarms every fault.
func (s *Server) Mend() { s.faults.mend() }

// Log returns a record of every request that was answered, oldest first. The
// record of a request is there before the client sees the end of the answer;
// that of a tunnel, once it stands.
func (s *Server) Log() []Entry { return s.journal.all() }
