package proxy

import (
	"context"
	"net"
	"sync"
)

// sockets are the connections that net/http's transports have open. They ask a
// transport to close what is idle, but HTTP/2 gives a stream back some time
// after the answer has ended, and a connection that becomes idle a moment later
// would stay open for as long as the upstream keeps it. The zero value is ready
// for use.
type sockets struct {
	mu   sync.Mutex
	open map[*socket]struct{}
}

// A socket is a connection that its sockets forget when it is closed.
type socket struct {
	net.Conn
	all *sockets
}

// Close closes the connection.
func (s *socket) Close() error {
	s.all.mu.Lock()
	delete(s.all.open, s)
	s.all.mu.Unlock()
	return s.Conn.Close()
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// counted makes dial's connections known to s.
func (s *sockets) counted(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		one := &socket{Conn: conn, all: s}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open == nil {
			s.open = make(map[*socket]struct{})
		}
		s.open[one] = struct{}{}
		return one, nil
	}
}

// cut closes every connection. Nothing may be using one.
func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open {
		one.Conn.Close()
	}
	clear(s.open)
}
