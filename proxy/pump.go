package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// expectTime is how long a body whose sender waits for "100 Continue" is held
// back from an upstream that says nothing (RFC 9110 §10.1.1).
const expectTime = time.Second

// A pump sends the body of a request while its answer may already come in. Only
// bodies that are not in memory as a whole need one.
type pump struct {
	conn    *conn
	idle    time.Duration
	body    io.Reader
	trailer http.Header
	framing framing
	length  int64
	goAhead chan bool // nil: at once

	sent   atomic.Int64
	broken atomic.Pointer[error] // of the client's body
	ended  atomic.Int64          // when the body was sent, in Unix nanoseconds; 0: not yet
	wrong  atomic.Pointer[error] // of the connection
	heard  atomic.Bool           // the answer has begun
	done   chan struct{}
}

func startPump(k *call, o *outbound, body io.Reader, framing framing, length int64) *pump {
	p := &pump{conn: k.conn, idle: k.client.pause, body: body, trailer: o.req.Trailer, framing: framing, length: length, done: make(chan struct{})}
	if framing == byLength {
		p.trailer = nil
	}
	if o.expect {
		p.goAhead = make(chan bool, 1)
	}
	if o.pumps != nil {
		o.pumps.Add(1)
	}
	go func() {
		defer func() {
			close(p.done)
			if o.pumps != nil {
				o.pumps.Done()
			}
		}()
		p.run()
	}()
	return p
}

// proceed lets a body go that waits for the upstream's word, or gives it up.
// A nil pump, one that does not wait and one that has been told already are
// left alone.
func (p *pump) proceed(yes bool) {
	if p == nil || p.goAhead == nil {
		return
	}
	select {
	case p.goAhead <- yes:
	default:
	}
}

func (p *pump) run() {
	if !p.allowed() {
		return
	}
	b := getBuffer()
	defer putBuffer(b)
	const room = 18 // for the size of a chunk
	left := p.length
	for {
		n, err := p.body.Read(b.bytes[room : len(b.bytes)-len(crlf)])
		last := err == io.EOF
		if left -= int64(n); p.framing == byLength && (left < 0 || last && left > 0) {
			n, last, err = 0, false, errLength
		}
		if n > 0 || last {
			if err := p.write(b.bytes, room, n, last); err != nil {
				p.giveUp(err)
				return
			}
		}
		if last || p.framing == byLength && left == 0 && !p.checked() {
			p.ended.Store(time.Now().UnixNano())
			return
		}
		if err != nil {
			p.broken.Store(&err)
			p.conn.abort()
			return
		}
	}
}

// checked reports whether a body by length is to be read to its end although
// all of it was sent: a client's, since net/http says with the last piece that
// it is the last, and a handler may have put a longer one in its place. Of others
// the rest is left alone.
func (p *pump) checked() bool {
	b, ok := p.body.(*clientBody)
	return ok && !b.whole.Load()
}

// lastLook is how long an upstream that takes no more of the body may still
// take to say why.
const lastLook = time.Second

// giveUp notes that the upstream takes no more of the body.
func (p *pump) giveUp(err error) {
	p.wrong.Store(&err)
	if p.heard.Load() {
		return
	}
	p.conn.SetReadDeadline(time.Now().Add(lastLook))
	switch {
	case p.conn.aborted.Load():
		p.conn.SetReadDeadline(past)
	case p.heard.Load(): // a moment ago
		p.conn.SetReadDeadline(in(p.idle))
	}
}

// errLength is given for a body that is not as long as was announced: a handler
// in front has exchanged it. What came behind its end would be a request of its
// own.
var errLength = errors.New("the body is not as long as its Content-Length")

func (p *pump) allowed() bool {
	if p.goAhead == nil {
		return true
	}
	timer := time.NewTimer(expectTime)
	defer timer.Stop()
	select {
	case yes := <-p.goAhead:
		return yes
	case <-timer.C:
		return true
	}
}

// write sends n bytes of the body, which stand in b behind room for the
// chunk's size, and with the last of them the end.
func (p *pump) write(b []byte, room, n int, last bool) error {
	out := b[room : room+n]
	if p.framing == byChunks {
		out = p.chunk(b, room, n, last)
	}
	p.conn.write.in(p.idle)
	m, err := p.conn.Write(out)
	p.sent.Add(int64(m))
	return err
}

func (p *pump) chunk(b []byte, room, n int, last bool) []byte {
	start := room
	out := b[:room+n]
	if n > 0 {
		var size [18]byte
		line := append(strconv.AppendInt(size[:0], int64(n), 16), crlf...)
		start = room - len(line)
		copy(b[start:], line)
		out = append(out, crlf...)
	}
	if last {
		out = appendTrailer(out, cleanTrailer(maps.Clone(p.trailer)))
	}
	return out[start:]
}

// clientFailed returns what was wrong with the client's body, if that is what
// ended the exchange. A nil pump knows of nothing.
func (p *pump) clientFailed(aborted bool) *Error {
	if p == nil {
		return nil
	}
	b, ok := p.body.(*clientBody)
	err := p.broken.Load()
	switch {
	case err != nil && *err == errLength:
	case ok && aborted:
		return b.failure()
	case err == nil:
		return nil
	}
	return &Error{Stage: StageClientBody, Err: *err, reason: ReasonMalformedBody}
}

// finish ends the pump and reports whether the whole body was sent. A pump that
// waits for the client ends with the client's body.
func (p *pump) finish() bool {
	p.proceed(false)
	if p.ended.Load() == 0 {
		p.conn.abort()
	}
	return p.ended.Load() != 0 && !p.conn.aborted.Load()
}

// patience is how much longer an answer may be waited for: its time begins when
// the whole body was sent.
func (p *pump) patience(wait time.Duration) time.Duration {
	if p == nil || p.wrong.Load() != nil {
		return 0
	}
	ended := p.ended.Load()
	if ended == 0 {
		return wait
	}
	return wait - time.Since(time.Unix(0, ended))
}
