package proxyproto

import "io"

// read reads one header from r and not a byte more, into the room that buf has
// as long as that lasts. Header keeps parts of that room. The bytes come back
// as far as they were read.
func read(r io.Reader, buf []byte, limit int) (h Header, b []byte, err error) {
	b = buf[:0]
	for {
		n, err := missing(b, limit)
		switch {
		case err != nil:
			return Header{}, b, err
		case n == 0:
			h, err = parse(b)
			return h, b, err
		}
		if cap(b)-len(b) < n {
			b = append(make([]byte, 0, len(b)+n), b...)
		}
		got, err := r.Read(b[len(b) : len(b)+n])
		b = b[:len(b)+got]
		if got == 0 && err != nil {
			return Header{}, b, err
		}
	}
}

// missing says how many further bytes are certain to belong to the header that
// begins with b: 0 when it is complete. A byte beyond the header would be lost
// to whoever reads the connection next, so every reader of a header asks here.
// What can be refused is refused at once, not when more has come.
func missing(b []byte, limit int) (int, error) {
	switch {
	case len(b) == 0:
		return shortestV1, nil
	case b[0] == startV1[0]:
		return missingV1(b, limit)
	case b[0] == signature[0]:
		return missingV2(b, limit)
	}
	return 0, noHeader
}

// parse reads a complete header.
func parse(b []byte) (Header, error) {
	if b[0] == startV1[0] {
		return parseV1(b)
	}
	return parseV2(b)
}
