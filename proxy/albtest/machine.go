package albtest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// machine is what stands behind a target: the server of a handler, or nothing
// of ours.
type machine struct {
	env     *environment
	at      netip.AddrPort
	target  Target
	secure  bool // TLS
	version ProtocolVersion

	mu       sync.Mutex
	server   *http.Server // nil while nothing listens
	closed   bool
	open     map[net.Conn]struct{}
	handlers sync.WaitGroup
	serving  sync.WaitGroup
	conns    sync.WaitGroup // of the server: those taken over are their handlers'
}

// start listens, unless the machine does already or has no handler.
func (m *machine) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return errClosed
	case m.target.Handler == nil || m.server != nil:
		return nil
	}
	l, err := m.env.network.listen(m.at)
	if err != nil {
		return err
	}
	s := m.newServer()
	m.server, m.open = s, make(map[net.Conn]struct{})
	m.serving.Go(func() {
		if m.secure {
			_ = s.ServeTLS(l, "", "") // ends when the server is closed
		} else {
			_ = s.Serve(l)
		}
	})
	return nil
}

// newServer makes the server of the handler. It has no time-outs: one that
// closes idle connections before the balancer does is the mistake that
// Target.Configure is there to make.
func (m *machine) newServer() *http.Server {
	s := &http.Server{Protocols: new(http.Protocols), ErrorLog: log.New(handlerFaults{}, "", 0)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(m.version != HTTP1)
	if m.secure {
		s.TLSConfig = &tls.Config{GetCertificate: m.env.certificate}
	}
	s.Handler = m.target.Handler
	if m.target.Configure != nil {
		m.target.Configure(s)
	}
	m.watch(s)
	return s
}

// handlerFaults logs what net/http says of a handler's mistakes. The rest that it
// says is noise here: connections break off because a test wants them to.
type handlerFaults struct{}

// Write takes one message.
func (handlerFaults) Write(message []byte) (int, error) {
	for _, mistake := range []string{"panic serving", "superfluous response.WriteHeader", "response.Write on hijacked connection"} {
		if bytes.Contains(message, []byte(mistake)) {
			log.Print(string(message))
			break
		}
	}
	return len(message), nil
}

// watch counts the handlers that run, and notes the connections: those that a
// handler took over are no longer the server's to close.
func (m *machine) watch(s *http.Server) {
	inner, observer := s.Handler, s.ConnState
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.enter(s) {
			panic(http.ErrAbortHandler) // killed between the request and here
		}
		defer m.handlers.Done()
		inner.ServeHTTP(w, r)
	})
	s.ConnState = func(c net.Conn, state http.ConnState) {
		m.count(state)
		m.note(s, c, state)
		if observer != nil {
			observer(c, state)
		}
	}
}

func (m *machine) enter(s *http.Server) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server != s {
		return false
	}
	m.handlers.Add(1)
	return true
}

// count counts the goroutines of the connections.
func (m *machine) count(state http.ConnState) {
	switch state {
	case http.StateNew:
		m.conns.Add(1)
	case http.StateHijacked, http.StateClosed:
		m.conns.Done()
	}
}

func (m *machine) note(s *http.Server, c net.Conn, state http.ConnState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.server != s:
		_ = c.Close() // accepted while the server was closed, which overlooked it
	case state == http.StateClosed:
		delete(m.open, c)
	default:
		m.open[c] = struct{}{}
	}
}

// kill ends the process: the port is closed, and every connection with it.
// Handlers that run go on, with nobody to talk to and their contexts cancelled.
func (m *machine) kill() error {
	if m.target.Handler == nil {
		return errNotOurs
	}
	m.mu.Lock()
	s, open := m.server, m.open
	m.server, m.open = nil, nil
	m.mu.Unlock()
	if s == nil {
		return nil
	}
	_ = s.Close() // its error is that of a listener closed already
	for c := range open {
		_ = c.Close()
	}
	m.serving.Wait()
	return nil
}

// revive is start for Revive, which must not be asked for what start ignores.
func (m *machine) revive() error {
	if m.target.Handler == nil {
		return errNotOurs
	}
	return m.start()
}

// close is kill, for good, and waits for the handlers and the connections.
func (m *machine) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	_ = m.kill() // what is not ours stays
	m.conns.Wait()
	m.handlers.Wait()
}

var errNotOurs = errors.New("the target is not a Handler: it lives outside the emulator")
