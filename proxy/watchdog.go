package proxy

import (
	"context"
	"sync"
	"time"
)

// A watchdog ends a RoundTrip that takes too long: a transport of somebody
// else's may know no time-outs, and net/http's knows none for sending a body.
type watchdog struct {
	head, idle time.Duration // not positive: none
	cancel     context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

var (
	errAnswerLate = &timeoutError{"no answer in time"}
	errWriteLate  = &timeoutError{"the upstream takes no more of the body"}
)

// wait gives the upstream the time to answer; call it when the whole request is
// on its way.
func (d *watchdog) wait() { d.set(d.head, errAnswerLate) }

// push gives the upstream the time to take a piece of the body.
func (d *watchdog) push() { d.set(d.idle, errWriteLate) }

// rest is for the time in which the client is waited for.
func (d *watchdog) rest() { d.set(0, nil) }

func (d *watchdog) set(in time.Duration, cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if in > 0 && !d.over {
		d.timer = time.AfterFunc(in, func() { d.cancel(cause) })
	}
}

// stop ends the watch: the answer has begun.
func (d *watchdog) stop() {
	d.rest()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
}
