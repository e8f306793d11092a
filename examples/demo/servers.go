package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// servers are those of this process beside the balancer's, in the order in
// which they were started.
type servers struct {
	failed  chan<- error
	list    []*http.Server
	running sync.WaitGroup
}

// serve takes the listener over.
func (s *servers) serve(ln net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // of broken connections: nothing to report
	}
	s.list = append(s.list, srv)
	s.running.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
}

// shutdown ends the last server first. Requests under way have a moment to
// finish; connections that never asked anything do not.
func (s *servers) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var errs []error
	for _, srv := range slices.Backward(s.list) {
		if srv.Shutdown(ctx) != nil {
			errs = append(errs, srv.Close())
		}
	}
	s.running.Wait()
	return errors.Join(errs...)
}
