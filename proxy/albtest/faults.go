package albtest

import (
	"bufio"
	"cmp"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// faults are those that are armed. The zero value has none.
type faults struct {
	mu    sync.Mutex
	armed []Fault
}

// arm adds a fault, with its defaults.
func (fs *faults) arm(f Fault) {
	f.Requests = cmp.Or(f.Requests, 1)
	f.Delay = cmp.Or(f.Delay, time.Second)
	f.Bytes = cmp.Or(f.Bytes, 64)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.armed = append(fs.armed, f)
}

// take returns the oldest fault for a request to the group, nil if there is
// none.
func (fs *faults) take(group string) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i := slices.IndexFunc(fs.armed, func(f Fault) bool { return f.Group == "" || f.Group == group })
	if i < 0 {
		return nil
	}
	f := fs.armed[i]
	if f.Requests > 0 {
		fs.armed[i].Requests--
	}
	if fs.armed[i].Requests == 0 {
		fs.armed = slices.Delete(fs.armed, i, i+1)
	}
	return &f
}

func (fs *faults) mend() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.armed = nil
}

// faultReader is what arrives of a target's answer when something goes wrong.
type faultReader struct {
	from    io.Reader
	fault   *Fault
	done    <-chan struct{}
	idle    time.Duration
	cut     error // what Cut ends with
	started bool
	read    int
}

func newFaultReader(from *bufio.Reader, t *trip) io.Reader {
	f := &faultReader{from: from, fault: t.fault, done: t.ctx.Done(), idle: t.s.idleTimeout(), cut: io.EOF}
	switch t.fault.Kind {
	case Garbage:
		return io.MultiReader(f, strings.NewReader("\x00\x01\x02 this is not HTTP\r\n\r\n"))
	case HugeHeader:
		return io.MultiReader(f, strings.NewReader("HTTP/1.1 200 OK\r\nX-Huge: "+strings.Repeat("a", maxResponseHead)+"\r\n\r\n"))
	}
	return f
}

// Read reads what the fault leaves.
func (f *faultReader) Read(p []byte) (int, error) {
	first := !f.started
	f.started = true
	if p, err := f.before(p, first); err != nil || len(p) == 0 {
		return 0, err
	} else {
		n, err := f.from.Read(p)
		f.read += n
		return f.after(n, err)
	}
}

// before waits, and says how much may be read.
func (f *faultReader) before(p []byte, first bool) ([]byte, error) {
	piece := p[:min(len(p), f.fault.Bytes)]
	switch f.fault.Kind {
	case Hang:
		return nil, f.sleep(f.idle)
	case Latency:
		if first {
			return p, f.sleep(f.fault.Delay)
		}
	case Slices:
		if !first {
			return piece, f.sleep(f.fault.Delay)
		}
		return piece, nil
	case Bandwidth:
		if !first {
			return piece, f.sleep(time.Second)
		}
		return piece, nil
	case Cut:
		if f.read >= f.fault.Bytes {
			return nil, f.cut
		}
		return p[:min(len(p), f.fault.Bytes-f.read)], nil
	}
	return p, nil
}

// after changes what was read.
func (f *faultReader) after(n int, err error) (int, error) {
	switch {
	case err == nil && f.fault.Kind == Reset:
		return 0, syscall.ECONNRESET
	case err == nil && (f.fault.Kind == Garbage || f.fault.Kind == HugeHeader):
		return 0, io.EOF // what is made up follows
	case err == io.EOF && f.fault.Kind == SlowClose:
		return n, cmp.Or(f.sleep(f.fault.Delay), err)
	}
	return n, err
}

// sleep waits, but no longer than the idle time-out or the trip.
func (f *faultReader) sleep(d time.Duration) error {
	timer := time.NewTimer(min(d, f.idle))
	defer timer.Stop()
	select {
	case <-f.done:
		return io.ErrUnexpectedEOF
	case <-timer.C:
	}
	if d >= f.idle {
		return os.ErrDeadlineExceeded
	}
	return nil
}
