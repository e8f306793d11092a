package albtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"
)

// transports are the connections of HTTP/2 to targets. The zero value is ready.
type transports struct {
	mu  sync.Mutex
	all map[way]*http.Transport
}

// dialKey is where the context of a request carries its trip, which may have a
// fault for the connection.
type dialKey struct{}

func (s *Server) transport(w way, g *group) *http.Transport {
	s.transports.mu.Lock()
	defer s.transports.mu.Unlock()
	if t := s.transports.all[w]; t != nil {
		return t
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return ctx.Value(dialKey{}).(*trip).dial(ctx)
	}
	t := &http.Transport{
		DialContext:            dial,
		DialTLSContext:         dial,
		IdleConnTimeout:        s.idleTimeout(),
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxResponseHead,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP2(g.cfg.Protocol == HTTPS)
	t.Protocols.SetUnencryptedHTTP2(g.cfg.Protocol == HTTP)
	if s.transports.all == nil {
		s.transports.all = make(map[way]*http.Transport)
	}
	s.transports.all[w] = t
	return t
}

// close ends the idle connections; the others end with their requests.
func (ts *transports) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.all {
		t.CloseIdleConnections()
	}
}

// overHTTP2 makes the trip over a connection of HTTP/2.
func (t *trip) overHTTP2() {
	quiet := time.AfterFunc(t.s.idleTimeout(), func() { t.cancel(context.DeadlineExceeded) })
	defer quiet.Stop()
	alive := func() { quiet.Reset(t.s.idleTimeout()) }
	body := t.upload(alive)
	defer body.end()
	transport := t.s.transport(way{t.m.node, t.lease.target}, t.group)
	resp, err := t.ask(transport, body)
	if err != nil {
		t.fail(t.unwrap(err), false)
		return
	}
	defer resp.Body.Close()
	alive()
	t.entry.TargetStatusCode = Status(resp.StatusCode)
	a := &answer{status: resp.StatusCode, reason: http.StatusText(resp.StatusCode), fields: listFields(resp.Header), length: resp.ContentLength}
	a.empty = t.m.method == http.MethodHead || resp.ContentLength == 0 && resp.Body == http.NoBody
	if _, err := t.pass(a, t.download(resp.Body, alive), func() fields { return listFields(resp.Trailer) }); err != nil {
		t.fail(t.unwrap(err), false)
	}
}

// unwrap prefers why the trip ended to what the transport made of it.
func (t *trip) unwrap(err error) error {
	if cause := context.Cause(t.ctx); cause != nil {
		return cause
	}
	return err
}

// ask sends the request; faults that need no bytes happen here.
func (t *trip) ask(transport *http.Transport, body *upload) (*http.Response, error) {
	req := t.request2(body)
	t.entry.Got = t.m.method + " " + t.m.uri() + " HTTP/2.0\r\n" + t.head.text() + "\r\n"
	if t.is(Refuse) || t.is(Unreachable) || t.is(IdleRace) {
		transport.CloseIdleConnections()
		t.entry.Got = ""
	}
	if t.is(IdleRace) {
		return nil, io.ErrUnexpectedEOF
	}
	resp, err := transport.RoundTrip(req)
	if err != nil || t.fault == nil {
		return resp, err
	}
	if err := t.faultAnswer(); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// faultAnswer does to a whole answer what the faults do to the bytes of one in
// HTTP/1.1.
func (t *trip) faultAnswer() error {
	f := &faultReader{fault: t.fault, done: t.ctx.Done(), idle: t.s.idleTimeout()}
	switch t.fault.Kind {
	case Reset:
		return io.ErrUnexpectedEOF
	case Garbage:
		return errMalformedHead
	case HugeHeader:
		return errHeadTooLong
	case Hang:
		return f.sleep(f.idle)
	case Latency:
		return f.sleep(t.fault.Delay)
	}
	return nil
}

// request2 is the request for the transport.
func (t *trip) request2(body *upload) *http.Request {
	ctx := context.WithValue(t.ctx, dialKey{}, t)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			return t.client.inform(&answer{status: code, fields: listFields(http.Header(header))})
		},
	})
	req := (&http.Request{
		Method: t.m.method,
		URL:    &url.URL{Scheme: strings.ToLower(t.group.cfg.Protocol.String()), Host: t.lease.target.id},
		Header: http.Header{"User-Agent": {""}}, // net/http is not to add its own
	}).WithContext(ctx)
	for _, f := range t.head.without("Host", "Content-Length", "Transfer-Encoding") {
		if f.is("User-Agent") {
			req.Header.Del("User-Agent")
		}
		if f.raw == "" {
			req.Header.Add(f.name, f.value)
		}
	}
	req.Host, _ = t.head.get("Host")
	req.URL.Opaque = "//" + or(req.Host, t.lease.target.id) + t.m.uri() // the path as it came; net/http would write it its own way
	if body.from != nil {
		req.Body, req.ContentLength = body, -1
		if n, ok := t.head.get("Content-Length"); ok {
			req.ContentLength, _ = parseLength(n)
		}
	}
	return req
}

// upload is the client's body for the transport, which reads it in a goroutine
// of its own, and may still do so when the answer is there.
type upload struct {
	from  requestBody // nil: none
	t     *trip
	alive func()
	mu    sync.Mutex
	over  bool
}

func (t *trip) upload(alive func()) *upload {
	return &upload{from: t.client.body(), t: t, alive: alive}
}

// Read reads the client's body.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return 0, errFinished
	}
	n, err := u.from.Read(p)
	if n > 0 {
		u.alive()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		u.t.cancel(bodyError{err})
	}
	return n, err
}

// Close leaves the client's body to end.
func (u *upload) Close() error { return nil }

// end stops the reading and waits until nobody reads.
func (u *upload) end() {
	if u.from == nil {
		return
	}
	u.t.cancel(errFinished)
	u.t.client.stopBody()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
}

// download is the target's body.
func (t *trip) download(body io.Reader, alive func()) io.Reader {
	if t.fault != nil {
		body = &faultReader{
			from: body, fault: t.fault, done: t.ctx.Done(), idle: t.s.idleTimeout(),
			cut: io.ErrUnexpectedEOF, started: true, // by faultAnswer
		}
	}
	return lively{body, alive}
}

// lively tells of each byte that comes.
type lively struct {
	io.Reader
	alive func()
}

// Read reads, and tells.
func (l lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.alive()
	}
	return n, err
}
