package healthcheck

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/knownhops/knownhops/internal/conferr"
)

// An Endpoint is a server with what it listens on, for [ServeAll].
type Endpoint struct {
	// Server is required, has a Handler, and may be in one Endpoint only. With
	// a TLSConfig it serves TLS; the certificate has to come from there.
	Server *http.Server

	// Listeners are what it accepts connections from; they are closed when it
	// has served. Empty: one on Server.Addr.
	Listeners []net.Listener
}

// What is wrong with a server without a handler, and what to do.
const (
	noHandler    = "net/http serves its global mux then, and with it whatever any imported package registered there, such as debug pages"
	noHandlerFix = "set a handler of your own"
)

// checkEndpoints returns every mistake in the arguments of ServeAll.
func checkEndpoints(h *Health, endpoints []Endpoint) error {
	var errs conferr.Errors
	if h == nil {
		errs.Add("Health", "nil", "nothing could say that the service leaves", "give a new(Health): it is live and ready without checks")
	}
	if h != nil && h.hasLeft() {
		errs.Add("Health", "", "it has drained, and readiness would be 503 for ever", "give a new one")
	}
	if len(endpoints) == 0 {
		errs.Add("Endpoints", "", "there is nothing to serve", "")
	}
	seen := make(map[*http.Server]bool)
	for i, e := range endpoints {
		field := fmt.Sprintf("Endpoints[%d]", i)
		switch {
		case e.Server == nil:
			errs.Add(field+".Server", "nil", "there is nothing to serve", "")
		case e.Server.Handler == nil:
			errs.Add(field+".Server.Handler", "nil", noHandler, noHandlerFix)
		case isServed(e.Server):
			errs.Add(field+".Server", "", "it was served already, and net/http serves a server once", "make a new one")
		case seen[e.Server]:
			errs.Add(field+".Server", "", "the server has an endpoint already", "give that one all the listeners")
		}
		seen[e.Server] = true
		for j, l := range e.Listeners {
			if l == nil {
				errs.Add(fmt.Sprintf("%s.Listeners[%d]", field, j), "nil", "there is nothing to accept from", "")
			}
		}
	}
	return errs.Err()
}

func isServed(srv *http.Server) bool {
	_, ok := srv.Handler.(*served)
	return ok
}

// listen opens the listeners of those that were given none. On an error it
// closes what it opened.
func listen(endpoints []Endpoint) ([]Endpoint, error) {
	var opened []net.Listener
	all := make([]Endpoint, len(endpoints))
	for i, e := range endpoints {
		if len(e.Listeners) == 0 {
			l, err := net.Listen("tcp", address(e.Server))
			if err != nil {
				return nil, errors.Join(append([]error{fmt.Errorf("healthcheck: %w", err)}, closeAll(opened)...)...)
			}
			opened = append(opened, l)
			e.Listeners = []net.Listener{l}
		}
		all[i] = e
	}
	return all, nil
}

// address is where net/http would listen.
func address(srv *http.Server) string {
	switch {
	case srv.Addr != "":
		return srv.Addr
	case srv.TLSConfig != nil:
		return ":https"
	default:
		return ":http"
	}
}

// closeAll closes listeners.
func closeAll(listeners []net.Listener) (errs []error) {
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errs
}
