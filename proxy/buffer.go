package proxy

import "sync"

// bufferSize is what is gathered before it is passed on: 64 KiB, which cost
// about two thirds of what 32 KiB do for large bodies, and the head of such an
// answer.
const bufferSize = 68 << 10

// A buffer is on loan for one exchange.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, bufferSize)} }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	if cap(b.bytes) == bufferSize { // one that had to grow is not kept
		buffers.Put(b)
	}
}
