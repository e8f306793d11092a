package healthcheck_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/knownhops/knownhops/healthcheck"
)

// A service behind an ALB: it probes itself when a container asks for that, and
// otherwise serves until it is told to end.
func ExampleServe() {
	healthcheck.Main("http://127.0.0.1:8080/livez")

	var health healthcheck.Health
	srv := healthcheck.NewServer(":8080", health.Wrap(http.NotFoundHandler()), healthcheck.ALB())
	if err := healthcheck.Serve(context.Background(), srv, &health); err != nil {
		log.Fatal(err)
	}
}

// A balancer whose idle time-out was raised, and a platform that waits longer.
func ExampleNewServer() {
	p := healthcheck.ALB()
	p.Idle = 5 * time.Minute
	p.KillBudget = 2 * time.Minute
	srv := healthcheck.NewServer(":8080", http.NotFoundHandler(), p)
	fmt.Println(srv.IdleTimeout)
	// Output: 5m15s
}

// The time-outs of many tutorials, which lose requests behind a balancer.
func ExampleLint_wrong() {
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	for _, f := range healthcheck.Lint(srv, healthcheck.ALB()) {
		fmt.Println(f.Code)
	}
	// Output:
	// read_timeout_is_idle
	// idle_too_short
	// read_timeout
	// write_timeout
	// read_header_too_short
}
