package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync"
)

// informing hands informational answers to the hook of a request's context.
func informing(r *http.Request) func(*head) error {
	trace := httptrace.ContextClientTrace(r.Context())
	if trace == nil || trace.Got1xxResponse == nil && trace.Got100Continue == nil {
		return nil
	}
	return func(h *head) error {
		if h.status == http.StatusContinue && trace.Got100Continue != nil {
			trace.Got100Continue()
		}
		if trace.Got1xxResponse == nil {
			return nil
		}
		return trace.Got1xxResponse(h.status, textproto.MIMEHeader(h.header))
	}
}

// response is the call as http.Client wants it.
func (k *call) response(o *outbound) *http.Response {
	r := &http.Response{
		Status: strconv.Itoa(k.h.status) + " " + http.StatusText(k.h.status), StatusCode: k.h.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: k.h.header, ContentLength: k.h.length, Request: k.req,
		Close: k.h.close,
	}
	if k.h.http10 {
		r.Proto, r.ProtoMinor = "HTTP/1.0", 0
	}
	if k.h.status < 200 || k.h.status == http.StatusNoContent || k.h.status == http.StatusNotModified {
		r.ContentLength = 0
	}
	if k.h.body == byChunks {
		r.TransferEncoding = []string{"chunked"}
		r.Trailer = announcedTrailer(r.Header)
		delete(r.Header, "Transfer-Encoding")
	}
	switch {
	case k.h.status == http.StatusSwitchingProtocols:
		r.Body = k.switched()
	case k.h.body == noBody:
		r.Body = http.NoBody
		k.close()
		o.closeBody()
	default:
		r.Body = &responseBody{call: k, resp: r, out: o}
	}
	return r
}

// announcedTrailer has the names that Trailer announces, without values, as
// net/http shows them.
func announcedTrailer(h http.Header) http.Header {
	var t http.Header
	for name := range listed(h["Trailer"]) {
		if t == nil {
			t = make(http.Header)
		}
		t[canonical(name)] = nil
	}
	delete(h, "Trailer")
	return t
}

// A responseBody reads the body of a call. Close may be called at any time.
type responseBody struct {
	mu    sync.Mutex
	call  *call
	resp  *http.Response
	out   *outbound
	piece []byte
	err   error
}

var errClosedBody = errors.New("proxy: read of a closed response body")

func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.piece) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		var err error
		if b.piece, err = b.call.next(true); err != nil {
			b.end(err)
		}
	}
	n := copy(p, b.piece)
	b.piece = b.piece[n:]
	if len(b.piece) == 0 && b.err != nil {
		b.release()
		return n, b.err
	}
	return n, nil
}

// end notes how the body ended; the last piece may still be unread.
func (b *responseBody) end(err error) {
	if b.err = err; err != io.EOF {
		e := b.call.failure(StageReadBody, err)
		e.Upstream, e.Attempt = b.call.conn.pool.addr, 1
		e.count(b.call)
		b.err = e
	} else if tail := cleanTrailer(b.call.tail); len(tail) > 0 {
		b.resp.Trailer = tail
	}
	if len(b.piece) == 0 {
		b.release()
	}
}

func (b *responseBody) release() {
	b.call.close()
	b.out.closeBody()
}

// Close gives the connection back, if the body was read to its end.
func (b *responseBody) Close() error {
	b.call.interrupt()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || len(b.piece) > 0 {
		b.piece, b.err = nil, errClosedBody
		b.release()
	}
	return nil
}

// switched hands the connection over as a body that can be written to.
func (k *call) switched() io.ReadCloser {
	end, err := k.upgraded()
	if err != nil {
		return http.NoBody
	}
	return &switchedBody{Conn: end.ReadWriteCloser.(net.Conn), early: end.early}
}

type switchedBody struct {
	net.Conn
	early []byte
}

func (b *switchedBody) Read(p []byte) (int, error) {
	if len(b.early) > 0 {
		n := copy(p, b.early)
		b.early = b.early[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

// CloseWrite passes a half-close on.
func (b *switchedBody) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return b.Conn.Close()
}
