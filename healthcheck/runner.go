package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

var errRunning = errors.New("healthcheck: Run is running already")

// Run runs the checks while ctx lives, and then returns nil: each in a goroutine
// of its own, at once and then every Check.Every, never twice at a time. A run
// that takes longer than the time-out is a failure then; one that ignores its
// context is never joined by a second. Run waits for runs under way for at most
// their time-out.
//
// A second Run at the same time is an error. The results of checks that no Run
// repeats grow too old after twice Every and a time-out, and count as failures.
func (h *Health) Run(ctx context.Context) error {
	if !h.running.CompareAndSwap(false, true) {
		return errRunning
	}
	defer h.running.Store(false)
	var wg sync.WaitGroup
	h.mu.Lock()
	for _, s := range h.sources {
		if s.run != nil && !s.latched() {
			wg.Go(func() { h.poll(ctx, s) })
		}
	}
	h.mu.Unlock()
	wg.Wait()
	<-ctx.Done()
	return nil
}

// poll runs one check until ctx ends or the check has done its work.
func (h *Health) poll(ctx context.Context, s *source) {
	var hung <-chan outcome // of a run that has outlived its time-out
	first := true
	for ctx.Err() == nil {
		begin := time.Now()
		o, left := s.runOnce(ctx, hung)
		if hung = left; ctx.Err() != nil || h.record(s, o) {
			return
		}
		pause := jitter(s.every)
		if first && s.gate > 0 {
			pause = rand.N(s.every) // a fleet that started together does not leave together
		}
		first = false
		if !sleep(ctx, pause-time.Since(begin)) {
			return
		}
	}
}

// jitter is d give or take a tenth.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// leastPause lets others work between two runs of a check that takes longer
// than its interval.
const leastPause = time.Millisecond

// sleep reports whether ctx still lives after d.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, leastPause))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// An outcome is what one run gave.
type outcome struct {
	err      error
	took     time.Duration
	panicked bool
	ran      bool   // it was a run, and not the wait for an older one
	value    any    // what it panicked with
	stack    string // where
}

// runOnce runs the check unless an earlier run hangs, and waits until its
// time-out at most. It returns the run that hangs now, if any.
func (s *source) runOnce(ctx context.Context, hung <-chan outcome) (outcome, <-chan outcome) {
	if hung != nil {
		select {
		case <-hung: // too late to be believed
		default:
			return outcome{err: errHung}, hung
		}
	}
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	done := s.launch(ctx)
	select {
	case o := <-done:
		return o, nil
	case <-timer.C:
		return outcome{err: errTimeout, took: s.timeout, ran: true}, done
	}
}

// launch calls the check in a goroutine of its own, which may outlive
// everything else. Whatever happens to it is an outcome.
func (s *source) launch(ctx context.Context) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		o := outcome{err: errExited, ran: true}
		begin := time.Now()
		defer func() {
			if v := recover(); v != nil {
				o.err, o.panicked, o.value, o.stack = errors.New("the check panicked"), true, v, stack()
			}
			o.took = time.Since(begin)
			done <- o
		}()
		o.err = s.run(ctx)
	}()
	return done
}

// record takes an outcome in and reports whether the check has done its work.
func (h *Health) record(s *source, o outcome) (done bool) {
	now := time.Now()
	h.mu.Lock()
	if o.ran {
		s.runs++
		s.took = o.took
	}
	if o.panicked {
		s.panics++
	}
	news := o.panicked && !s.panicked
	s.panicked = o.panicked
	if o.err != errTimeout && o.err != errHung {
		s.expires = now.Add(2*s.every + s.timeout)
	}
	s.take(o.err, now)
	h.settle(now)
	done = s.latched()
	h.mu.Unlock()
	if news {
		h.logger().Error("healthcheck: a check panicked", "check", s.name, "stack", o.stack)
		h.logger().Debug("healthcheck: a check panicked", "check", s.name, "panic", clip(fmt.Sprint(o.value), maxText))
	}
	h.tell()
	return done
}
