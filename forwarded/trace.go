package forwarded

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/internal/family"
)

// A Step is one line of an explanation: what was looked at, what stood there,
// and what became of it.
type Step struct {
	Subject string `json:"subject"`          // "peer", "hop", "entry", "client", "scheme", "port", "prefix", "host" or "header"
	Name    string `json:"name,omitempty"`   // the hop's name, or the header's
	Header  string `json:"header,omitempty"` // the header that was read
	Index   int    `json:"index,omitempty"`  // the entry in it, 1 at the right end
	Text    string `json:"text,omitempty"`   // what stood there: quoted, capped
	Value   string `json:"value,omitempty"`  // what was made of it
	Verdict string `json:"verdict"`          // one word
	Rule    string `json:"rule,omitempty"`   // why, in a sentence
}

// A trace collects steps. A nil trace collects nothing and costs nothing.
type trace struct{ steps []Step }

func (tr *trace) hop(n *node, cur netip.Addr, unix bool) {
	if tr == nil {
		return
	}
	where := "a unix socket"
	if !unix {
		where = cur.String() + " in " + n.from.Which(cur)
	}
	tr.steps = append(tr.steps, Step{Subject: "hop", Name: n.name, Value: where, Verdict: "matched", Rule: "the address is one that this hop connects from"})
}

func (tr *trace) badSecret(n *node, cur netip.Addr) {
	if tr != nil {
		tr.steps = append(tr.steps, Step{
			Subject: "hop", Name: n.name, Header: n.proof.header, Value: cur.String(), Verdict: "bad_secret",
			Rule: "the address is right, the secret is wrong, missing or sent twice",
		})
	}
}

func (tr *trace) skipped(n *node, cur netip.Addr) {
	if tr != nil {
		tr.steps = append(tr.steps, Step{
			Subject: "hop", Name: n.name, Value: cur.String() + " in " + n.from.Which(cur), Verdict: "skipped_hop",
			Rule: "the address belongs to a hop further out than the next; nothing can be believed",
		})
	}
}

func (tr *trace) undeclaredPROXY(w *walk) {
	if tr != nil {
		tr.steps = append(tr.steps, Step{
			Subject: "peer", Value: w.info.Peer.String(), Verdict: "mismatch",
			Rule: "a PROXY header from a peer that no PROXY hop declares",
		})
	}
}

// entry notes what a hop wrote about who connected to it.
func (tr *trace) entry(n *node, e entry) {
	if tr == nil {
		return
	}
	rd := &n.read[kindFor]
	s := Step{Subject: "entry", Name: n.name, Header: rd.header, Verdict: "believed", Rule: entryRules[e.reason]}
	if rd.header != "" {
		s.Index = rd.pos + 1
	}
	switch {
	case e.reason != 0:
		s.Verdict, s.Value = e.reason.String(), e.id
	case e.port != 0:
		s.Value = netip.AddrPortFrom(e.addr, e.port).String()
	default:
		s.Value = e.addr.String()
	}
	tr.steps = append(tr.steps, s)
}

var entryRules = map[Reason]string{
	0:                "the hop wrote it; its place is fixed by the hops further in",
	ReasonLocal:      "nothing that this hop writes is there: it speaks for itself",
	ReasonMismatch:   "the header has not the entries that the declared hops write",
	ReasonMalformed:  "the entry is not an address",
	ReasonObfuscated: "the hop hides the address",
	ReasonNotVisible: "the hop does not write it, or a hop further in destroys it",
	ReasonTooLong:    "more bytes or empty entries than the budget allows",
}

// explainResult notes what became of each question.
func (t *topology) explainResult(r *http.Request, w *walk, tr *trace) {
	i := &w.info
	client := Step{Subject: "client", Verdict: i.Status.String(), Rule: clientRules[i.Reason]}
	if i.Client.IsValid() {
		client.Value = i.Client.String()
	}
	tr.steps = append(tr.steps, client, t.schemeStep(r, w))
	if i.Port != 0 {
		tr.steps = append(tr.steps, Step{Subject: "port", Value: fmt.Sprint(i.Port), Verdict: "known"})
	}
	if i.Prefix != "" {
		tr.steps = append(tr.steps, Step{Subject: "prefix", Value: i.Prefix, Verdict: "known"})
	}
	host := Step{Subject: "host", Text: quoteCapped(r.Host), Value: i.Host, Verdict: "known"}
	if i.HostReason != 0 {
		host.Verdict = i.HostReason.String()
	}
	tr.steps = append(tr.steps, host)
}

var clientRules = map[Reason]string{
	ReasonDirect:     "the peer is no declared hop, so it is the client",
	ReasonLocal:      "the nearest hop spoke for itself",
	ReasonForwarded:  "the address that the outermost consumed hop wrote; nothing further left is looked at",
	ReasonMismatch:   "what came is not what the declared hops write",
	ReasonMalformed:  "the entry that decides is not an address",
	ReasonObfuscated: "the hop did not say who it was",
	ReasonNotVisible: "no hop's word about the client survives",
	ReasonTooLong:    "the header exceeds the budget",
	ReasonSkippedHop: "the address belongs to another hop than the next",
	ReasonBadSecret:  "the hop did not prove itself",
	ReasonBadPeer:    "RemoteAddr is no address with a port",
}

func (t *topology) schemeStep(r *http.Request, w *walk) Step {
	s := Step{Subject: "scheme", Value: w.info.Scheme.String(), Verdict: "known", Rule: "the socket itself"}
	if w.info.SchemeReason != 0 {
		s.Verdict, s.Rule = w.info.SchemeReason.String(), "unknown is not http: nothing may redirect on it"
	}
	if w.info.Hops == 0 {
		return s
	}
	if t.nodes[w.info.Hops-1].proxyScheme && w.info.SchemeReason == 0 {
		s.Rule = "the port in the PROXY header's destination"
	}
	rd := &t.nodes[w.info.Hops-1].read[kindProto]
	if s.Header = rd.header; rd.header == "" {
		return s
	}
	s.Index = rd.pos + 1
	if w.read&(1<<kindProto) != 0 {
		s.Rule = "the outermost consumed hop wrote it"
	}
	if rd.lostBy > 0 {
		s.Rule = fmt.Sprintf("%q, further in, overwrites or drops it", t.nodes[rd.lostBy-1].name)
	}
	return s
}

// explainHeaders notes the fate of every forwarding header, line by line.
func (t *topology) explainHeaders(r *http.Request, w *walk, tr *trace) {
	keeps := t.keeps(w)
	for _, name := range sortedNames(r.Header) {
		if !t.forwards(name) && name != "Connection" && name != "Host" {
			continue
		}
		for i, line := range r.Header[name] {
			if len(tr.steps) >= maxSteps {
				tr.steps = append(tr.steps, Step{Subject: "header", Verdict: "more", Rule: "the rest is not shown"})
				return
			}
			if i == maxLines {
				more := fmt.Sprintf("%d more lines", len(r.Header[name])-i)
				tr.steps = append(tr.steps, Step{Subject: "header", Name: quoteName(name), Verdict: "more", Text: more})
				break
			}
			tr.steps = append(tr.steps, t.headerStep(name, line, keeps, w))
		}
	}
}

// maxLines and maxSteps bound what is shown of one header and in all.
const (
	maxLines = 20
	maxSteps = 300
)

func (t *topology) headerStep(name, line string, keeps []keep, w *walk) Step {
	s := Step{Subject: "header", Name: quoteName(name), Text: quoteCapped(line), Verdict: "kept"}
	switch {
	case name == "Connection":
		s.Rule = "reading ignores it; a nomination of forwarding headers is warned about"
	case t.hides(name):
		s.Text, s.Verdict, s.Rule = redacted, "removed", "a secret or a credential; not shown"
		if !t.drops(name, keeps, w) {
			s.Verdict = "kept"
		}
	case t.drops(name, keeps, w):
		s.Verdict, s.Rule = "removed", "no answer was read from it"
	case w.keeps(keeps, name):
		s.Rule = "read or vouched for; lists are cut to the entries that were used"
	}
	return s
}

// hides reports whether the header's value must not be shown: a secret of a
// hop, or by its name a credential, however it is spelled.
func (t *topology) hides(name string) bool {
	plain := family.Folded(name)
	for _, word := range credentials {
		if strings.Contains(plain, word) {
			return true
		}
	}
	return slices.ContainsFunc(t.secrets, func(secret string) bool { return family.Folded(secret) == plain })
}

var credentials = []string{"token", "authorization", "secret", "cookie", "assertion", "fdid", "client-principal", "password"}
