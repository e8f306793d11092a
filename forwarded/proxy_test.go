package forwarded_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// through is a PROXY header from the balancer: source and destination as
// address and port, "" for none.
func through(peer, source, destination string) *forwarded.Transport {
	read := func(s string) netip.AddrPort {
		if s == "" {
			return netip.AddrPort{}
		}
		return netip.MustParseAddrPort(s)
	}
	return &forwarded.Transport{Peer: read(peer), Source: read(source), Destination: read(destination)}
}

// TestPROXY is the contract with whatever reads PROXY headers.
func TestPROXY(t *testing.T) {
	const source, dst443, dst80, dst8443 = client + ":5000", "10.0.16.5:443", "10.0.16.5:80", "10.0.16.5:8443"
	ends, passes := forwarded.NLBTLS("10.0.16.0/20"), forwarded.NLBTCP("10.0.16.0/20")
	local := through(albPeer, "", "")
	local.Local = true
	localOfStranger := through(directPeer, "", "")
	localOfStranger.Local = true
	viaALB := through(albPeer, "10.0.32.9:5000", dst443)
	inner := []forwarded.Hop{ends, forwarded.Trusted("10.0.32.0/20")}
	forged := []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443"}
	for _, c := range []struct {
		name      string
		hops      []forwarded.Hop
		remote    string
		transport *forwarded.Transport
		tls       bool
		header    []string
		client    string // with its port; "": unknown
		scheme    forwarded.Scheme
		schemeWhy forwarded.Reason
		port      uint16
		hopsUsed  int
		status    forwarded.Status
		reason    forwarded.Reason
	}{
		{"TLS ended, 443", []forwarded.Hop{ends}, albPeer, through(albPeer, source, dst443), false, forged,
			source, forwarded.HTTPS, 0, 443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"TLS ended, 80", []forwarded.Hop{ends}, albPeer, through(albPeer, source, dst80), false, forged,
			source, forwarded.HTTP, 0, 80, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"TLS ended, another port", []forwarded.Hop{ends}, albPeer, through(albPeer, source, dst8443), false, nil,
			source, forwarded.SchemeUnknown, forwarded.ReasonSchemeLost, 8443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"TLS ended, the leg encrypted again: still the port", []forwarded.Hop{ends}, albPeer, through(albPeer, source, dst80), true, nil,
			source, forwarded.HTTP, 0, 80, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"TLS ended, encrypted again, another port", []forwarded.Hop{ends}, albPeer, through(albPeer, source, dst8443), true, nil,
			source, forwarded.SchemeUnknown, forwarded.ReasonSchemeLost, 8443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"bytes passed, plain", []forwarded.Hop{passes}, albPeer, through(albPeer, source, dst443), false, forged,
			source, forwarded.HTTP, 0, 443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"bytes passed, TLS here", []forwarded.Hop{passes}, albPeer, through(albPeer, source, dst8443), true, nil,
			source, forwarded.HTTPS, 0, 8443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"the peer is the transport's, not RemoteAddr", []forwarded.Hop{ends}, source, through(albPeer, source, dst443), false, nil,
			source, forwarded.HTTPS, 0, 443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"RemoteAddr is not even read", []forwarded.Hop{ends}, "", through(albPeer, source, dst443), false, nil,
			source, forwarded.HTTPS, 0, 443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"IPv6", []forwarded.Hop{ends}, albPeer, through(albPeer, "[2001:db8::7]:5000", "[2001:db8::1]:443"), false, nil,
			"[2001:db8::7]:5000", forwarded.HTTPS, 0, 443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"mapped addresses", []forwarded.Hop{ends}, albPeer, through("[::ffff:10.0.16.5]:40000", "[::ffff:203.0.113.7]:5000", dst443), false, nil,
			source, forwarded.HTTPS, 0, 443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"a health check", []forwarded.Hop{ends}, albPeer, local, false, nil,
			"", forwarded.SchemeUnknown, forwarded.ReasonLocal, 0, 1, forwarded.StatusLocal, forwarded.ReasonLocal},
		{"no source", []forwarded.Hop{ends}, albPeer, through(albPeer, "", dst443), false, forged,
			"", forwarded.HTTPS, 0, 443, 1, forwarded.StatusUnknown, forwarded.ReasonObfuscated},
		{"an unspecified source", []forwarded.Hop{ends}, albPeer, through(albPeer, "0.0.0.0:1", dst443), false, nil,
			"", forwarded.HTTPS, 0, 443, 1, forwarded.StatusUnknown, forwarded.ReasonObfuscated},
		{"no PROXY header", []forwarded.Hop{ends}, albPeer, nil, true, forged,
			"", forwarded.SchemeUnknown, forwarded.ReasonMismatch, 0, 1, forwarded.StatusUnknown, forwarded.ReasonMismatch},
		{"no PROXY header from a stranger", []forwarded.Hop{ends}, directPeer, nil, false, forged,
			directPeer, forwarded.HTTP, 0, 80, 0, forwarded.StatusDirect, forwarded.ReasonDirect},
		{"a PROXY header from a stranger", []forwarded.Hop{ends}, directPeer, through(directPeer, source, dst443), true, forged,
			"", forwarded.SchemeUnknown, forwarded.ReasonMismatch, 0, 0, forwarded.StatusUnknown, forwarded.ReasonMismatch},
		{"a stranger's own health check", []forwarded.Hop{ends}, directPeer, localOfStranger, false, nil,
			"", forwarded.SchemeUnknown, forwarded.ReasonMismatch, 0, 0, forwarded.StatusUnknown, forwarded.ReasonMismatch},
		{"a PROXY header for a hop of another kind", []forwarded.Hop{albHop()}, albPeer, through(albPeer, source, dst443), false, forged,
			"", forwarded.SchemeUnknown, forwarded.ReasonMismatch, 0, 0, forwarded.StatusUnknown, forwarded.ReasonMismatch},
		{"a PROXY header, and no hops", nil, albPeer, through(albPeer, source, dst443), false, nil,
			"", forwarded.SchemeUnknown, forwarded.ReasonMismatch, 0, 0, forwarded.StatusUnknown, forwarded.ReasonMismatch},
		{"a PROXY header without a peer", []forwarded.Hop{ends}, albPeer, through("", source, dst443), false, nil,
			"", forwarded.SchemeUnknown, forwarded.ReasonBadPeer, 0, 0, forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"a proxy behind the balancer", inner, albPeer, viaALB, false, []string{"X-Forwarded-For: 6.6.6.6, " + source, "X-Forwarded-Proto: http"},
			source, forwarded.HTTP, 0, 0, 2, forwarded.StatusForwarded, forwarded.ReasonForwarded},
		{"that proxy's own probe", inner, albPeer, viaALB, false, nil,
			"", forwarded.SchemeUnknown, forwarded.ReasonLocal, 0, 2, forwarded.StatusLocal, forwarded.ReasonLocal},
		{"a client past that proxy", inner, albPeer, through(albPeer, source, dst443), false, forged,
			source, forwarded.HTTPS, 0, 443, 1, forwarded.StatusForwarded, forwarded.ReasonForwarded},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := refRequest{remote: c.remote, host: ourHost, transport: c.transport, tls: c.tls, header: lines(c.header...)}
			info := behind(t, c.hops...).Resolve(q.request())
			got := ""
			if info.Client.IsValid() {
				got = netip.AddrPortFrom(info.Client, info.ClientPort).String()
			} else if info.ClientPort != 0 {
				t.Errorf("port %d of an unknown client", info.ClientPort)
			}
			if got != c.client || info.Status != c.status || info.Reason != c.reason {
				t.Errorf("client %q, %v, %v; want %q, %v, %v", got, info.Status, info.Reason, c.client, c.status, c.reason)
			}
			if info.Scheme != c.scheme || info.SchemeReason != c.schemeWhy || info.Port != c.port {
				t.Errorf("%v (%v), port %d; want %v (%v), %d", info.Scheme, info.SchemeReason, info.Port, c.scheme, c.schemeWhy, c.port)
			}
			if info.Hops != c.hopsUsed || info.Host != ourHost {
				t.Errorf("%d hops, host %q; want %d, %q", info.Hops, info.Host, c.hopsUsed, ourHost)
			}
			if want := c.transport; want != nil && want.Peer.IsValid() && info.Peer != netip.AddrPortFrom(want.Peer.Addr().Unmap(), want.Peer.Port()) {
				t.Errorf("peer %v, want the balancer, %v", info.Peer, want.Peer)
			}
		})
	}
}

// TestPROXYHeadersAreNotBelieved: a balancer that passes bytes passes the
// client's own headers, which go.
func TestPROXYHeadersAreNotBelieved(t *testing.T) {
	q := refRequest{remote: albPeer, host: ourHost, transport: through(albPeer, client+":5000", "10.0.16.5:443"),
		header: lines("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "Cookie: a")}
	got, _ := pass(behind(t, forwarded.NLBTCP("10.0.16.0/20")), q.request())
	if len(got.Header) != 1 || got.Header.Get("Cookie") != "a" {
		t.Errorf("next got %v", got.Header)
	}
}

// TestPeers: who the other end of the socket is, if no header is believed.
func TestPeers(t *testing.T) {
	unix := func(remote string) refRequest { return refRequest{remote: remote, unix: true, host: ourHost} }
	tcp := func(remote string) refRequest { return refRequest{remote: remote, host: ourHost} }
	for _, c := range []struct {
		name   string
		q      refRequest
		peer   string // "": invalid
		status forwarded.Status
		reason forwarded.Reason
	}{
		{"IPv4", tcp("198.51.100.9:40000"), "198.51.100.9:40000", forwarded.StatusDirect, forwarded.ReasonDirect},
		{"IPv6", tcp("[2001:db8::7]:1"), "[2001:db8::7]:1", forwarded.StatusDirect, forwarded.ReasonDirect},
		{"mapped", tcp("[::ffff:198.51.100.9]:40000"), "198.51.100.9:40000", forwarded.StatusDirect, forwarded.ReasonDirect},
		{"a zone", tcp("[fe80::1%eth0]:40000"), "[fe80::1]:40000", forwarded.StatusDirect, forwarded.ReasonDirect},
		{"a zone as Windows writes it", tcp("[fe80::1%Ethernet 2]:50000"), "[fe80::1]:50000", forwarded.StatusDirect, forwarded.ReasonDirect},
		{"such a zone, no port", tcp("fe80::1%Ethernet 2"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"such a zone, port 0", tcp("[fe80::1%Ethernet 2]:0"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"no address, but a percent sign", tcp("proxy%20:80"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"an IPv4 address with a zone", tcp("198.51.100.9%eth0:80"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"no port", tcp("198.51.100.9"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"port 0", tcp("198.51.100.9:0"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"unknown:0", tcp("unknown:0"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"empty", tcp(""), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"@ over TCP", tcp("@"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"a name", tcp("localhost:80"), "", forwarded.StatusUnknown, forwarded.ReasonBadPeer},
		{"a unix socket", unix("@"), "", forwarded.StatusDirect, forwarded.ReasonDirect},
		{"a unix socket, no RemoteAddr", unix(""), "", forwarded.StatusDirect, forwarded.ReasonDirect},
		{"a unix socket that claims an address", unix("10.0.16.5:40000"), "", forwarded.StatusDirect, forwarded.ReasonDirect},
	} {
		info := behind(t, albHop()).Resolve(c.q.request())
		got := ""
		if info.Peer.IsValid() {
			got = info.Peer.String()
		}
		if got != c.peer || info.Status != c.status || info.Reason != c.reason {
			t.Errorf("%s: peer %q, %v, %v; want %q, %v, %v", c.name, got, info.Status, info.Reason, c.peer, c.status, c.reason)
		}
		if info.Client != info.Peer.Addr() {
			t.Errorf("%s: client %v, want the peer", c.name, info.Client)
		}
	}
}

// TestZonedHop: a From entry with a zone means that link only, one without
// means every link.
func TestZonedHop(t *testing.T) {
	for _, c := range []struct {
		from, peer string
		hops       int
	}{
		{"fe80::1%eth0", "[fe80::1%eth0]:1", 1},
		{"fe80::1%eth0", "[fe80::1%eth1]:1", 0},
		{"fe80::1%eth0", "[fe80::1]:1", 0},
		{"fe80::1", "[fe80::1%eth0]:1", 1},
		{"fe80::/10", "[fe80::1%eth0]:1", 1},
		{"fe80::/10", "[fe80::1%Ethernet 2]:1", 1},
		{"fe80::1", "[fe80::1%Ethernet 2]:1", 1},
		{"fe80::1%eth0", "[fe80::1%Ethernet 2]:1", 0},
	} {
		info := behind(t, forwarded.Trusted(c.from)).Resolve(get(c.peer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https"))
		if info.Hops != c.hops {
			t.Errorf("%s from %s: %d hops, want %d", c.peer, c.from, info.Hops, c.hops)
		}
	}
}

// TestZonesInHeaders: a zone that only an operating system would write is not
// taken from a header, where a list or more could hide in it.
func TestZonesInHeaders(t *testing.T) {
	p := behind(t, albHop())
	for text, want := range map[string]forwarded.Reason{
		"fe80::1%eth0":                  forwarded.ReasonForwarded,
		"[fe80::1%eth0]:5000":           forwarded.ReasonForwarded,
		"fe80::1%Ethernet 2":            forwarded.ReasonMalformed,
		"[fe80::1%Ethernet 2]:50000":    forwarded.ReasonMalformed,
		"fe80::1%eth0;x":                forwarded.ReasonMalformed,
		"[fe80::1%eth0 6.6.6.6]:5000":   forwarded.ReasonMalformed,
		"fe80::1%<script>":              forwarded.ReasonMalformed,
		"fe80::1%\"eth0\"":              forwarded.ReasonMalformed,
		"6.6.6.6, [fe80::1%a b]:50000 ": forwarded.ReasonMalformed,
	} {
		if got := p.Resolve(get(albPeer, "X-Forwarded-For: "+text)); got.Reason != want || got.Client.Zone() != "" {
			t.Errorf("%q: %v (%v), want %v", text, got.Reason, got.Client, want)
		}
	}
}

// TestUnixListener serves over a real unix socket: with "unix" in From the
// peer is the proxy, without it the client has no address.
func TestUnixListener(t *testing.T) {
	for _, c := range []struct {
		hop    forwarded.Hop
		client string
		scheme forwarded.Scheme
		hops   int
	}{
		{forwarded.Nginx("unix"), client, forwarded.HTTPS, 1},
		{forwarded.Nginx(forwarded.AnyPeer), client, forwarded.HTTPS, 1},
		{forwarded.Nginx("127.0.0.1"), "invalid IP", forwarded.HTTP, 0},
	} {
		infos := make(chan forwarded.Info, 1)
		p := behind(t, c.hop)
		srv := httptest.NewUnstartedServer(p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { infos <- forwarded.From(r) })))
		socket := filepath.Join(t.TempDir(), "s")
		srv.Listener.Close()
		var err error
		if srv.Listener, err = net.Listen("unix", socket); err != nil {
			t.Skip("no unix sockets here:", err)
		}
		srv.Start()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
		r, err := http.NewRequest("GET", "http://"+ourHost, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = lines("X-Forwarded-For: "+client, "X-Forwarded-Proto: https")
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		transport.CloseIdleConnections()
		srv.Close()
		info := <-infos
		if info.Client.String() != c.client || info.Scheme != c.scheme || info.Hops != c.hops || info.Peer.IsValid() || info.Host != ourHost {
			t.Errorf("from %v: %+v, want client %s, %v, %d hops", c.hop.From, info, c.client, c.scheme, c.hops)
		}
	}
}

// TestSocketTruth: without a hop the socket says scheme and port.
func TestSocketTruth(t *testing.T) {
	for _, c := range []struct {
		host   string
		tls    bool
		scheme forwarded.Scheme
		port   uint16
	}{
		{ourHost, false, forwarded.HTTP, 80},
		{ourHost, true, forwarded.HTTPS, 443},
		{ourHost + ":8443", true, forwarded.HTTPS, 8443},
		{ourHost + ":443", false, forwarded.HTTP, 443},
		{"[2001:db8::1]:8080", false, forwarded.HTTP, 8080},
	} {
		r := refRequest{remote: directPeer, host: c.host, header: lines("X-Forwarded-Proto: gopher", "X-Forwarded-Port: 1")}.request()
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if info := behind(t, albHop()).Resolve(r); info.Scheme != c.scheme || info.Port != c.port || info.SchemeReason != 0 {
			t.Errorf("%s: %v, port %d; want %v, %d", c.host, info.Scheme, info.Port, c.scheme, c.port)
		}
	}
}
