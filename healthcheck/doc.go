// Package healthcheck answers a balancer's probes, and takes a service out of
// rotation without losing a request.
//
//	var health healthcheck.Health // live and ready
//
//	srv := healthcheck.NewServer(":8080", health.Wrap(mux), healthcheck.ALB())
//	if err := healthcheck.Serve(context.Background(), srv, &health); err != nil {
//		log.Fatal(err)
//	}
//
// # Probes
//
// [Health.Wrap] is the outermost handler. It answers exact paths itself
// (/healthz and /readyz: readiness; /livez; /startupz; health checks of gRPC),
// whatever Host, protocol or User-Agent comes with them, so that no redirect,
// log, login or list of hosts further in meets a probe. Everything else passes.
//
// A probe never runs code of the service. Checks run in the background
// ([Health.Run]), and the answer is one atomic pointer and constant bytes: no
// number of probes, and nobody who hangs up, changes what the next one gets.
//
// # Kinds
//
// What all instances share cannot make one of them a bad one. So a [Check] is a
// [Dependency] unless it says otherwise, and a Dependency that fails is a
// warning that answers 200. With Gate it may take the instance out of rotation
// for a limited time, after which it fails open. A [Startup] check holds the
// instance back until it has passed once, a [Local] one takes it out for as
// long as it fails, and only a [Watchdog] heartbeat fails liveness.
//
// # Leaving
//
// [Health.Drain] cannot be undone: readiness answers 503 from then on, liveness
// stays 200. How long it takes until no balancer sends any more is observed,
// not guessed: the table of probers knows who asks how often, and the drain
// waits until each has had its failing answers. [Health.Details] shows that
// table, and how long a drain needs.
//
// # Who may see what
//
// Answers to probes, logs from level Info, metrics and [Health.String] hold no
// text of an error and no address. [Health.Details] holds both, and nobody may
// see it unless the function that it is given says so.
package healthcheck
