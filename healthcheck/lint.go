package healthcheck

import (
	"fmt"
	"net/http"
	"time"
)

// Lint returns what in a server loses requests behind the balancer of the
// profile, and what in the profile cannot work: a balancer that needs longer
// to take the server out than the platform waits before it kills it. A server
// of [NewServer] with one of the presets has no finding.
//
// While [Serve] runs, it also tells of response headers that came near the
// length that the balancer refuses.
func Lint(srv *http.Server, p Profile) []Finding {
	l := &linter{srv: srv, p: p}
	l.idle()
	l.wholeMessages()
	l.headers()
	l.protocols()
	l.budget()
	return l.found
}

// linter collects findings.
type linter struct {
	srv   *http.Server
	p     Profile
	found []Finding
}

func (l *linter) add(code, field, fix, format string, args ...any) {
	l.found = append(l.found, Finding{Code: code, Field: field, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// idle looks at how long the server keeps connections. net/http takes
// ReadTimeout where IdleTimeout is zero, and keeps them for ever where both are.
func (l *linter) idle() {
	effective, field := l.srv.IdleTimeout, "Server.IdleTimeout"
	if effective == 0 {
		effective, field = l.srv.ReadTimeout, "Server.ReadTimeout"
	}
	if l.srv.IdleTimeout == 0 && l.srv.ReadTimeout > 0 {
		l.add("read_timeout_is_idle", "Server.IdleTimeout", "set it to "+l.p.serverIdle().String(),
			"without an IdleTimeout, connections are closed after the ReadTimeout of %v", effective)
	}
	switch {
	case effective > 0 && l.p.Idle > 0 && effective <= l.p.Idle:
		l.add("idle_too_short", field, "set Server.IdleTimeout to "+l.p.serverIdle().String(),
			"the server closes idle connections after %v, and %s keeps them for %v: a request that is just being sent then ends as a 502",
			effective, l.p.name(), l.p.Idle)
	case effective <= 0 && l.p.Idle == 0:
		l.add("idle_unlimited", field, "set it to "+l.p.serverIdle().String(),
			"clients keep their connections for as long as they like")
	}
}

// wholeMessages looks at the limits that run however fast a message moves.
func (l *linter) wholeMessages() {
	const moving = "leave it at 0: Profile.Stall is for clients that do not move; limit others where it matters, with http.ResponseController"
	if t := l.srv.ReadTimeout; t > 0 {
		l.add("read_timeout", "Server.ReadTimeout", moving,
			"an upload that takes longer than %v is cut off, however steadily it comes", t)
	}
	if t := l.srv.WriteTimeout; t > 0 {
		l.add("write_timeout", "Server.WriteTimeout", moving,
			"it counts the handler's time: an answer that is not out after %v is a closed connection, which a balancer turns into a 502", t)
	}
}

// headers looks at the limits of headers, of time and of size.
func (l *linter) headers() {
	effective := l.srv.ReadHeaderTimeout
	if effective == 0 {
		effective = l.srv.ReadTimeout
	}
	switch {
	case effective > 0 && effective < l.p.Idle:
		l.add("read_header_too_short", "Server.ReadHeaderTimeout", "set it to "+l.p.readHeader().String(),
			"it runs from the opening of a connection, so one that %s opened in advance is closed after %v, perhaps into its first request",
			l.p.name(), effective)
	case effective <= 0 && l.p.Idle == 0:
		l.add("no_read_header_timeout", "Server.ReadHeaderTimeout", "set it to "+l.p.readHeader().String(),
			"clients may take for ever to send a header, and hold a connection for that long")
	}
	if most := l.srv.MaxHeaderBytes; most > 0 && most < l.p.MaxHeaderBytes {
		l.add("request_header_limit", "Server.MaxHeaderBytes", fmt.Sprintf("set it to %d", l.p.MaxHeaderBytes),
			"requests with a header over %d bytes get 431, and %s lets longer ones through", most, l.p.name())
	}
	l.responseHeaders()
}

// responseHeaders tells of the longest response header that was seen.
func (l *linter) responseHeaders() {
	h, ok := l.srv.Handler.(*served)
	if !ok {
		return
	}
	if seen, path := h.headers.longest(); near(seen, l.p.MaxResponseHeaderBytes) {
		l.add("response_header", "Server.Handler", "set fewer or shorter headers; cookies are the usual cause",
			"the answer to %s had a header of %d bytes, and %s answers 502 in place of one over %d",
			path, seen, l.p.name(), l.p.MaxResponseHeaderBytes)
	}
}

// protocols looks at what else the server speaks, and to whom.
func (l *linter) protocols() {
	if l.p.H2C && (l.srv.Protocols == nil || !l.srv.Protocols.UnencryptedHTTP2()) {
		l.add("no_h2c", "Server.Protocols", "SetUnencryptedHTTP2(true)",
			"%s is to speak HTTP/2 without TLS, and the server does not", l.p.name())
	}
	if l.srv.Handler == nil {
		l.add("no_handler", "Server.Handler", noHandlerFix, noHandler)
	}
}

// budget looks whether a drain can come to its end before the process is killed.
func (l *linter) budget() {
	const raise = "probe every 5 to 10 s, or raise the kill budget (ECS stopTimeout, terminationGracePeriodSeconds, TimeoutStopSec) to 60 to 120 s"
	if s := l.p.Shutdown; s > 0 && s < leastShutdown {
		l.add("shutdown_too_short", "Profile.Shutdown", "set it to 8s",
			"a shutdown waits 5 s for connections that were opened in advance, so %v always end in an error; %v are taken", s, leastShutdown)
	}
	out, most := l.p.takeOut(), l.p.wait()
	if out > most {
		l.add("wait_too_short", "Profile.Wait", "set it to "+(out+l.p.ProbeInterval/2).Round(time.Second).String()+", or probe faster",
			"%s needs %v to take the server out (%d probes, one every %v), and a drain waits %v at most",
			l.p.name(), out, l.p.unhealthyThreshold(), l.p.ProbeInterval, most)
	}
	if need := max(out, most) + lastWord + l.p.shutdown(); l.p.KillBudget > 0 && need > l.p.KillBudget {
		l.add("kill_budget", "Profile.KillBudget", raise,
			"a drain may need %v (%v until %s has taken the server out and acted on it, %v for the shutdown), and the process is killed after %v",
			need, max(out, most)+lastWord, l.p.name(), l.p.shutdown(), l.p.KillBudget)
	}
}
