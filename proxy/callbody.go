package proxy

import (
	"cmp"
	"io"
	"net/http"
	"runtime"
)

func (k *call) status() int          { return k.h.status }
func (k *call) header() http.Header  { return k.h.header }
func (k *call) length() int64        { return k.h.length }
func (k *call) trailer() http.Header { return k.tail }
func (k *call) received() int64      { return k.got }

// next implements answer.
func (k *call) next(wait bool) ([]byte, error) {
	switch {
	case k.broken != nil:
		return nil, k.broken
	case k.ended:
		return nil, io.EOF
	case k.h.body == byChunks:
		return k.nextChunked(wait)
	}
	return k.nextPlain(wait)
}

// nextPlain gathers a body by length, or up to the connection's end, in the
// buffer.
func (k *call) nextPlain(wait bool) ([]byte, error) {
	if k.r == k.w {
		k.r, k.w = 0, 0
	}
	limit := len(k.buf.bytes)
	if k.h.body == byLength {
		limit = int(min(int64(limit-k.r), k.left)) + k.r
	}
	err := k.gather(limit, wait && k.r == k.w)
	piece := k.buf.bytes[k.r:min(k.w, limit)]
	k.r += len(piece)
	if k.h.body == byLength {
		if k.left -= int64(len(piece)); k.left == 0 {
			k.ended = true
			return piece, io.EOF
		}
	}
	if err == io.EOF && k.h.body == untilClose {
		k.ended = true
		return piece, io.EOF
	}
	return k.hold(piece, err)
}

// hold returns a piece first and its error the next time, but for the first
// piece: nothing of an answer is passed on that is known to be broken.
func (k *call) hold(piece []byte, err error) ([]byte, error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	k.broken = err
	if len(piece) > 0 && k.begun {
		err = nil
	}
	k.begun = true
	return piece, err
}

// gather reads into buf[w:limit]: what is there and, if wait is set, at least
// something.
func (k *call) gather(limit int, wait bool) error {
	if wait && k.w < limit {
		if err := k.await(limit); err != nil {
			return err
		}
	}
	for yielded := false; k.w < limit; {
		n, err := k.conn.nonblocking.read(k.buf.bytes[k.w:limit])
		k.advance(n)
		switch {
		case err != nil:
			return err
		case n > 0:
			yielded = false
		case yielded || k.h.body != byLength:
			return nil
		default:
			runtime.Gosched() // on a busy machine the rest is there the next time
			yielded = true
		}
	}
	return nil
}

func (k *call) await(limit int) error {
	k.conn.read.in(k.client.pause)
	n, err := k.conn.Read(k.buf.bytes[k.w:limit])
	k.advance(n)
	if n > 0 {
		return nil
	}
	return err
}

func (k *call) advance(n int) {
	k.w += n
	k.got += int64(n)
}

// nextChunked gathers decoded data at the start of the buffer, before what is
// still coded.
func (k *call) nextChunked(wait bool) ([]byte, error) {
	k.w = copy(k.buf.bytes, k.buf.bytes[k.r:k.w])
	k.r = 0
	written := 0
	var lost error // what ended the connection, behind what there is to decode
	for {
		consumed, n, err := k.chunks.decode(k.buf.bytes[written:], k.buf.bytes[k.r:k.w])
		written += n
		k.r, k.w = written, written+copy(k.buf.bytes[written:], k.buf.bytes[k.r+consumed:k.w])
		switch {
		case k.chunks.state == chunkDone:
			return k.endChunks(k.buf.bytes[:written])
		case err != nil || lost != nil:
			return k.hold(k.buf.bytes[:written], cmp.Or(err, lost))
		}
		before := k.w
		if lost = k.gather(len(k.buf.bytes), wait && written == 0); k.w == before {
			return k.hold(k.buf.bytes[:written], lost)
		}
	}
}

// endChunks reads the trailer and ends the body.
func (k *call) endChunks(piece []byte) ([]byte, error) {
	if len(k.chunks.tail) > 0 {
		k.tail = make(http.Header)
		if err := parseFields(k.tail, string(k.chunks.tail)); err != nil {
			return k.hold(piece, err)
		}
	}
	k.ended = true
	return piece, io.EOF
}
