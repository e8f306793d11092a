package forwarded

import (
	"fmt"
	"html"
	"strings"
)

// HTML is the explanation as a page that needs nothing from anywhere. Every
// value is escaped.
func (e Explanation) HTML() []byte {
	var p page
	p.raw(pageHead)
	p.chain(e)
	p.answers(e.Info)
	p.warnings(e.Warnings)
	p.steps("How it was decided", e.Steps, func(s Step) bool { return s.Subject != "header" })
	p.steps("What came, and what became of it", e.Steps, func(s Step) bool { return s.Subject == "header" })
	p.raw("</main></body></html>\n")
	return []byte(p.String())
}

// page writes HTML; only raw takes markup.
type page struct{ strings.Builder }

func (p *page) raw(markup string) { p.WriteString(markup) }

func (p *page) text(s string) { p.WriteString(html.EscapeString(s)) }

// element writes <tag class="class">text</tag>.
func (p *page) element(tag, class, text string) {
	fmt.Fprintf(p, `<%s class="%s">`, tag, html.EscapeString(class))
	p.text(text)
	fmt.Fprintf(p, "</%s>", tag)
}

// chain draws the way from the client to the application.
func (p *page) chain(e Explanation) {
	client := "unknown"
	if e.Info.Client.IsValid() {
		client = e.Info.Client.String()
	}
	p.raw(`<ol class="chain" aria-label="The request's way">`)
	p.station("client", client, e.Info.Status.String())
	for i := len(e.Steps) - 1; i >= 0; i-- {
		if s := e.Steps[i]; s.Subject == "hop" {
			p.station(s.Name, s.Value, s.Verdict)
		}
	}
	p.station("application", "this process", "known")
	p.raw("</ol>")
}

func (p *page) station(name, value, verdict string) {
	fmt.Fprintf(p, `<li class="v-%s">`, html.EscapeString(verdict))
	p.element("b", "name", name)
	p.element("span", "value", value)
	p.element("span", "verdict", verdict)
	p.raw("</li>")
}

func (p *page) answers(i Info) {
	p.raw("<h2>What is known</h2><dl>")
	row := func(name, value string, why Reason) {
		p.element("dt", "", name)
		if value == "" {
			value = "unknown"
		}
		if why != 0 {
			value += " (" + why.String() + ")"
		}
		p.element("dd", "", value)
	}
	client := i.ClientID
	if i.Client.IsValid() {
		client = i.Client.String()
	}
	row("Client", client, i.Reason)
	row("Scheme", i.Scheme.String(), i.SchemeReason)
	row("Host", i.Host, i.HostReason)
	if i.Port != 0 {
		row("Port", fmt.Sprint(i.Port), 0)
	}
	if i.Prefix != "" {
		row("Prefix", i.Prefix, 0)
	}
	row("Hops consumed", fmt.Sprint(i.Hops), 0)
	p.raw("</dl>")
}

func (p *page) warnings(list []Warning) {
	for _, w := range list {
		p.raw(`<p class="warning" role="note">`)
		p.element("b", "", w.Code+": "+w.Message)
		p.raw("<br>")
		p.text("Fix: " + w.Fix + ".")
		p.raw("</p>")
	}
}

func (p *page) steps(title string, steps []Step, want func(Step) bool) {
	p.element("h2", "", title)
	p.raw(`<div class="scroll"><table><thead><tr><th scope="col">What<th scope="col">Where<th scope="col">Value<th scope="col">Verdict<th scope="col">Why</tr></thead><tbody>`)
	for _, s := range steps {
		if !want(s) {
			continue
		}
		fmt.Fprintf(p, `<tr class="v-%s">`, html.EscapeString(s.Verdict))
		for _, cell := range []string{s.Subject, s.what(), s.Value, s.Verdict, s.Rule} {
			p.element("td", "", cell)
		}
		p.raw("</tr>")
	}
	p.raw("</tbody></table></div>")
}

const pageHead = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>How this request arrived</title>
<style>
:root { color-scheme: light dark; --ok: #1a7f4b; --bad: #b3261e; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --ok: #5fd39a; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.chain { display: flex; flex-wrap: wrap; gap: .5rem 2rem; list-style: none; padding: 0; margin: 0; }
.chain li { position: relative; border: 2px solid var(--line); border-radius: .5rem; padding: .5rem .75rem; min-width: 8rem; }
.chain li + li::before { content: "→"; position: absolute; left: -1.65rem; top: 1.1rem; font-size: 1.25rem; }
.chain span { display: block; font-size: .85rem; overflow-wrap: anywhere; }
.v-matched, .v-forwarded, .v-direct, .v-known { border-color: var(--ok) !important; }
.v-unknown, .v-bad_secret, .v-skipped_hop, .v-mismatch { border-color: var(--bad) !important; }
tr.v-removed td:nth-child(4), .v-unknown .verdict { color: var(--bad); } tr.v-kept td:nth-child(4), tr.v-believed td:nth-child(4) { color: var(--ok); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; margin: 0; } dt { opacity: .75; } dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.warning { border-left: 4px solid var(--bad); padding: .5rem .75rem; margin: 1rem 0 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; } td:nth-child(2), td:nth-child(3) { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
</style></head><body><main><h1>How this request arrived</h1>
`
