package proxy

import "io"

// Budgets of a chunked body: a line with extensions, and all trailers.
const (
	maxChunkLine = 1 << 10
	maxTrailers  = 16 << 10
	maxExcess    = 16 << 10 // what lines take beyond 16 bytes a chunk and twice its data (CVE-2023-39326)
)

// A chunkDecoder takes the chunked coding off (RFC 9112 §7.1). Lines must end in
// CRLF: a lone LF ends a line here and none there (CVE-2025-22871).
type chunkDecoder struct {
	state chunkState
	left  int64  // data bytes of the current chunk still to come
	over  int64  // the excess so far
	line  []byte // an unfinished line
	tail  []byte // trailer lines
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkData
	chunkDataEnd // the CRLF behind the data
	chunkTrailer
	chunkDone
)

// decode reads from src and writes data to dst, which may be the same memory
// as long as it does not begin behind src. It returns how many bytes it
// consumed and wrote, and io.EOF once the body is complete.
func (d *chunkDecoder) decode(dst, src []byte) (consumed, written int, err error) {
	for consumed < len(src) && d.state != chunkDone && err == nil {
		if d.state == chunkData {
			n := copy(dst[written:], src[consumed:consumed+int(min(d.left, int64(len(src)-consumed)))])
			consumed, written, d.left = consumed+n, written+n, d.left-int64(n)
			if d.left == 0 {
				d.state = chunkDataEnd
			}
			continue
		}
		err = d.take(src[consumed])
		consumed++
	}
	if err == nil && d.state == chunkDone {
		err = io.EOF
	}
	return consumed, written, err
}

// take adds one byte to the current line.
func (d *chunkDecoder) take(c byte) error {
	d.line = append(d.line, c)
	n := len(d.line)
	switch {
	case c == '\n' && n > 1 && d.line[n-2] == '\r':
		line := d.line[:n-2]
		d.line = d.line[:0]
		return d.endLine(line)
	case c == '\n', n > 1 && d.line[n-2] == '\r', d.state == chunkDataEnd && c != '\r':
		return malformed("a line of a chunk that does not end in CRLF")
	case n > maxChunkLine && d.state != chunkTrailer, n+len(d.tail) > maxTrailers:
		return malformed("a line of a chunk that is too long")
	}
	return nil
}

func (d *chunkDecoder) endLine(line []byte) error {
	switch d.state {
	case chunkSize:
		return d.endSize(line)
	case chunkDataEnd:
		if len(line) > 0 {
			return malformed("a chunk longer than its size")
		}
		d.state = chunkSize
	case chunkTrailer:
		if len(line) == 0 {
			d.state = chunkDone
			break
		}
		d.tail = append(append(d.tail, line...), crlf...)
	}
	return nil
}

// endSize reads the hexadecimal size; extensions are dropped.
func (d *chunkDecoder) endSize(line []byte) error {
	var size int64
	digits := 0
	for _, c := range line {
		v, ok := hexDigit(c)
		if !ok {
			break
		}
		if digits++; digits > 15 {
			return malformed("a chunk size of more than 15 digits")
		}
		size = size<<4 | v
	}
	rest := line[digits:]
	if digits == 0 || len(trimBlanks(rest)) > 0 && rest[0] != ';' || !isValue(string(rest)) {
		return malformed("chunk size %.20q", line)
	}
	if d.over = max(d.over+int64(len(line))+2-16-2*size, 0); d.over > maxExcess {
		return malformed("more chunk extensions than data")
	}
	d.left, d.state = size, chunkData
	if size == 0 {
		d.state = chunkTrailer
	}
	return nil
}

func hexDigit(c byte) (int64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0'), true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int64(c|0x20-'a') + 10, true
	}
	return 0, false
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}
