package albtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// directAddr is who the clients of Server.Direct appear to be: an address for
// documentation (RFC 5737), outside Subnets.
const directAddr = "198.51.100.66"

// clients makes the HTTP clients of a server, and ends their connections with
// it. The zero value is ready.
type clients struct {
	mu         sync.Mutex
	transports map[string]*http.Transport // by what they are for
}

// client returns a client whose connections go where dial says, whatever the
// host of the URL is. Clients for the same purpose share their connections, and
// nothing else: the caller may change what it gets.
//
// It takes no proxy from the environment, and follows no redirects, because
// they are what is looked at.
func (c *clients) client(purpose string, build func() *http.Transport) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transports[purpose] == nil {
		if c.transports == nil {
			c.transports = make(map[string]*http.Transport)
		}
		c.transports[purpose] = build()
	}
	return &http.Client{
		Transport:     c.transports[purpose],
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// close ends the connections that are idle; the server ends the others.
func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// dialFunc is http.Transport.DialContext.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// throughBalancer is the transport of Client and ClientFrom: HTTP/2 where a
// listener offers it, as browsers do.
func throughBalancer(dial dialFunc, trust *tls.Config) *http.Transport {
	return &http.Transport{DialContext: dial, TLSClientConfig: trust, ForceAttemptHTTP2: true}
}

// pastBalancer is the transport of Direct. It believes any certificate, as an
// attacker does, and speaks what the targets speak.
func pastBalancer(g *group) *http.Transport {
	t := &http.Transport{
		DialContext:     g.dialDirect,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Protocols:       new(http.Protocols),
	}
	t.Protocols.SetHTTP1(g.cfg.ProtocolVersion == HTTP1)
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(g.cfg.ProtocolVersion != HTTP1)
	return t
}

// dialDirect connects to the first target that is registered or draining, or
// else to the first that ever was: a machine does not go away with its
// registration.
func (g *group) dialDirect(ctx context.Context, _, _ string) (net.Conn, error) {
	g.mu.Lock()
	list := append(g.present(), g.targets...)
	g.mu.Unlock()
	if len(list) == 0 {
		return nil, fmt.Errorf("albtest: group %q has no target to connect to", g.name)
	}
	return g.env.network.dial(ctx, netip.MustParseAddr(directAddr), list[0].addr)
}
