//go:build unix

package proxy

import (
	"io"
	"net"
	"syscall"
)

// nonblocking reads from a connection only what is there already.
type nonblocking struct {
	raw syscall.RawConn
	buf []byte
	n   int
	err error
}

func newNonblocking(c net.Conn) nonblocking {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nonblocking{}
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nonblocking{}
	}
	return nonblocking{raw: raw}
}

// works reports whether the connection is one that the system knows.
func (r *nonblocking) works() bool { return r.raw != nil }

// read returns 0 and nil when nothing is there, or when that cannot be known.
func (r *nonblocking) read(p []byte) (int, error) {
	if r.raw == nil || len(p) == 0 {
		return 0, nil
	}
	r.buf, r.n, r.err = p, 0, nil
	if err := r.raw.Read(r.attempt); err != nil {
		return 0, err // a deadline, or closed
	}
	r.buf = nil
	return r.n, r.err
}

// attempt is one read(2). It reports true so that nobody waits for more.
func (r *nonblocking) attempt(fd uintptr) bool {
	n, err := syscall.Read(int(fd), r.buf)
	switch {
	case n > 0:
		r.n = n
	case n == 0 && err == nil:
		r.err = io.EOF
	case err != syscall.EAGAIN && err != syscall.EINTR:
		r.err = err
	}
	return true
}

// quiet reports whether the connection is open and nothing is there to read.
func (r *nonblocking) quiet() bool {
	quiet := true
	var peek [1]byte
	err := r.raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), peek[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = n < 0 && (err == syscall.EAGAIN || err == syscall.EINTR)
		return true
	})
	return err == nil && quiet
}
