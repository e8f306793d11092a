// Package proxyproto reads the PROXY protocol, versions 1 and 2: the few bytes
// in which a balancer that passes connections on, rather than requests, says
// who the client is.
//
//	ln, err := net.Listen("tcp", ":8080")
//	…
//	ln, err = proxyproto.Listen(ln, proxyproto.Config{From: []string{"10.0.16.0/20"}})
//	…
//	hops := forwarded.Must(forwarded.Behind(forwarded.NLBTLS("10.0.16.0/20")))
//	err = http.Serve(ln, hops.Wrap(mux))
//
// # Who is believed
//
// Whoever may send a header decides which address the service sees, so nobody
// may until Config.From names the balancer. The address decides, before one
// byte is read and never the bytes themselves:
//
//	from          sends                  becomes
//	From          a header               a connection whose RemoteAddr is the client's
//	From          LOCAL, UNKNOWN         a connection with the socket's own addresses
//	From          anything else          closed, and named in the log
//	From          nothing for Timeout    closed, and named in the log
//	anybody else  whatever               the connection as it came; a header is a bad request to HTTP
//
// A client can send a header of its own through a balancer that adds one. Only
// the first is the balancer's, and only the first is read.
//
// # Nobody waits
//
// Headers are read before Accept returns, each by a goroutine of its own, so
// that a sender who stays silent delays neither Accept nor a hook that asks for
// RemoteAddr. At most MaxPending of them wait, each for Timeout at most; when
// one more comes, the one that has been silent longest goes. When Close returns,
// no goroutine is left.
//
// # What handlers see
//
// RemoteAddr is the client. LocalAddr is a [forwarded.TransportAddr], from which
// package forwarded learns the balancer's own address and the port that the
// client connected to; [FromContext] tells the rest. No byte behind the header
// is read ahead, so that what Accept returns still is the operating system's own
// connection: sendfile, splice, CloseWrite and SyscallConn work as they did.
//
// The listener goes innermost: TLS and everything else wrap it.
//
// Source: the specification, https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt.
package proxyproto
