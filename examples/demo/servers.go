package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// servers are those of this process, in the order in which they were started.
type servers struct {
	logger  *slog.Logger
	failed  chan<- error
	list    []*http.Server
	running sync.WaitGroup
}

func newServers(logger *slog.Logger, failed chan<- error) *servers {
	return &servers{logger: logger, failed: failed}
}

func (s *servers) serve(ln net.Listener, h http.Handler) {
	srv := s.add(h)
	s.running.Go(func() { s.report(srv.Serve(ln)) })
}

// serveTLS ends TLS with the certificate, and speaks HTTP/2 as well.
func (s *servers) serveTLS(ln net.Listener, h http.Handler, id identity) {
	srv := s.add(h)
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{id.certificate}}
	s.running.Go(func() { s.report(srv.ServeTLS(ln, "", "")) })
}

func (s *servers) add(h http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		// A browser that does not know the certificate yet breaks the handshake off: nothing to report.
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	s.list = append(s.list, srv)
	return srv
}

func (s *servers) report(err error) {
	if !errors.Is(err, http.ErrServerClosed) {
		s.failed <- err
	}
}

// shutdown ends the outermost server first. Requests under way have a moment
// to finish; connections that never asked anything do not.
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
