package healthcheck

import "net/http"

// Configure fills the zero fields of a server by a profile, and leaves those
// alone that are set: [Lint] says which of them are dangerous.
//
// IdleTimeout and ReadHeaderTimeout are the profile's, and so are
// MaxHeaderBytes and, with [Profile.H2C], Protocols. ReadTimeout and
// WriteTimeout stay zero: they limit a whole request and a whole answer,
// however fast it moves, so that a slow upload or a long download ends as a
// 502; a handler that wants a limit sets one with [http.ResponseController].
// ErrorLog goes to [log/slog], without the noise of balancers that open a TLS
// connection to see whether somebody listens.
//
// ErrorLog and BaseContext also carry the profile to [Serve], which believes
// in [ALB] where somebody set both to something else.
func Configure(srv *http.Server, p Profile) {
	fill(&srv.IdleTimeout, p.serverIdle())
	fill(&srv.ReadHeaderTimeout, p.readHeader())
	fill(&srv.MaxHeaderBytes, p.maxHeaderBytes())
	if p.H2C && srv.Protocols == nil {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetHTTP2(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	carry(srv, p)
}

// fill sets a field that is zero.
func fill[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}
