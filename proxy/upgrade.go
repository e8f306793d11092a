package proxy

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

// passUpgrade turns an exchange into a tunnel, if the upstream has switched to
// what the client asked for (RFC 9110 §7.8, RFC 6455 §4.2.2).
func (x *exchange) passUpgrade(a answer) *Error {
	h := a.header()
	if err := x.checkUpgrade(h); err != nil {
		return &Error{Stage: StageUpgrade, Err: err, reason: ReasonUpgradeRefused}
	}
	cleanAnswer(h)
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{x.upgrade}
	to := x.w.Header()
	merge(to, h)
	upstream, err := a.upgraded()
	if err != nil {
		return &Error{Stage: StageUpgrade, Err: err, reason: ReasonUpgradeRefused}
	}
	client, err := x.hijack(to)
	if err != nil {
		upstream.Close()
		return &Error{Stage: StageClientWrite, Err: err, reason: ReasonClientGone}
	}
	x.tunnel(client, upstream)
	return nil
}

var (
	errUnasked   = errors.New("the upstream switched protocols, which nobody had asked for")
	errOther     = errors.New("the upstream switched to another protocol than asked for")
	errBadAccept = errors.New("Sec-WebSocket-Accept does not match the client's key")
)

func (x *exchange) checkUpgrade(h http.Header) error {
	lines := h["Upgrade"]
	switch {
	case x.upgrade == "":
		return errUnasked
	case len(lines) != 1 || !strings.EqualFold(lines[0], x.upgrade):
		return errOther
	}
	if h.Get("Sec-Websocket-Accept") != acceptFor(x.r.Header.Get("Sec-Websocket-Key")) {
		return errBadAccept
	}
	return nil
}

// acceptFor is what a WebSocket server makes of the client's key (RFC 6455 §1.3).
func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hijack takes the client's connection over and writes the head.
func (x *exchange) hijack(h http.Header) (tunnelEnd, error) {
	conn, rw, err := x.rc.Hijack()
	if err != nil {
		return tunnelEnd{}, err
	}
	x.started = true
	write := writeDeadline(conn)
	write.in(x.p.cfg.Timeouts.Idle)
	b, err := appendHeader([]byte("HTTP/1.1 101 Switching Protocols\r\n"), h)
	if err == nil {
		_, err = conn.Write(append(b, crlf...))
	}
	if err != nil {
		conn.Close()
		return tunnelEnd{}, err
	}
	return tunnelEnd{ReadWriteCloser: conn, early: buffered(rw.Reader)}, nil
}

// buffered returns what net/http has read of the connection already.
func buffered(r *bufio.Reader) []byte {
	early, _ := r.Peek(r.Buffered())
	return append([]byte(nil), early...)
}

func (x *exchange) tunnel(client, upstream tunnelEnd) {
	t := &tunnel{client: client, upstream: upstream, idle: x.p.cfg.Timeouts.Tunnel, patience: x.p.cfg.Timeouts.Idle}
	x.p.tunnels.add(t)
	defer x.p.tunnels.remove(t)
	t.run()
}
