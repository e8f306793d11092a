// Package proxy is the reverse proxy of the chain: it takes requests that
// package forwarded has understood, and writes for the next hop what the next
// hop may believe.
//
//	app := proxy.Must(proxy.To("http://127.0.0.1:8080"))
//	hops := forwarded.Must(forwarded.Behind(forwarded.ALB("10.0.16.0/20")))
//	http.ListenAndServe("127.0.0.1:80", hops.Wrap(app))
//
// # What the next hop gets
//
// Every header by which proxies speak of the client is deleted first, with its
// aliases, and then written from one [forwarded.Info]; nothing of the family is
// ever copied through. [WriteHeaders] is that step as a function of its own.
// The Host stays the client's. What a Connection header nominates is removed,
// but for the names that carry identity, framing or forwarding.
//
// # When it fails
//
// Each failure has a stage, a reason and a status ([Error]): 502 when nothing
// listens, the connection is reset or the answer is no HTTP, 503 when no
// upstream is healthy, 504 on time-outs, 4xx when the client was at fault, which
// never counts against an upstream. The log line of a failure names the
// upstream, what happened there and what to check; the client is told the kind
// of failure at most (Proxy-Status, RFC 9209), and the id that the log line has.
// An answer that breaks off is passed on as broken, never as complete.
//
// # Connections
//
// Plain HTTP/1.1 upstreams (over TCP or a unix socket) are spoken to by a client
// of this package's own, in the goroutine of the request. Others (https, h2c)
// go through net/http's Transport. Idle connections are closed before the
// upstream would close them ([TransportConfig]): a request that is written into
// a connection just being closed is a 502 nobody can explain.
package proxy
