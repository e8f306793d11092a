package proxy

import (
	"io"
	"net/http"

	"github.com/knownhops/knownhops/forwarded"
)

// cleanTrailer removes from a trailer what must not stand there: framing,
// routing, authentication and the client are decided before a trailer comes, so
// it cannot speak of them (RFC 9110 §6.5.1).
func cleanTrailer(t http.Header) http.Header {
	forwarded.Strip(nil, t)
	for name := range t {
		if notInTrailer[name] || !isToken(name) {
			delete(t, name)
		}
	}
	return t
}

// trailerNames returns the names that a Trailer field announces and that may
// come.
func trailerNames(lines []string) http.Header {
	if len(lines) == 0 {
		return nil
	}
	t := make(http.Header)
	for name := range listed(lines) {
		t[canonical(name)] = nil
	}
	return cleanTrailer(t)
}

// A trailedBody is a client's body for a transport. It fills a trailer with what
// came at the end, as far as it was announced, and tells a watchdog how far it is.
type trailedBody struct {
	*clientBody
	from, to http.Header
	dog      *watchdog
}

// Close is what a transport calls that has no more use for the body. It may
// wait for its own reading of it.
func (b *trailedBody) Close() error {
	b.interrupt()
	return nil
}

func (b *trailedBody) Read(p []byte) (int, error) {
	b.dog.rest()
	n, err := b.clientBody.Read(p)
	b.dog.push()
	if err == io.EOF {
		b.dog.wait()
		for name := range b.to {
			b.to[name] = b.from[name]
		}
	}
	return n, err
}

var notInTrailer = func() map[string]bool {
	m := make(map[string]bool)
	for _, name := range []string{
		"Transfer-Encoding", "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Host", "Connection", "Trailer", "Te",
		"Upgrade", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Authorization", "Www-Authenticate", "Cookie",
		"Set-Cookie", "Cache-Control", "Expect", "Max-Forwards", "Range", "Age", "Date", "Expires", "Location", "Vary",
	} {
		m[name] = true
	}
	return m
}()
