package proxy

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/conferr"
)

// Config is plain data; New checks all of it and reports every mistake. The
// zero value of each field but Upstreams is a default fit for production.
type Config struct {
	// Upstreams are where requests go: "http://127.0.0.1:8080", "https://app.internal",
	// "unix:/run/app.sock" for HTTP/1.1, "h2c://127.0.0.1:8080" for HTTP/2 without
	// TLS (gRPC). At least one; no path, no user, no duplicates.
	Upstreams []string

	// Policy finds out who the client is, unless an outer Wrap has already done
	// so. Nil: the Info in the request's context or, without one, believe nobody.
	Policy *forwarded.Policy

	Headers  Headers     // what is written for the next hop
	Balance  Balance     // which upstream takes a request
	Check    HealthCheck // how upstreams that do not work are found
	Retry    Retry       // when a request is tried again
	Timeouts Timeouts
	Limits   Limits

	// RewriteHost sends the upstream its own host instead of the client's Host,
	// which is in X-Forwarded-Host all the same.
	RewriteHost bool

	// Transport carries the requests. Nil: what NewTransport makes of Timeouts
	// and Limits. One from NewTransport keeps its own Timeouts and Limits for its
	// connections. A transport of one's own dials itself, so upstreams must not be
	// unix sockets or h2c, and the time-outs of dialing and of idle connections
	// are its own; Head, Idle and Total hold all the same.
	Transport http.RoundTripper

	Errors  ErrorPages                  // what clients see when an exchange fails
	OnError func(*http.Request, *Error) // called for every failed exchange; must not block. Nil: nothing
	Logger  *slog.Logger                // nil: slog.Default
}

// Timeouts bounds the parts of an exchange. Zero is the default named at each
// field; a negative value means no limit. While a body is passed on, Idle takes
// the place of the ReadTimeout and WriteTimeout of the http.Server, which would
// end long streams; to bound those as well, set Total.
type Timeouts struct {
	Dial         time.Duration // to connect, DNS included: 5 s
	TLSHandshake time.Duration // with https upstreams: 5 s
	Head         time.Duration // from the end of the request to the answer's head: 60 s
	Idle         time.Duration // between two pieces of a body, in each direction: 60 s
	Total        time.Duration // of the whole exchange: none, so that streams and large bodies live
	Tunnel       time.Duration // without a byte in either direction of a WebSocket: 1 h

	// UpstreamIdle is how long an unused connection is kept: 55 s, or a second
	// less than the upstream's "Keep-Alive: timeout" says. It must be shorter than
	// the upstream's own limit (nginx 75 s, Apache 5 s, Go none unless set, Node 5 s).
	UpstreamIdle time.Duration
}

// Limits bounds what is accepted. Zero is the default named at each field; a
// negative value means no limit, where that is allowed.
type Limits struct {
	RequestBody    int64 // bytes, else 413: none
	RequestHeader  int   // bytes of all header lines, else 431: 64 KiB
	URI            int   // bytes of the request target, else 414: 16 KiB (ALB's request line has 16 K)
	ResponseHeader int   // bytes of an answer's head, else 502: 64 KiB (ALB refuses more than 32 K)
	IdleConns      int   // unused connections kept per upstream: 256
	InFlight       int   // requests at once per upstream, else 503: none; not negative
}

// Retry says when a request is sent again. Where a connection could not be
// made, another upstream is tried, with any method; once a byte was sent, only GET, HEAD,
// OPTIONS, PUT, DELETE and requests with an Idempotency-Key are, and only if no
// byte of an answer came and the body is complete in memory. A POST whose bytes
// were sent is never sent again.
type Retry struct {
	Attempts int     // attempts in all: 2; 1: never again
	Budget   float64 // retries as a part of requests: 0.2, so that an outage is not multiplied
	Burst    int     // retries that are always allowed each second: 3
	MaxBody  int64   // largest body that is kept for it: 64 KiB
}

// ConfigErrors is every mistake of a Config, in field order.
type ConfigErrors = conferr.Errors

// ConfigError is one mistake: where it is, what stands there, what is wrong
// and what to write instead.
type ConfigError = conferr.Error
