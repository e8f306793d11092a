package proxyload

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// A client is one connection, or none before the first exchange, after an error and after an announced end; the next
// exchange then opens one.
type client struct {
	c        Case
	addr     string
	send     []byte // a request, or a message
	want     []byte // the message as it comes back
	deadline time.Time
	conn     net.Conn
	r        *bufio.Reader
}

func newClient(c Case, addr string) *client {
	cl := &client{c: c, addr: addr, r: bufio.NewReaderSize(nil, 64<<10)}
	if c.WebSocket {
		payload := []byte(filler(c.Length))
		cl.send, cl.want = wsFrame(payload, true), wsFrame(payload, false)
	} else {
		cl.send = c.request()
	}
	return cl
}

// until sets the time after which whatever is under way fails.
func (cl *client) until(deadline time.Time) error {
	cl.deadline = deadline
	if cl.conn == nil {
		return nil
	}
	return cl.conn.SetDeadline(deadline)
}

// exchange sends once and reads the answer. An error ends the connection.
func (cl *client) exchange() error {
	err := cl.connect()
	if err == nil {
		err = cl.once()
	}
	if err != nil {
		cl.close()
	}
	return err
}

// connect opens a connection where there is none, and the WebSocket on it.
func (cl *client) connect() error {
	if cl.conn != nil {
		return nil
	}
	conn, err := (&net.Dialer{Deadline: cl.deadline}).Dial("tcp", cl.addr)
	if err != nil {
		return err
	}
	cl.conn = conn
	cl.r.Reset(conn)
	if err := conn.SetDeadline(cl.deadline); err != nil {
		return err
	}
	if cl.c.WebSocket {
		return cl.upgrade()
	}
	return nil
}

func (cl *client) upgrade() error {
	if _, err := cl.conn.Write(cl.c.request()); err != nil {
		return err
	}
	h, err := readHead(cl.r)
	if err != nil {
		return err
	}
	if h.status != http.StatusSwitchingProtocols || h.accept != wsAccept(wsKey) {
		return fmt.Errorf("status %d, Sec-WebSocket-Accept %q instead of a WebSocket", h.status, h.accept)
	}
	return nil
}

var errMessage = errors.New("another message came back")

func (cl *client) once() error {
	if _, err := cl.conn.Write(cl.send); err != nil {
		return err
	}
	if cl.c.WebSocket {
		return cl.expectMessage()
	}
	return cl.expectAnswer()
}

func (cl *client) expectMessage() error {
	got, err := cl.r.Peek(len(cl.want))
	if err != nil {
		return unexpected(err)
	}
	if !bytes.Equal(got, cl.want) {
		return errMessage
	}
	_, err = cl.r.Discard(len(got))
	return err
}

// expectAnswer reads an answer and ends the connection where the answer says that it is the last.
func (cl *client) expectAnswer() error {
	h, err := readHead(cl.r)
	if err != nil {
		return unexpected(err)
	}
	n, err := h.discardBody(cl.r)
	if err != nil {
		return unexpected(err)
	}
	if h.status != http.StatusOK || n != int64(cl.c.Length) {
		return fmt.Errorf("status %d and %d bytes, not 200 and %d", h.status, n, cl.c.Length)
	}
	if h.last {
		cl.close()
	}
	return nil
}

// unexpected tells an end of the connection that nobody announced from one that was.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (cl *client) close() {
	if cl.conn != nil {
		_ = cl.conn.Close() // nothing of it is needed any more
		cl.conn = nil
	}
}
