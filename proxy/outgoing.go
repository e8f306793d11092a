package proxy

import (
	"net/http"

	"github.com/knownhops/knownhops/forwarded"
)

// outgoing fills out, which must be empty, with the header of the request that
// goes to the upstream: everything end-to-end of in, and what the upstream may
// believe about the client. It shares in's slices of values and changes none.
//
// Host, Content-Length, Transfer-Encoding, Expect, Trailer and the headers of an
// upgrade are missing: who sends the request knows how.
func outgoing(out http.Header, in *http.Request, info forwarded.Info, h *Headers) {
	for name, lines := range in.Header {
		if !isHopByHop(name) && !isFraming(name) {
			out[name] = lines
		}
	}
	if lines := in.Header["Connection"]; len(lines) > 0 {
		removeNominated(out, lines, func(name string) bool { return protectedInRequest(name, h.Keep) })
	}
	if hasToken(in.Header["Te"], "trailers") {
		out["Te"] = []string{"trailers"} // the only coding that a proxy can promise for others; gRPC insists on it
	}
	replaceFamily(out, in, &info, h)
}
