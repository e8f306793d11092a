package healthcheck

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Details shows everything: each check with the text of its error, who probes
// and how often, how long a drain takes, and probes that miss their aim. It is
// application/health+json (draft-inadarei-api-health-check-06) with the status
// that readiness has, or, for an Accept with text/html, a page.
//
// allow says who may see it; anybody else gets a 404. A nil allow refuses
// everybody. [Loopback] is one that suits a service which no proxy on the same
// host stands before. The zero value of everything is safe: nothing is cached,
// everything is escaped, long texts are cut.
func (h *Health) Details(allow func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "private, no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if allow == nil || !allow(r) {
			http.NotFound(w, r)
			return
		}
		if !reads(w, r) {
			return
		}
		header.Add("Vary", "Accept")
		s, f := h.Snapshot(), h.foresee()
		if strings.Contains(strings.Join(r.Header["Accept"], ","), "text/html") {
			header.Set("Content-Type", "text/html; charset=utf-8")
			header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
			_, _ = w.Write(s.page(f, h.paths.filled()))
			return
		}
		header.Set("Content-Type", "application/health+json")
		if s.Status == Fail {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(s.draft(f))
	})
}

func (h *Health) foresee() forecast {
	var p Profile
	if known := h.profile.Load(); known != nil {
		p = *known
	}
	f := foresee(h.probers.list(time.Now()), p)
	f.hide(h.probers.hides(time.Now()), p)
	return f
}

// document is a response of draft-inadarei-api-health-check-06, section 3,
// with two members of our own.
type document struct {
	Status      Status                 `json:"status"`
	Description string                 `json:"description"`
	Notes       []string               `json:"notes,omitempty"`
	Checks      map[string][]component `json:"checks,omitempty"`
	Probers     []proberView           `json:"probers"`
	Drain       drainView              `json:"drain"`
}

// component is a "checks" object, section 4 of the draft.
type component struct {
	ComponentType string  `json:"componentType"`
	Status        Status  `json:"status"`
	Time          string  `json:"time,omitempty"`
	Output        string  `json:"output,omitempty"`
	ObservedValue float64 `json:"observedValue"`
	ObservedUnit  string  `json:"observedUnit"`
	Kind          Kind    `json:"kind"`
	Level         string  `json:"level"`
}

type proberView struct {
	Address      string  `json:"address"`
	Agent        string  `json:"agent,omitempty"`
	EverySeconds float64 `json:"everySeconds,omitempty"`
	Last         string  `json:"last"`
	Answers      uint64  `json:"answers"`
	Code         int     `json:"code"`
	Failures     int     `json:"failures"`
	Active       bool    `json:"active"`
}

type drainView struct {
	NeedsSeconds float64  `json:"needsSeconds"` // for the slowest prober
	TotalSeconds float64  `json:"totalSeconds"`
	Advice       []string `json:"advice,omitempty"`
}

// draft is the snapshot as application/health+json.
func (s Snapshot) draft(f forecast) []byte {
	d := document{Status: s.Status, Description: s.verdict(), Probers: []proberView{}, Drain: drainView{f.needs.Seconds(), f.total.Seconds(), f.advice}}
	for _, hint := range s.Hints {
		d.Notes = append(d.Notes, hint.String())
	}
	if len(s.Checks) > 0 {
		d.Checks = make(map[string][]component)
	}
	for _, c := range s.Checks {
		d.Checks[c.Name] = []component{c.component()}
	}
	for _, p := range s.Probers {
		d.Probers = append(d.Probers, proberView{p.name(), p.Agent, p.Every.Seconds(), stamp(p.Last), p.Answers, p.Code, p.Failures, p.Active})
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return []byte(`{"status":"fail"}`) // no value of a document fails
	}
	return append(text, '\n')
}

func (c CheckState) component() component {
	kind := "system"
	if c.Kind == Dependency {
		kind = "component"
	}
	return component{
		ComponentType: kind, Status: c.Status, Time: stamp(c.Last), Output: c.output(),
		ObservedValue: c.Took.Seconds(), ObservedUnit: "s", Kind: c.Kind, Level: c.Level,
	}
}

// output is the text of the error, cut to a readable length.
func (c CheckState) output() string {
	if c.Err == nil {
		return ""
	}
	return strings.ToValidUTF8(clip(errorText(c.Err), maxText), "\uFFFD")
}

func (p Prober) name() string {
	if !p.Addr.IsValid() {
		return "unix"
	}
	return p.Addr.String()
}

// stamp is a time as the draft wants it, RFC 3339; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// verdict says in a sentence why readiness answers what it does.
func (s Snapshot) verdict() string {
	if s.Draining {
		return "Not ready: the service is leaving."
	}
	fails, warns := s.named(Fail), s.named(Warn)
	switch {
	case len(fails) > 0 && !s.Live:
		return "Not live and not ready: " + strings.Join(fails, ", ") + "."
	case len(fails) > 0:
		return "Not ready: " + strings.Join(fails, ", ") + "."
	case len(warns) > 0:
		return "Ready, with a warning: " + strings.Join(warns, ", ") + "."
	}
	return "Ready."
}

// named lists the checks of a status, each with its kind and level.
func (s Snapshot) named(status Status) []string {
	var list []string
	for _, c := range s.Checks {
		if c.Status == status {
			list = append(list, c.Name+" ("+c.Kind.String()+") is "+c.Level)
		}
	}
	return list
}
