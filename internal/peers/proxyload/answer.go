package proxyload

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// A head is what the load wants to know of an answer's head.
type head struct {
	status  int
	length  int64 // of the body as announced; -1: not announced
	chunked bool
	last    bool   // the connection ends after this answer
	accept  string // Sec-WebSocket-Accept
}

// readHead reads a status line and the header fields.
func readHead(r *bufio.Reader) (head, error) {
	line, err := readLine(r)
	if err != nil {
		return head{}, err
	}
	h := head{length: -1}
	if h.status, err = parseStatus(line); err != nil {
		return head{}, err
	}
	for {
		line, err = readLine(r)
		if err != nil || len(line) == 0 {
			return h, err
		}
		if err = h.field(line); err != nil {
			return head{}, err
		}
	}
}

// readLine returns a line without its end, valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// parseStatus reads "HTTP/1.1 200 OK"; the reason may be missing, the blank before it too.
func parseStatus(line []byte) (int, error) {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 {
		return 0, fmt.Errorf("status line %q", line)
	}
	return strconv.Atoi(string(rest[:3]))
}

// field takes what it needs from one header line.
func (h *head) field(line []byte) (err error) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("header line %q", line)
	}
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		h.length, err = strconv.ParseInt(string(value), 10, 32)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.chunked = bytes.EqualFold(value, []byte("chunked"))
	case bytes.EqualFold(name, []byte("Connection")):
		h.last = bytes.EqualFold(value, []byte("close"))
	case bytes.EqualFold(name, []byte("Sec-WebSocket-Accept")):
		h.accept = string(value)
	}
	return err
}

// discardBody reads the body that follows h and returns its length.
func (h head) discardBody(r *bufio.Reader) (int64, error) {
	switch {
	case h.chunked:
		return discardChunks(r)
	case h.length >= 0:
		n, err := r.Discard(int(h.length))
		return int64(n), err
	default:
		return io.Copy(io.Discard, r)
	}
}

// discardChunks reads up to the end of a chunked body (RFC 9112, 7.1) and the trailers.
func discardChunks(r *bufio.Reader) (total int64, err error) {
	for {
		size, err := readChunkSize(r)
		if err != nil {
			return total, err
		}
		if size == 0 {
			return total, discardTrailers(r)
		}
		if _, err := r.Discard(size); err != nil {
			return total, err
		}
		total += int64(size)
		if line, err := readLine(r); err != nil {
			return total, err
		} else if len(line) > 0 {
			return total, fmt.Errorf("%q after a chunk", line)
		}
	}
}

func readChunkSize(r *bufio.Reader) (int, error) {
	line, err := readLine(r)
	if err != nil {
		return 0, err
	}
	digits, _, _ := bytes.Cut(line, []byte(";")) // extensions
	size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
	return int(size), err
}

func discardTrailers(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil || len(line) == 0 {
			return err
		}
	}
}
