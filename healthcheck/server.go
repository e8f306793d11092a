package healthcheck

import "net/http"

// NewServer returns a server with the time-outs and limits that suit what is
// in front of it. The server is an ordinary one, to be changed before it
// serves; [Serve] runs it and drains it by the same profile.
func NewServer(addr string, h http.Handler, p Profile) *http.Server {
	srv := &http.Server{Addr: addr, Handler: h}
	Configure(srv, p)
	return srv
}
