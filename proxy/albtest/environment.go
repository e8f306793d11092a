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

	mu   sync.Mutex
	last netip.Addr // the last one given to a machine
}

// firstMachine is in a network of its own, so that a service which believes
// the networks of the nodes believes none of its neighbours.
const firstMachine = "10.0.16.10"

// nextMachine gives an address to a target that names none.
func (e *environment) nextMachine() netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last.IsValid() {
		e.last = e.last.Next()
	} else {
		e.last = netip.MustParseAddr(firstMachine)
	}
	return e.last
}
