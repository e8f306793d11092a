//go:build linux

package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/knownhops/knownhops/healthcheck"
)

// A Mode is what an instance does at SIGTERM.
type Mode string

// The modes.
const (
	Drain    Mode = "drain"    // healthcheck.Serve
	Shutdown Mode = "shutdown" // http.Server.Shutdown at once, as many programs do
	Exit     Mode = "exit"     // nothing: the signal ends the process
)

// Modes lists all of them.
func Modes() []Mode { return []Mode{Drain, Shutdown, Exit} }

// work is how long the service takes over each request.
const work = 5 * time.Millisecond

// Instance is the main function of one instance. Its arguments are those that Run gives to Plan.Self: a mode, the
// address to listen on and a profile as JSON.
func Instance(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%d arguments for an instance", len(args))
	}
	var p healthcheck.Profile
	if err := json.Unmarshal([]byte(args[2]), &p); err != nil {
		return err
	}
	var health healthcheck.Health
	srv := healthcheck.NewServer(args[1], health.Wrap(http.HandlerFunc(serve)), p)
	switch Mode(args[0]) {
	case Drain:
		return healthcheck.Serve(context.Background(), srv, &health)
	case Shutdown:
		return shutDown(srv)
	case Exit:
		return srv.ListenAndServe()
	}
	return fmt.Errorf("no mode is called %q", args[0])
}

// serve is the service: it sends back what it gets.
func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	time.Sleep(work)
	_, _ = w.Write(append(body, r.URL.Path...))
}

// shutDown serves until SIGTERM, and ends as the documentation of net/http shows it.
func shutDown(srv *http.Server) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- srv.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := srv.Shutdown(limited)
	return errors.Join(err, ignore(<-failed, http.ErrServerClosed))
}

// ignore returns err, or nil if it is the one that was expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
