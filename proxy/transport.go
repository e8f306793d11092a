package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TransportConfig is for one hop: the connections from this proxy to its
// upstreams. The zero value is what New uses.
type TransportConfig struct {
	Timeouts Timeouts    // Dial, TLSHandshake, Head, Idle and UpstreamIdle
	Limits   Limits      // ResponseHeader and IdleConns
	TLS      *tls.Config // for https upstreams; nil: the system's roots. It is cloned

	// Dial makes the connections. Nil: a net.Dialer. It must be safe for
	// concurrent use. Connections that are not syscall.Conns (TLS, wrappers) cost a
	// tenth of a millisecond each time they are used again: they can be looked at
	// only by waiting for what they say.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// NewTransport returns a RoundTripper for the hop to an upstream, for use in
// Config.Transport or under any other proxy. http is spoken by a client of this
// package's own, which uses the caller's goroutine; https (with HTTP/2 where the
// upstream offers it) and h2c by net/http's Transport, without its hidden gzip,
// environment proxies and limit of two idle connections.
//
// Unused connections are closed after Timeouts.UpstreamIdle, or a second before
// the end of the time that the upstream names in Keep-Alive, whichever is
// sooner. The side that closes first must be this one: with the upstream's
// limit below the pool's, 0.3 to 1.4 % of POSTs at random intervals met a
// connection that was just being closed, up to 30 % when the gaps between them
// were the upstream's limit, and none the other way round. Such a request
// cannot be sent again, and its loss stands in no log of the application.
//
// A request with a body that can be had again (http.Request.GetBody) or none is
// sent again once, if it is idempotent and the connection was lost before an
// answer came. Errors are of type *Error. Negative values in the Config mean no
// limit, as in Timeouts and Limits.
func NewTransport(cfg TransportConfig) http.RoundTripper {
	cfg.Timeouts.fill()
	cfg.Limits.fill()
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
	}
	t := &transport{cfg: cfg, tls: cfg.standard(false), h2c: cfg.standard(true), clients: make(map[string]*client)}
	t.tls.DialContext, t.h2c.DialContext = t.sockets.counted(cfg.dialInTime), t.sockets.counted(cfg.dialInTime)
	return t
}

type transport struct {
	cfg      TransportConfig
	tls, h2c *http.Transport
	sockets  sockets // of those two

	mu      sync.Mutex
	clients map[string]*client // by network and address
}

// standard is net/http's Transport with these settings.
func (c *TransportConfig) standard(h2c bool) *http.Transport {
	t := &http.Transport{
		DialContext: c.dialInTime, TLSClientConfig: c.TLS, TLSHandshakeTimeout: max(c.Timeouts.TLSHandshake, 0),
		DisableCompression: true, MaxIdleConnsPerHost: c.Limits.IdleConns, IdleConnTimeout: max(c.Timeouts.UpstreamIdle, 0),
		ResponseHeaderTimeout: max(c.Timeouts.Head, 0), ExpectContinueTimeout: expectTime,
		MaxResponseHeaderBytes: int64(c.Limits.ResponseHeader), ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10,
		Protocols: new(http.Protocols),
	}
	if c.Limits.ResponseHeader < 0 {
		t.MaxResponseHeaderBytes = 1 << 30
	}
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second} // a machine that vanished would hold all requests
	t.Protocols.SetUnencryptedHTTP2(h2c)
	t.Protocols.SetHTTP1(!h2c)
	t.Protocols.SetHTTP2(!h2c)
	return t
}

// dialInTime is Dial within its time.
func (c *TransportConfig) dialInTime(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.Timeouts.Dial > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeouts.Dial)
		defer cancel()
	}
	return c.Dial(ctx, network, addr)
}

// client returns the client for an address; all of its users share a pool.
func (t *transport) client(network, addr string) *client {
	key := network + " " + addr
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[key]
	if c == nil {
		c = &client{wait: t.cfg.Timeouts.Head, pause: t.cfg.Timeouts.Idle, maxHead: t.cfg.Limits.ResponseHeader}
		c.pool = &pool{network: network, addr: addr, dial: t.cfg.dialInTime, idleTimeout: t.cfg.Timeouts.UpstreamIdle, max: t.cfg.Limits.IdleConns}
		t.clients[key] = c
	}
	return c
}

// carrier is how an upstream is spoken to.
func (t *transport) carrier(up *upstream) carrier {
	switch up.scheme {
	case "https":
		return &roundTrips{rt: t.tls, up: up}
	case "h2c":
		return &roundTrips{rt: t.h2c, up: up, scheme: "http"}
	}
	return t.client(up.network, up.addr)
}

// close closes the unused connections, and every other when it comes back.
func (t *transport) close() {
	t.tls.CloseIdleConnections()
	t.h2c.CloseIdleConnections()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.clients {
		c.pool.close()
	}
}

// CloseIdleConnections closes the connections that are not in use, as
// http.Client does it.
func (t *transport) CloseIdleConnections() {
	t.tls.CloseIdleConnections()
	t.h2c.CloseIdleConnections()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.clients {
		c.pool.closeIdle()
	}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		return t.tls.RoundTrip(r) // which has the words for it
	}
	switch r.URL.Scheme {
	case "https":
		return t.tls.RoundTrip(r)
	case "h2c":
		plain := r.Clone(r.Context())
		plain.URL.Scheme = "http"
		return t.h2c.RoundTrip(plain)
	}
	r, err := plainRequest(r)
	if err != nil {
		return nil, err
	}
	resp, e := t.roundTrip(r)
	if e != nil {
		return nil, e
	}
	return resp, nil
}

// plainRequest refuses what cannot be sent over plain HTTP/1.1, and fills in
// the method. It closes the body of what it refuses.
func plainRequest(r *http.Request) (*http.Request, error) {
	var problem string
	switch {
	case r.URL.Scheme != "http":
		problem = "unsupported scheme " + strconv.Quote(r.URL.Scheme)
	case r.URL.Host == "":
		problem = "no host in the URL"
	case r.Method != "" && !isToken(r.Method):
		problem = "invalid method " + strconv.Quote(r.Method)
	}
	if problem != "" {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, &Error{Stage: StageRequest, Err: errors.New(problem), reason: ReasonBadRequest}
	}
	if r.Method == "" {
		r = r.WithContext(r.Context())
		r.Method = http.MethodGet
	}
	return r, nil
}

func (t *transport) roundTrip(r *http.Request) (*http.Response, *Error) {
	addr := r.URL.Host
	if r.URL.Port() == "" {
		addr = net.JoinHostPort(r.URL.Hostname(), "80")
	}
	c := t.client("tcp", addr)
	o := outboundOf(r)
	k, e := c.do(o)
	if e != nil && e.stale && idempotent(o.req.Method, o.header) && o.rewind() {
		o.fresh = true
		k, e = c.do(o)
	}
	if e != nil {
		o.closeBody()
		e.Upstream, e.Attempt = addr, 1
		return nil, e
	}
	return k.response(o), nil
}

// outboundOf is a request as http.Client hands it over.
func outboundOf(r *http.Request) *outbound {
	o := &outbound{req: r, last: r.Close, host: r.Host, header: plainHeader(r.Header), length: r.ContentLength}
	if o.host == "" {
		o.host = r.URL.Host
	}
	if hasToken(r.Header["Connection"], "upgrade") {
		o.upgrade = r.Header.Get("Upgrade")
	}
	if r.Body != nil && r.Body != http.NoBody {
		o.body = r.Body
		if o.length == 0 {
			o.length = -1 // as net/http has it: a body, and no length
		}
		o.expect = strings.EqualFold(r.Header.Get("Expect"), "100-continue")
	}
	o.onInfo = informing(r)
	return o
}

// plainHeader is h without what the connection or the framing says.
func plainHeader(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Upgrade", "Expect":
		default:
			if name != "User-Agent" || len(values) != 1 || values[0] != "" {
				out[name] = values
			}
		}
	}
	return out
}

// rewind makes the request ready to be sent again.
func (o *outbound) rewind() bool {
	if o.body == nil {
		return true
	}
	if o.req.GetBody == nil {
		return false
	}
	body, err := o.req.GetBody()
	if err != nil {
		return false
	}
	o.closeBody()
	o.body = body
	return true
}

func (o *outbound) closeBody() {
	if c, ok := o.body.(io.Closer); ok {
		c.Close()
	}
}

// fill puts the defaults where nothing is set.
func (t *Timeouts) fill() {
	orDefault(&t.Dial, 5*time.Second)
	orDefault(&t.TLSHandshake, 5*time.Second)
	orDefault(&t.Head, time.Minute)
	orDefault(&t.Idle, time.Minute)
	orDefault(&t.Tunnel, time.Hour)
	orDefault(&t.UpstreamIdle, 55*time.Second)
}

func (l *Limits) fill() {
	orDefault(&l.RequestBody, -1)
	orDefault(&l.RequestHeader, 64<<10)
	orDefault(&l.URI, 16<<10)
	orDefault(&l.ResponseHeader, 64<<10)
	orDefault(&l.IdleConns, 256)
}

func (r *Retry) fill() {
	orDefault(&r.Attempts, 2)
	orDefault(&r.Budget, 0.2)
	orDefault(&r.Burst, 3)
	orDefault(&r.MaxBody, 64<<10)
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
