package healthcheck

import (
	"net/http"
	"net/netip"

	"github.com/knownhops/knownhops/internal/family"
	"github.com/knownhops/knownhops/internal/hostport"
)

// Loopback reports whether a request comes from this machine and was meant for
// it: the peer is a loopback address, the Host is localhost or a loopback
// address (a name that an attacker's DNS points to 127.0.0.1 is not), and no
// forwarding header or Via is there. It is made for [Health.Details].
//
// Prohibited: Loopback behind a proxy on the same host. All of that proxy's
// clients come from a loopback address, and not every proxy says so in a header.
func Loopback(r *http.Request) bool {
	peer, ok := peerOf(r)
	if !ok || !peer.IsLoopback() {
		return false
	}
	host, _, ok := hostport.ParseHost(r.Host)
	return ok && (host == "localhost" || isLoopback(host)) && !family.In(r.Header) && len(r.Header["Via"]) == 0
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// peerOf is the address at the other end of the socket, unmapped and without a
// zone.
func peerOf(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr().Unmap().WithZone(""), err == nil
}
