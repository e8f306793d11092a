package proxyproto_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// A service behind a Network Load Balancer that ends TLS. The same subnets are
// named twice: who may send the header, and which hop it speaks of.
func Example() {
	subnets := []string{"10.0.16.0/20", "10.0.32.0/20"}
	hops := forwarded.Must(forwarded.Behind(forwarded.NLBTLS(subnets...)))

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := proxyproto.Listen(ln, proxyproto.Config{From: subnets})
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: hops.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info := forwarded.From(r)
			if h, ok := proxyproto.FromContext(r.Context()); ok {
				fmt.Fprintln(w, "endpoint", h.VPCEndpoint())
			}
			fmt.Fprintln(w, info.Client, info.Scheme)
		})),
	}
	go func() { log.Print(srv.Serve(l)) }()
}

// Any program can be the sender in a test of your own.
func ExampleListen() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := proxyproto.Listen(ln, proxyproto.Config{From: []string{"127.0.0.1"}})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	sender, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	fmt.Fprint(sender, "PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\r\nhello")

	conn, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	text := make([]byte, 5)
	if _, err := io.ReadFull(conn, text); err != nil {
		log.Fatal(err)
	}
	fmt.Println(conn.RemoteAddr(), "to", conn.LocalAddr(), "says", string(text))
	// Output: 192.0.2.9:1000 to 10.0.0.1:443 says hello
}

// Trust has to be spelled out: an empty list believes nobody, and "any" alone
// is refused.
func ExampleListen_nobodyTrusted() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	_, err = proxyproto.Listen(ln, proxyproto.Config{From: []string{"any"}})
	fmt.Println(err)
	// Output: From[0]: "any": everybody could say who the client is; name the balancer's subnets, or set DangerouslyAnyPeer behind a security group
}
