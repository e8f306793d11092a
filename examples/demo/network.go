package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"
)

// A network says which loopback addresses the parts of the demo connect from.
// Visitors come from 127.0.0.1, so nobody else may, or the application could
// not tell a visitor from a proxy.
type network struct {
	balancer string // where the balancer connects from
	nginx    string // where nginx connects from; "unix": through a socket
}

// networks are what a machine may have, best first: IPv4 throughout, or one
// address of IPv6 beside the one of IPv4, which is all that macOS has.
var networks = []network{
	{balancer: "127.0.0.2", nginx: "127.0.0.3"},
	{balancer: "::1", nginx: "unix"},
}

// findNetwork returns the first network whose addresses this machine has.
func findNetwork() (network, error) {
	for _, n := range networks {
		if n.available() {
			return n, nil
		}
	}
	return network{}, errors.New("this machine has no loopback address but 127.0.0.1, so a visitor and the balancer would look alike; " +
		"on macOS, sudo ifconfig lo0 alias 127.0.0.2 up (and 127.0.0.3) adds two")
}

func (n network) available() bool {
	for _, addr := range []string{n.balancer, n.nginx} {
		if addr == "unix" {
			continue
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
		if err != nil {
			return false
		}
		ln.Close()
	}
	return true
}

// v4 reports whether the balancer can connect to what visitors connect to. If
// not, its targets need a listener of their own.
func (n network) v4() bool { return netip.MustParseAddr(n.balancer).Is4() }

// inner listens for whoever stands in front of the application, where that one
// cannot connect to what visitors connect to.
func (n network) inner(nginx bool, dir string) (net.Listener, error) {
	if nginx {
		return net.Listen("unix", filepath.Join(dir, "application.sock"))
	}
	return net.Listen("tcp", "[::1]:0")
}

// dialFrom connects from one loopback address; "": as the system likes.
func dialFrom(addr string) func(ctx context.Context, network, target string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	if addr != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(addr)}
	}
	return d.DialContext
}

// listen opens a port for visitors, or a free one where it cannot be had; note
// then says so.
func listen(purpose string, port uint) (ln net.Listener, note string, err error) {
	wanted := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	if port != 0 && somebodyAt(net.JoinHostPort("::1", strconv.Itoa(int(port)))) {
		err = errors.New("another program listens on it at ::1, and localhost may mean that")
	} else if ln, err = net.Listen("tcp", wanted); err == nil {
		return ln, "", nil
	}
	why := err
	if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, "", fmt.Errorf("%s: %w", purpose, err)
	}
	return ln, fmt.Sprintf("%s: port %d cannot be had (%v); port %d is used instead", purpose, port, why, portOf(ln)), nil
}

// somebodyAt reports whether a connection is accepted there.
func somebodyAt(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func portOf(ln net.Listener) uint16 {
	return ln.Addr().(*net.TCPAddr).AddrPort().Port()
}

// addressOf is a listener's address as a URL or nginx's proxy_pass names it.
func addressOf(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return "unix:" + ln.Addr().String()
	}
	return ln.Addr().String()
}

// localhost is 127.0.0.1:port by the name that a browser shows.
func localhost(scheme string, ln net.Listener) string {
	return fmt.Sprintf("%s://localhost:%d", scheme, portOf(ln))
}
