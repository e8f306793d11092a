package albtest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// leg is a trip over a connection of HTTP/1.1.
type leg struct {
	*trip
	conn *targetConn
	sent chan error  // the request's body: nil, or why it did not arrive
	read atomic.Bool // the body was read to its end
	over bool        // nobody sends any more
}

// overHTTP1 makes the trip over a connection of the pool, or a new one.
func (t *trip) overHTTP1() {
	if t.client.body() == nil {
		t.client.watch()
	}
	c, err := t.connect()
	if err != nil {
		t.fail(err, false)
		return
	}
	stop := context.AfterFunc(t.ctx, func() { _ = c.Close() })
	l := &leg{trip: t, conn: c, sent: make(chan error, 1)}
	reusable := l.converse()
	l.join()
	if stop() && reusable {
		t.s.pool.put(c)
		return
	}
	_ = c.Close()
}

// connect takes a connection from the pool, or makes one.
func (t *trip) connect() (*targetConn, error) {
	w := way{t.m.node, t.lease.target}
	if !t.is(Refuse) && !t.is(Unreachable) {
		if c := t.s.pool.get(w); c != nil {
			return c, nil
		}
	}
	raw, err := t.dial(t.ctx)
	if err != nil {
		return nil, err
	}
	c := &targetConn{idleConn: &idleConn{Conn: raw, idle: t.s.idleTimeout()}, way: w, unwanted: t.lease.unwanted()}
	c.r = bufio.NewReader(c.idleConn)
	return c, nil
}

// converse sends the request and passes the answer on. It reports whether the
// connection can take another request.
func (l *leg) converse() bool {
	l.send()
	from := l.conn.r
	if l.fault != nil {
		from = bufio.NewReader(newFaultReader(l.conn.r, l.trip))
	}
	a, err := l.final(from)
	if err != nil {
		l.join() // the answer has to know what is left of the body
		l.fail(err, l.conn.reused)
		return false
	}
	if a.status == http.StatusSwitchingProtocols {
		l.switchProtocols(a, from)
		return false
	}
	if l.is(ShortBody) && a.length >= 0 {
		a.promise(a.length + 1)
	}
	p := newPayload(from, a.chunked(), a.length)
	complete, err := l.pass(a, p, p.after)
	if err != nil {
		l.join()
		l.fail(err, false)
		return false
	}
	framed := a.empty || a.length >= 0 || a.chunked()
	return complete && framed && l.fault == nil && !l.last1(a)
}

// last1 reports whether either side wants the target's connection closed.
func (l *leg) last1(a *answer) bool {
	ambiguous := l.m.tier >= ambiguous && l.s.cfg.Attributes.DesyncMitigation == Defensive
	return ambiguous || a.fields.has("Connection", "close")
}

// send writes the request, its body in a goroutine.
func (l *leg) send() {
	head := l.m.method + " " + l.m.uri() + " HTTP/1.1\r\n" + l.head.text() + "\r\n"
	l.entry.Got = head
	if l.is(IdleRace) {
		_ = l.conn.Close()
		l.conn.reused = true
		l.entry.Got = ""
	}
	body := l.client.body()
	if _, err := io.WriteString(l.conn, head); err != nil || body == nil {
		l.sent <- nil // the answer, or its absence, says the rest
		return
	}
	go func() { l.sent <- l.sendBody(body) }()
}

// sendBody copies the client's body. What the client does wrong ends the trip;
// what the target does shows in its answer.
func (l *leg) sendBody(body requestBody) error {
	l.conn.wait(true) // a target has nothing to say before the request is there
	defer l.conn.wait(false)
	w := bufio.NewWriter(l.conn)
	chunked := l.head.has("Transfer-Encoding", "chunked")
	to := io.Writer(w)
	if chunked {
		to = chunkWriter{w}
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := body.Read(buffer)
		if _, failed := to.Write(buffer[:n]); failed != nil {
			return failed
		}
		switch {
		case errors.Is(err, io.EOF):
			l.read.Store(true)
			l.client.watch()
			if chunked {
				_ = (chunkWriter{w}).end(body.after()) // Flush reports it
			}
			return w.Flush()
		case err != nil:
			l.cancel(bodyError{err})
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

// join ends the sending of the body, if the answer came before its end.
func (l *leg) join() {
	if l.over {
		return
	}
	l.over = true
	if over, err := l.wasSent(); over {
		if err != nil {
			_ = l.conn.Close()
		}
		return
	}
	l.cancel(errFinished)
	l.client.stopBody()
	_ = l.conn.Close()
	<-l.sent
}

// wasSent reports whether the body was sent. One that was read to its end has a
// moment for its last bytes.
func (l *leg) wasSent() (over bool, err error) {
	if !l.read.Load() {
		select {
		case err = <-l.sent:
			return true, err
		default:
			return false, nil
		}
	}
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	select {
	case err = <-l.sent:
		return true, err
	case <-moment.C:
		return false, nil
	}
}

// final reads heads until one is no interim answer.
func (l *leg) final(from *bufio.Reader) (*answer, error) {
	for {
		a, err := readAnswer(from, l.m.method)
		if err != nil {
			return nil, err
		}
		l.entry.TargetStatusCode = Status(a.status)
		if a.status >= 200 || a.status == http.StatusSwitchingProtocols && l.m.upgrade() {
			return a, nil
		}
		if a.status == http.StatusSwitchingProtocols {
			return nil, errMalformedHead
		}
		if err := l.client.inform(a); err != nil {
			l.cancel(errClientLeft)
			return nil, err
		}
	}
}

// switchProtocols makes the two connections one.
func (l *leg) switchProtocols(a *answer, from *bufio.Reader) {
	conn, r := l.client.tunnel()
	l.entry.ELBStatusCode, l.entry.AnsweredBy = Status(a.status), ByTarget
	l.entry.Why = l.lease.target.id + " switched protocols"
	l.commit()
	if l.client.inform(a) != nil {
		return
	}
	join(l.ctx, l.s.idleTimeout(), end{conn, r}, end{l.conn.idleConn, from})
}

// promise changes the length that the head announces.
func (a *answer) promise(n int64) {
	a.length = n
	for i, f := range a.fields {
		if f.is("Content-Length") {
			a.fields[i].value = strconv.FormatInt(n, 10)
		}
	}
}
