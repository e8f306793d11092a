package healthcheck

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

// Serve runs a server, and takes it out of rotation before it ends. It serves
// on srv.Addr, with TLS if srv.TLSConfig is set, and runs the checks of h. At
// SIGTERM or SIGINT, or when ctx ends:
//
//  1. Readiness answers 503, and stays so ([Health.Drain]). Requests are
//     answered as before, but each answer over HTTP/1 ends its connection.
//  2. It waits until the probers that were seen have got as many failing
//     answers as take the server out, and no request has come for a while. It
//     does not wait if nobody probes, and never longer than [Profile.Wait].
//     From then on answers over HTTP/2 end their connections too.
//  3. [http.Server.Shutdown]: the port is closed, requests in flight and
//     tracked connections ([Health.Track]) have until [Profile.Shutdown].
//  4. What is left is closed.
//
// A second signal goes to step 4 at once.
//
// The error is nil if nothing was lost, a [*LostError] that says what was, or
// why the server could not serve. A nil Health is an error, and so is a server
// without a handler, which would serve whatever packages have registered with
// net/http.
//
// The profile is the one that [NewServer] or [Configure] left in the server;
// without, it is [ALB]. What [Lint] finds is logged. Serve puts a handler of its
// own around srv.Handler, and what watches connections around srv.ConnState and
// srv.ConnContext, so a server can be served once. Functions of
// [http.Server.RegisterOnShutdown] are called but not waited for: what has to
// be waited for is tracked.
func Serve(ctx context.Context, srv *http.Server, h *Health) error {
	return ServeAll(ctx, h, Endpoint{Server: srv})
}

// ServeAll is [Serve] for several servers, such as one for each port. They
// share the checks, the signals and the drain, whose waits are the longest of
// any of their profiles. When one of them cannot serve any more, all are
// drained, and the error says why.
//
// It calls [signal.Notify], of which the Go runtime wants the first call of a
// program to be outside of any testing/synctest bubble.
func ServeAll(ctx context.Context, h *Health, endpoints ...Endpoint) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	return serveAll(ctx, signals, h, endpoints)
}

// serveAll is ServeAll with signals from anywhere.
func serveAll(ctx context.Context, signals <-chan os.Signal, h *Health, endpoints []Endpoint) error {
	if err := checkEndpoints(h, endpoints); err != nil {
		return err
	}
	endpoints, err := listen(endpoints)
	if err != nil {
		return err
	}
	return newService(h, endpoints).run(ctx, signals)
}
