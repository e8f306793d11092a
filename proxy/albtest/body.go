package albtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
)

// errBody says that the sender's framing of a body is wrong.
var errBody = errors.New("the body is malformed")

// payload is a body as it comes in: bytes, and fields after them.
type payload struct {
	from     *bufio.Reader
	bytes    io.Reader
	left     int64 // of a body with a length
	chunks   bool
	trailers fields
	ended    bool
}

// newPayload reads a body in chunks, or of a length; -1 is until the end.
func newPayload(from *bufio.Reader, chunked bool, length int64) *payload {
	switch {
	case chunked:
		return &payload{from: from, bytes: httputil.NewChunkedReader(from), chunks: true, left: -1}
	case length < 0:
		return &payload{from: from, bytes: from, left: -1}
	}
	return &payload{from: from, bytes: io.LimitReader(from, length), left: length, ended: length == 0}
}

// Read ends with io.EOF when the body is complete, and with another error when
// it breaks off.
func (s *payload) Read(p []byte) (int, error) {
	if s.ended {
		return 0, io.EOF
	}
	n, err := s.bytes.Read(p)
	if s.left > 0 {
		s.left -= int64(n)
		if s.left == 0 {
			s.ended = true
			return n, io.EOF
		}
	}
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, s.broken(err)
	case s.left > 0:
		return n, io.ErrUnexpectedEOF
	case s.chunks:
		err = s.readTrailers()
	}
	s.ended = err == nil || errors.Is(err, io.EOF)
	if s.ended {
		return n, io.EOF
	}
	return n, err
}

// broken tells bad chunks from a bad connection.
func (s *payload) broken(err error) error {
	var network net.Error
	if !s.chunks || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) {
		return err
	}
	return fmt.Errorf("%w: %w", errBody, err)
}

// readTrailers reads what comes after the last chunk.
func (s *payload) readTrailers() error {
	h := headReader{from: s.from, first: maxHeaderLine, each: maxHeaderLine, all: maxRequestHead}
	var lines []string
	for {
		line, err := h.line(h.each, errFieldTooLong)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil || line == "" {
			s.trailers = parseFields(lines)
			return err
		}
		lines = append(lines, line)
	}
}

// chunkWriter frames a body in chunks.
type chunkWriter struct{ to *bufio.Writer }

func (c chunkWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := fmt.Fprintf(c.to, "%x\r\n", len(p)); err != nil {
		return 0, err
	}
	n, err := c.to.Write(p)
	if err == nil {
		_, err = c.to.WriteString("\r\n")
	}
	return n, err
}

// end writes the last chunk.
func (c chunkWriter) end(trailers fields) error {
	_, err := c.to.WriteString("0\r\n" + trailers.text() + "\r\n")
	return err
}
