package forwarded

import (
	"fmt"
	"net/http"

	"github.com/knownhops/knownhops/internal/turns"
)

// fixedSentences are those that are always the same.
var fixedSentences = map[int][2]string{
	3: {"X-Forwarded-Host or X-Forwarded-Prefix came, and no hop vouches for it",
		"if one of your proxies sets it, say so in that hop's Host or Prefix rule; otherwise have the outermost proxy remove it"},
	4: {"a Forwarded header came, and no hop declares it",
		`if one of your proxies writes it, use Appends("Forwarded") in that hop's rules; otherwise have the outermost proxy remove it`},
	7: {"the Connection header asks proxies to remove forwarding headers",
		"make sure that your proxies write their headers after removing hop-by-hop ones (CVE-2022-31813)"},
	8: {"a header reads like a forwarding header to CGI, WSGI or PHP but is not spelled like one",
		"have the outermost proxy drop header names with other characters than letters, digits and hyphens (ALB: drop_invalid_header_fields)"},
}

// sentences says for each warning what happened and what to change.
func (t *topology) sentences(code int, r *http.Request, w *walk, in *reader) (message, fix string) {
	hop := t.hopNamed(w)
	switch code {
	case 1:
		return t.noForSentences(hop, w)
	case 2:
		return t.disagreeSentences(hop, w)
	case 5:
		return fmt.Sprintf("the client %s lies in the range of a hop that was already used", w.info.Client),
			"if it is a second proxy, declare that hop as well: Behind(Trusted(c), Trusted(c)); if internal callers use the proxy, all is well"
	case 6:
		return t.undeclaredSentences(w, "sent forwarding headers")
	case 9:
		return fmt.Sprintf("a header that hop %q replaces has more or fewer entries than it should", hop),
			"if a hop appends to it, use Appends in that hop's rule; if there is another proxy, declare it"
	case 10:
		return fmt.Sprintf("what hop %q wrote about who connected is no address (%s)", hop, w.info.Reason),
			"look at its entry on the explain page; a proxy that hides addresses cannot tell you the client"
	case 11:
		return fmt.Sprintf("the host %s is refused: %s", quoteCapped(t.refusedHost(r, w, in)), w.info.HostReason),
			"add it to Config.Hosts if it is yours; if a hop replaces Host, have it pass the client's, or declare the header that carries it"
	case 12:
		return fmt.Sprintf("the request came from a hop further out than the next, past hop %q", t.nextName(w)),
			"if that hop was removed, remove it from Hops; if the order is wrong, list the nearest first; if clients live in that range, narrow From"
	case 13:
		return fmt.Sprintf("the leg from hop %q is encrypted; its TLS says nothing about the client", hop),
			"nothing: the scheme is taken from the hop's header"
	case 14:
		return t.undeclaredSentences(w, "looks like a load balancer (X-Amzn-Trace-Id and https)")
	}
	return fixedSentences[code][0], fixedSentences[code][1]
}

// refusedHost is the text that HostReason speaks of: what the hop wrote, if
// that was refused, otherwise the request's own.
func (t *topology) refusedHost(r *http.Request, w *walk, in *reader) string {
	if w.info.Hops > 0 && w.info.HostReason != ReasonHostReplaced {
		if lines := in.lines(&t.nodes[w.info.Hops-1].read[kindHost]); len(lines) > 0 && w.read&(1<<kindHost) == 0 {
			return lines[len(lines)-1]
		}
	}
	return r.Host
}

func (t *topology) noForSentences(hop string, w *walk) (message, fix string) {
	switch {
	case w.info.Status == StatusLocal:
		return fmt.Sprintf("hop %q wrote no forwarding header: it speaks for itself, as a health check does", hop),
			"nothing, if these are health checks; otherwise let the proxy add the client's address"
	case w.info.Hops > 0 && t.nodes[0].proxy && w.info.Hops == 1:
		return fmt.Sprintf("hop %q sent no PROXY header", hop), "switch PROXY protocol on at the balancer, and read it with package proxyproto"
	case w.info.Hops == 0:
		return "a PROXY header came from a peer that no PROXY hop declares", "declare the balancer: NLBTLS or NLBTCP as the first hop"
	}
	return fmt.Sprintf("hop %q wrote no client address, as if it were not in append mode", hop),
		"set routing.http.xff_header_processing.mode to append (ALB), or make the proxy add the header that its For rule names"
}

func (t *topology) disagreeSentences(hop string, w *walk) (message, fix string) {
	culprit := hop
	if by := t.nodes[w.info.Hops-1].read[kindProto].lostBy; by > 0 {
		culprit = t.nodes[by-1].name
	} else if w.info.Hops > 1 { // one that is declared as passing it
		culprit = t.nodes[w.info.Hops-2].name
		return fmt.Sprintf("hop %q says the client used port %d, but the scheme in the header contradicts it: %q, or a hop nearer than it, overwrote it", hop, w.info.Port, culprit),
			fmt.Sprintf("let %q pass the scheme that came (nginx: proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto), as its Proto rule says", culprit)
	}
	return fmt.Sprintf("hop %q says the client used port %d, but the scheme in the header contradicts it: %q overwrote it", hop, w.info.Port, culprit),
		fmt.Sprintf("let %q pass the scheme that came (nginx: proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto) and set its Proto rule to Passes(), or set SchemeFromPort", culprit)
}

// undeclaredSentences names the subnet to add.
func (t *topology) undeclaredSentences(w *walk, what string) (message, fix string) {
	if w.info.Reason == ReasonBadSecret {
		next := t.nextName(w)
		return fmt.Sprintf("a request came from the addresses of hop %q without its secret", next),
			"if it is your proxy, make it send the secret header; if not, somebody else's proxy reaches you: close the way in"
	}
	who, where := "peer on the unix socket", "unix"
	if peer := w.info.Peer.Addr(); peer.IsValid() {
		who, where = "peer "+peer.String(), turns.Network(peer).String()
	}
	return fmt.Sprintf("the undeclared %s %s; nothing of that is believed", who, what),
		fmt.Sprintf("if it is your proxy, add it to From (%s, say); if not, it reached the service past the proxy: close the way in", where)
}

func (t *topology) nextName(w *walk) string {
	if w.info.Hops < len(t.nodes) {
		return t.nodes[w.info.Hops].name
	}
	return t.hopNamed(w)
}
