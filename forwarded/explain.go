package forwarded

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
)

// An Explanation shows how an Info came about: every hop, every forwarding
// header, the verdict and the rule. Values of secrets, and of headers whose
// names say that they carry credentials, are left out; internal addresses are
// not: do not show it to strangers.
type Explanation struct {
	Info     Info      `json:"-"`        // the answer; JSON puts it under "info"
	Steps    []Step    `json:"steps"`    // in the order in which they were taken
	Warnings []Warning `json:"warnings"` // what an operator should change; never nil
}

// Explain runs the same algorithm as Resolve and notes each step. On a request
// that Wrap has handed on, it looks at the one that came.
func (p *Policy) Explain(r *http.Request) Explanation {
	t := p.load()
	if c := carried(r); c != nil {
		r, t = c.orig, c.topo
	}
	var w walk
	tr := &trace{}
	tr.steps = append(tr.steps, peerStep(r))
	in := reader{header: r.Header}
	t.resolve(r, &w, &in, tr)
	t.explainResult(r, &w, tr)
	t.explainHeaders(r, &w, tr)
	e := Explanation{Info: w.info, Steps: tr.steps, Warnings: []Warning{}}
	seen := t.scan(r, &w)
	set := t.warnings(r, &w, &in, &seen)
	for code := 1; code <= lastWarning; code++ {
		if set&(1<<code) != 0 {
			e.Warnings = append(e.Warnings, t.warning(code, r, &w, &in))
		}
	}
	return e
}

func peerStep(r *http.Request) Step {
	p := peerOf(r)
	s := Step{Subject: "peer", Text: quoteCapped(r.RemoteAddr), Value: p.addrPort().String(), Verdict: "known", Rule: "the other end of the socket"}
	switch {
	case p.bad:
		s.Value, s.Verdict = "", "bad_peer"
	case p.unix:
		s.Value = "unix"
	case p.proxied:
		s.Rule = "what the PROXY header's listener saw"
	}
	return s
}

// String is the explanation as a table.
func (e Explanation) String() string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range e.Steps {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", s.Subject, s.what(), s.Value, s.Verdict, s.Rule)
	}
	tw.Flush()
	for _, w := range e.Warnings {
		fmt.Fprintf(&b, "%s: %s. Fix: %s.\n", w.Code, w.Message, w.Fix)
	}
	return b.String()
}

// what names the place and shows what stood there.
func (s Step) what() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{s.Name, s.where(), s.Text} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

func (s Step) where() string {
	if s.Header == "" || s.Index == 0 {
		return s.Header
	}
	return fmt.Sprintf("%s[-%d]", s.Header, s.Index)
}

// infoJSON is an Info with known fields only, in words.
type infoJSON struct {
	Status       Status `json:"status"`
	Reason       Reason `json:"reason"`
	Client       string `json:"client,omitempty"`
	ClientPort   uint16 `json:"client_port,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	Scheme       Scheme `json:"scheme"`
	SchemeReason Reason `json:"scheme_reason,omitzero"`
	Host         string `json:"host,omitempty"`
	HostReason   Reason `json:"host_reason,omitzero"`
	Port         uint16 `json:"port,omitempty"`
	Prefix       string `json:"prefix,omitempty"`
	Peer         string `json:"peer,omitempty"`
	Hops         int    `json:"hops"`
	Complete     bool   `json:"complete"`
}

// MarshalJSON writes what is known, in the words of the logs.
func (i Info) MarshalJSON() ([]byte, error) {
	out := infoJSON{
		Status: i.Status, Reason: i.Reason, ClientPort: i.ClientPort, ClientID: i.ClientID, Scheme: i.Scheme,
		SchemeReason: i.SchemeReason, Host: i.Host, HostReason: i.HostReason, Port: i.Port, Prefix: i.Prefix,
		Hops: i.Hops, Complete: i.Complete,
	}
	if i.Client.IsValid() {
		out.Client = i.Client.String()
	}
	if i.Peer.IsValid() {
		out.Peer = i.Peer.String()
	}
	return json.Marshal(out)
}

// JSON is the explanation as an indented object: info, steps, warnings.
func (e Explanation) JSON() []byte {
	type steps Explanation
	b, err := json.MarshalIndent(struct {
		Info Info `json:"info"`
		steps
	}{e.Info, steps(e)}, "", "  ")
	if err != nil {
		return []byte("{}") // cannot happen: strings and numbers only
	}
	return append(b, '\n')
}

// ExplainHandler shows each caller its own request's explanation: a page, JSON
// or text, as Accept asks. Callers that allow does not admit get 404; a nil
// allow admits nobody. It works inside Wrap, where it explains the request that
// came, and outside.
func (p *Policy) ExplainHandler(allow func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allow == nil || !allow(r) {
			w.Header().Set("Cache-Control", "private, no-store")
			http.NotFound(w, r)
			return
		}
		e := p.Explain(r)
		h := w.Header()
		h.Set("Cache-Control", "private, no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Accept")
		switch accept := strings.Join(r.Header["Accept"], ","); {
		case strings.Contains(accept, "text/html"):
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
			w.Write(e.HTML())
		case strings.Contains(accept, "application/json"):
			h.Set("Content-Type", "application/json")
			w.Write(e.JSON())
		default:
			h.Set("Content-Type", "text/plain; charset=utf-8")
			w.Write([]byte(e.String()))
		}
	})
}

func sortedNames(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }

const maxNameShown = 64

// quoteName shows a header name as it is if it is one.
func quoteName(name string) string {
	if len(name) <= maxNameShown && isToken(name) {
		return name
	}
	return quoteCapped(name)
}
