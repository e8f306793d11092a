package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/knownhops/knownhops/forwarded"
)

// A journey is every header line of a request at each stage of its way.
type journey struct {
	Sent bool // what the visitor sent to the balancer is known
	Rows []row
}

// A row is one header. A stage that it did not reach is "".
type row struct {
	Name                  string
	Sent, Arrived, Handed string
	Changed               bool // not the same at every stage
}

// journey compares what the visitor sent with what arrived at the application
// and what its handlers get. Without the balancer, the first two are one.
func (a *application) journey(r *http.Request) journey {
	arrived, handed := arrival(r), allLines(r)
	var sent http.Header
	if forwarded.From(r).Hops > 0 {
		sent = a.journal.lookUp(arrived.Get(traceHeader))
	}
	j := journey{Sent: sent != nil}
	for _, name := range namesOf(sent, arrived, handed) {
		j.Rows = append(j.Rows, newRow(name, sent, arrived, handed))
	}
	slices.SortStableFunc(j.Rows, func(a, b row) int { return cmp.Compare(a.rank(), b.rank()) })
	return j
}

// rank puts what changed first.
func (r row) rank() int {
	if r.Changed {
		return 0
	}
	return 1
}

func newRow(name string, sent, arrived, handed http.Header) row {
	lines := func(h http.Header) string { return strings.Join(h[name], "\n") }
	r := row{Name: name, Sent: lines(sent), Arrived: lines(arrived), Handed: lines(handed)}
	r.Changed = r.Arrived != r.Handed || sent != nil && r.Sent != r.Arrived
	if name == "Cookie" || name == "Authorization" {
		r.Sent, r.Arrived, r.Handed = hidden(r.Sent), hidden(r.Arrived), hidden(r.Handed)
	}
	return r
}

// hidden keeps credentials of whatever else runs on localhost off the page.
func hidden(s string) string {
	if s == "" {
		return ""
	}
	return "(not shown)"
}

func namesOf(headers ...http.Header) []string {
	var names []string
	for _, h := range headers {
		for name := range h {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// text is the journey as a table, or nothing.
func (j journey) text() string {
	if len(j.Rows) == 0 {
		return ""
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	line := func(name, sent, arrived, handed string) {
		if j.Sent {
			name += "\t| " + sent
		}
		fmt.Fprintf(tw, "%s\t| %s\t| %s\n", name, arrived, handed)
	}
	line("header", "sent", "arrived", "handed on")
	for _, r := range j.Rows {
		line(short(r.Name), short(r.Sent), short(r.Arrived), short(r.Handed))
	}
	tw.Flush()
	return "\n" + b.String()
}

// short fits a table of text. Nothing is a dash.
func short(s string) string {
	const most = 44
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	switch runes := []rune(s); {
	case s == "":
		return "-"
	case len(runes) > most:
		return string(runes[:most-1]) + "…"
	}
	return s
}
