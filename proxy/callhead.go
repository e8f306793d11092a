package proxy

import (
	"net/http"
	"time"
)

// readHead waits for the answer's head. Informational ones are handed on; the
// time and the bytes allowed are those of all of them together.
func (k *call) readHead() *Error {
	k.conn.read.in(k.client.wait)
	for informed := 0; ; {
		if e := k.fillHead(); e != nil {
			return e
		}
		end := headEnd(k.buf.bytes[k.r:k.w])
		k.h = head{header: make(http.Header, 8)}
		if err := k.h.parse(k.buf.bytes[k.r:k.r+end], k.req.Method); err != nil {
			return k.failure(StageReadHead, err)
		}
		k.r += end
		if informed += end; k.client.maxHead >= 0 && informed > k.client.maxHead {
			return k.failure(StageReadHead, errHeadTooLarge)
		}
		if k.h.status >= 200 || k.h.status == http.StatusSwitchingProtocols {
			return k.begin()
		}
		if e := k.inform(); e != nil {
			return e
		}
	}
}

// begin prepares the reading of the body.
func (k *call) begin() *Error {
	k.pump.proceed(false)
	if k.pump != nil {
		k.pump.heard.Store(true)
		k.conn.read.until = time.Time{} // the pump may have moved it
	}
	k.left = k.h.length
	if k.h.body == noBody {
		k.ended = true
	}
	return nil
}

// inform handles an informational answer: "100 Continue" lets the body go.
func (k *call) inform() *Error {
	if k.h.status == http.StatusContinue {
		k.pump.proceed(true)
	}
	if k.onInfo != nil {
		if err := k.onInfo(&k.h); err != nil {
			return k.failure(StageReadHead, err)
		}
	}
	return nil
}

// fillHead reads until a whole head is in the buffer.
func (k *call) fillHead() *Error {
	for headEnd(k.buf.bytes[k.r:k.w]) < 0 {
		if err := k.makeRoom(); err != nil {
			return k.failure(StageReadHead, err)
		}
		n, err := k.conn.Read(k.buf.bytes[k.w:])
		k.w += n
		k.got += int64(n)
		if err != nil && n == 0 && !k.early(err) {
			return k.failure(StageReadHead, err)
		}
	}
	return nil
}

// early reports whether a time-out came while the body was still being sent,
// and sets another.
func (k *call) early(err error) bool {
	left := k.pump.patience(k.client.wait)
	if left <= 0 || !isTimeout(err) || k.conn.aborted.Load() {
		return false
	}
	k.conn.read.in(left)
	return true
}

// makeRoom makes the buffer large enough for a head of any allowed size.
func (k *call) makeRoom() error {
	if k.client.maxHead >= 0 && k.w-k.r > k.client.maxHead {
		return errHeadTooLarge
	}
	if k.w < len(k.buf.bytes) {
		return nil
	}
	k.w = copy(k.buf.bytes, k.buf.bytes[k.r:k.w])
	k.r = 0
	if k.w == len(k.buf.bytes) {
		k.buf.bytes = append(k.buf.bytes, make([]byte, len(k.buf.bytes))...)
	}
	return nil
}
