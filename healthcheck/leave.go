package healthcheck

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// leave waits until nobody sends requests here any more: the probers have
// seen that the service is leaving, and clients' requests have ended. The wait
// is capped: a platform kills what takes too long, and that loses more.
func (s *service) leave(patience context.Context) {
	began := time.Now()
	why := s.awaitProbers(patience)
	close(s.settled)
	s.log.Info("healthcheck: probers: "+why, "waited", time.Since(began).Round(time.Millisecond))
	if !s.health.probed() {
		return // nobody who could send clients elsewhere: a run without a balancer
	}
	left := max(s.profile.wait()-time.Since(began), lastWord)
	ctx, cancel := context.WithTimeout(patience, left)
	defer cancel()
	if !await(ctx, func() bool { return s.traffic.calm(s.profile.quiet()) }) {
		s.log.Warn("healthcheck: requests still come, and the wait is over",
			"in_flight", len(s.traffic.inFlight()), "connections", s.traffic.open(), "cap", s.profile.wait())
	}
}

// awaitProbers waits for the evidence from the probers, within the cap.
func (s *service) awaitProbers(patience context.Context) (why string) {
	ctx, cancel := context.WithTimeout(patience, s.profile.wait())
	defer cancel()
	return s.health.awaitProbers(ctx, s.profile)
}

// stop shuts the servers down, gives requests and tracked connections their
// time, and closes what is left. It returns what was lost; nil: nothing.
func (s *service) stop(patience context.Context) *LostError {
	ctx, cancel := context.WithTimeout(patience, s.profile.shutdown())
	defer cancel()
	s.traffic.stop()
	s.endChecks()
	var stopping sync.WaitGroup
	for _, e := range s.endpoints {
		stopping.Go(func() { s.shutdown(ctx, e.Server) })
	}
	s.health.awaitTracked(ctx)
	stopping.Wait()
	await(ctx, s.traffic.idle) // handlers that took their connections over: Shutdown knows nothing of them
	s.awaitReports(ctx)
	s.awaitChecks(ctx)
	lost := s.lost(patience)
	for _, e := range s.endpoints {
		_ = e.Server.Close() // its error is that of a listener closed already
	}
	return lost
}

// awaitReports gives net/http a moment to report the connections that Shutdown has
// closed; one of them may have brought a request.
func (s *service) awaitReports(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	await(ctx, func() bool { return s.traffic.open() == 0 })
}

// awaitChecks waits for the checks. One that ignores its context is left to the
// end of the process.
func (s *service) awaitChecks(ctx context.Context) {
	select {
	case <-s.checked:
		return
	default:
	}
	select {
	case <-s.checked:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.log.Warn("healthcheck: a check runs on although it was told to end")
		}
	}
}

// shutdown shuts one server down.
func (s *service) shutdown(ctx context.Context, srv *http.Server) {
	err := srv.Shutdown(ctx)
	if err != nil && !errors.Is(err, ctx.Err()) && !errors.Is(err, net.ErrClosed) {
		s.log.Warn("healthcheck: shutdown", "error", err)
	}
}

// lost returns what has not ended; nil: everything has.
func (s *service) lost(patience context.Context) *LostError {
	e := &LostError{Requests: s.traffic.inFlight(), Tracked: s.health.trackedNames(), Dropped: s.traffic.tooLate()}
	if e.none() {
		return nil
	}
	if patience.Err() != nil {
		e.Cause = "a second signal"
	} else if len(e.Requests) > 0 || len(e.Tracked) > 0 {
		e.Cause = "the time was up"
	}
	return e
}
