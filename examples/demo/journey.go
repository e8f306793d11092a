package main

import (
	"cmp"
	"crypto/tls"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

// A journey is all that is known about the way of one request.
type journey struct {
	Scene    *scene         // nil: somebody else sent it
	Answer   string         // as the client got it; "": nobody but the client knows
	Entry    *albtest.Entry // the balancer's record; nil: it did not come that way
	LogLine  string         // of the proxy, about a failure; "": there was none
	Stations []station
	Stages   []stage
	Rows     []row
	Ruling   *ruling       // about https; nil: nobody made one
	Believer string        // whose explanation it is
	Believed template.HTML // "": the request reached nobody who explains

	// LogOfAnother says that LogLine is about an equal failure a moment before:
	// the proxy writes one line a second for each reason.
	LogOfAnother bool
}

// travel plays a scene and collects what was seen of it.
func (d *demo) travel(s scene, r *http.Request) (journey, error) {
	o, err := s.play(r.Context(), &tls.Config{RootCAs: d.balancer.CertPool()})
	if err != nil {
		return journey{}, err
	}
	visit := d.visits.told(o.Answer.Header.Get(visitHeader))
	j := d.journey(d.entry(func(e albtest.Entry) bool { return e.Client.Port() == o.Port }), visit, d.ruled(o.Answer.Header))
	j.Scene, j.Answer = &s, o.Text()
	if j.Entry == nil && (visit == nil || visit.Handed != nil) {
		j.Stages = append([]stage{{"Sent by the client", o.Sent}}, j.Stages...)
		j.Rows = rows(j.Stages)
	}
	return j, nil
}

// complaint is the proxy's log line about a request, or the last one before.
func (d *demo) complaint(traceID string) (line string, ofAnother bool) {
	if lines := d.logs.with(`request_id="` + traceID + `"`); len(lines) > 0 {
		return lines[0], false
	}
	if lines := d.logs.with("request_id="); len(lines) > 0 {
		return lines[len(lines)-1], true
	}
	return "", false
}

// entry returns the latest record of the balancer that is meant, or nil.
func (d *demo) entry(meant func(albtest.Entry) bool) *albtest.Entry {
	for _, e := range slices.Backward(d.balancer.Log()) {
		if meant(e) {
			return &e
		}
	}
	return nil
}

// journey puts together what the balancer and an application saw, and what was
// decided about https. Each may be nil, but not all of them.
func (d *demo) journey(e *albtest.Entry, v, ruled *visit) journey {
	j := journey{Entry: e, Ruling: d.rulingOn(e, ruled)}
	if e != nil {
		j.Stations = d.stations(*e, v, ruled)
		j.Stages = append(j.Stages, stage{"Sent by the client", head(e.Sent)})
		if e.Got != "" {
			j.Stages = append(j.Stages, stage{"Written by the balancer", head(e.Got)})
		}
		if e.AnsweredBy == albtest.ByTarget && v == nil && !answersItself(ruled) {
			j.LogLine, j.LogOfAnother = d.complaint(e.TraceID)
		}
	}
	switch {
	case v != nil:
		j.arrive(d.arrival(e), "the application", v)
	case answersItself(ruled):
		j.arrive(d.arrivalAtGuard(e, ruled), ruled.Part, ruled)
	}
	j.Rows = rows(j.Stages)
	return j
}

// arrive ends the journey with what its last part saw of it.
func (j *journey) arrive(title, believer string, v *visit) {
	if title != "" {
		j.Stages = append(j.Stages, stage{title, v.Arrived})
	}
	if v.Handed != nil {
		j.Stages = append(j.Stages, stage{"Handed on to its handlers", v.Handed})
	}
	j.Believer, j.Believed = believer, mainOf(v.Believed.HTML())
}

// arrival is the title of what arrived at an application.
func (d *demo) arrival(e *albtest.Entry) string {
	if e == nil {
		return "Arrived at the application"
	}
	return "Written by " + d.front(e.Group)
}

// arrivalAtGuard is the title of what arrived where it ended. The proxy gets
// what the balancer has written, of which there is a stage already.
func (d *demo) arrivalAtGuard(e *albtest.Entry, ruled *visit) string {
	switch {
	case e == nil:
		return "Arrived at " + ruled.Part
	case ruled.Part == d.front(e.Group):
		return ""
	}
	return d.arrival(e)
}

// A station is a part of the chain, and what it did.
type station struct {
	Name, Address, Did string
	Tone               string // a class of the library's style
}

// stations are where a request was that came through the balancer.
func (d *demo) stations(e albtest.Entry, v, ruled *visit) []station {
	front := d.front(e.Group)
	list := []station{
		{"client", e.Client.Addr().String(), "sent " + firstLine(e.Sent), "plain"},
		{"balancer", e.Node.String(), "passed it on", "good"},
		{cmp.Or(front, "nobody listens"), e.Target, "passed it on", "good"},
		{"application", "", "answered " + e.TargetStatusCode.String(), "good"},
	}
	if v != nil {
		return list
	}
	if answersItself(ruled) && ruled.Part != front {
		list[3].Did, list[3].Tone = did(*ruled.Ruling), toneOf(*ruled.Ruling)
		return list
	}
	list[3].Did, list[3].Tone = "was not reached", "gone"
	if answersItself(ruled) {
		list[2].Did, list[2].Tone = did(*ruled.Ruling), toneOf(*ruled.Ruling)
		return list
	}
	if e.AnsweredBy == albtest.ByTarget {
		list[2].Did, list[2].Tone = "answered "+e.TargetStatusCode.String()+" itself", "bad"
		return list
	}
	list[1].Did, list[1].Tone = "answered "+e.ELBStatusCode.String()+" itself", "bad"
	list[2].Did, list[2].Tone = "was not reached", "gone"
	return list
}

func toneOf(r redirect.Decision) string {
	if r.Action == redirect.Refuse {
		return "bad"
	}
	return "good"
}

// front is what stands behind the balancer in a group.
func (d *demo) front(group string) string {
	for _, s := range d.sites {
		if s.Group == group {
			return s.Front
		}
	}
	return d.sites[0].Front
}

// A stage is a request's header at a point of its way.
type stage struct {
	Title  string
	header http.Header
}

// A row is one header at every stage. One that it did not reach is "".
type row struct {
	Name    string
	Cells   []string
	Changed bool // not the same at every stage
}

// rows compares the stages; what changed stands first.
func rows(stages []stage) (list []row) {
	for _, name := range namesOf(stages) {
		r := row{Name: name}
		for _, s := range stages {
			r.Cells = append(r.Cells, strings.Join(s.header[name], "\n"))
		}
		r.Changed = len(slices.Compact(slices.Clone(r.Cells))) > 1
		if name == "Cookie" || name == "Authorization" {
			hide(r.Cells)
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b row) int { return cmp.Compare(a.rank(), b.rank()) })
	return list
}

func (r row) rank() int {
	if r.Changed {
		return 0
	}
	return 1
}

// hide keeps credentials of whatever else runs on this machine off the page.
func hide(cells []string) {
	for i, c := range cells {
		if c != "" {
			cells[i] = "(not shown)"
		}
	}
}

func namesOf(stages []stage) []string {
	var names []string
	for _, s := range stages {
		for name := range s.header {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// head reads the lines of a request's head as the balancer's log has it.
func head(text string) http.Header {
	h := make(http.Header)
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(line, ":")
		if ok && !strings.Contains(name, " ") { // a request line has one
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h
}

// firstLine is a request line without its version.
func firstLine(head string) string {
	line, _, _ := strings.Cut(head, "\n")
	line, _, _ = strings.Cut(line, " HTTP/")
	return strings.TrimSpace(line)
}
