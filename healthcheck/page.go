package healthcheck

import (
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"
)

// page writes HTML; only raw takes markup.
type page struct{ strings.Builder }

func (p *page) raw(markup string) { p.WriteString(markup) }

func (p *page) text(s string) { p.WriteString(html.EscapeString(s)) }

// element writes <tag class="class">text</tag>. Tag and class are markup.
func (p *page) element(tag, class, text string) {
	p.raw("<" + tag)
	if class != "" {
		p.raw(` class="` + class + `"`)
	}
	p.raw(">")
	p.text(text)
	p.raw("</" + tag + ">")
}

// row writes one line of a table. The first cell is its heading.
func (p *page) row(class string, cells ...string) {
	p.raw(`<tr class="` + class + `">`)
	for i, cell := range cells {
		if i == 0 {
			p.raw(`<th scope="row">`)
			p.text(cell)
			p.raw("</th>")
		} else {
			p.element("td", "", cell)
		}
	}
	p.raw("</tr>\n")
}

func (p *page) table(heads ...string) {
	p.raw(`<div class="wide"><table><thead><tr>`)
	for _, head := range heads {
		p.raw(`<th scope="col">`)
		p.text(head)
		p.raw("</th>")
	}
	p.raw("</tr></thead><tbody>\n")
}

func (p *page) end() { p.raw("</tbody></table></div>\n") }

// page is the snapshot for people. It needs nothing from anywhere: no script,
// no font, no image.
func (s Snapshot) page(f forecast, paths Paths) []byte {
	var p page
	p.raw(pageHead + pageStyle + "</head>\n<body><main>\n<h1>How this service is</h1>\n")
	p.element("p", "verdict "+s.Status.String(), s.verdict())
	p.checks(s)
	p.probers(s, paths)
	p.drain(s, f)
	p.hints(s.Hints, paths)
	p.raw("</main></body></html>\n")
	return []byte(p.String())
}

func (p *page) checks(s Snapshot) {
	p.raw("<h2>Checks</h2>\n")
	if len(s.Checks) == 0 {
		p.element("p", "", "There are none: the service is ready as soon as it serves.")
		return
	}
	if !s.Running && !s.Draining {
		p.element("p", "advice", "Nobody runs the checks: call Run, or serve with Serve.")
	}
	p.table("Check", "Status", "Kind", "Results", "Last", "Took", "What it said")
	for _, c := range s.Checks {
		p.row(c.Status.String(), c.Name, c.Status.String(), c.Kind.String(), fmt.Sprintf("%s for %v, %d in all", c.Level, rounded(s.Time.Sub(c.Since)), c.Runs),
			ago(s.Time, c.Last), rounded(c.Took).String(), c.output())
	}
	p.end()
}

func (p *page) probers(s Snapshot, paths Paths) {
	p.raw("<h2>Who probes</h2>\n")
	if len(s.Probers) == 0 {
		p.element("p", "", "Nobody has asked for readiness yet. The paths for it are "+paths.Health+" and "+paths.Ready+"; a balancer that calls this target unhealthy probes another path or another port.")
		return
	}
	p.table("Address", "Every", "Last", "Answers", "Last answer", "Failing in a row", "Calls itself", "Note")
	for _, one := range s.Probers {
		p.row(tone(one), one.name(), every(one), ago(s.Time, one.Last), fmt.Sprint(one.Answers), fmt.Sprint(one.Code), fmt.Sprint(one.Failures), one.Agent, note(one))
	}
	p.end()
}

func tone(one Prober) string {
	switch {
	case !one.Active:
		return "gone"
	case one.Code >= 400:
		return Fail.String()
	}
	return Pass.String()
}

func every(one Prober) string {
	if one.Every == 0 {
		return "not known yet"
	}
	return rounded(one.Every).String()
}

func note(one Prober) string {
	var notes []string
	if !one.Active {
		notes = append(notes, "asks no more")
	}
	if one.Mixed {
		notes = append(notes, "clients come from here as well")
	}
	return strings.Join(notes, "; ")
}

func (p *page) drain(s Snapshot, f forecast) {
	p.raw("<h2>What a drain takes</h2>\n")
	if f.needs == 0 {
		p.element("p", "", "Nobody probes at the moment, so a drain waits for nobody.")
	} else {
		p.element("p", "", fmt.Sprintf("Up to %v until %s has taken this target out (%s), and up to %v in all.", rounded(f.needs), f.who(), f.because, rounded(f.total)))
	}
	for _, line := range f.advice {
		p.element("p", "advice", line)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Tracked)) {
		p.element("p", "", fmt.Sprintf("Tracked: %s, %d.", name, s.Tracked[name]))
	}
}

func (p *page) hints(hints []Hint, paths Paths) {
	if len(hints) == 0 {
		return
	}
	p.raw("<h2>Probes that miss their aim</h2>\n")
	for _, hint := range hints {
		p.element("p", "advice", fmt.Sprintf("%s (%d times). Set its path to %s.", hint.String(), hint.Count, paths.Health))
	}
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return rounded(now.Sub(t)).String() + " ago"
}
