package albtest

import (
	"crypto/tls"
	"net/netip"
	"sync"
)

// environment is what the target groups of one server share.
type environment struct {
	network  network
	nodes    []netip.Addr
	unknowns Unknowns

	// certificate is for handlers in groups with protocol HTTPS.
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	mu    sync.Mutex
	last  netip.Addr          // the last one given to a machine
	taken map[netip.Addr]bool // those that targets name
}

// take keeps an address from being given to a machine that names none.
func (e *environment) take(ip netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.taken == nil {
		e.taken = make(map[netip.Addr]bool)
	}
	e.taken[ip] = true
}

// firstMachine is in a network of its own, so that a service which believes
// the networks of the nodes believes none of its neighbours.
const firstMachine = "10.0.16.10"

// nextMachine gives an address to a target that names none.
func (e *environment) nextMachine() netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.last.IsValid() {
		e.last = netip.MustParseAddr(firstMachine).Prev()
	}
	for e.last = e.last.Next(); e.taken[e.last]; {
		e.last = e.last.Next()
	}
	return e.last
}
