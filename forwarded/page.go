package forwarded

import (
	"fmt"
	"html"
	"strings"
)

// HTML is the explanation as a page that needs nothing from anywhere: no
// script, no font, no image. Every value is escaped, so that "<main>" and
// "</main>" stand in it once each.
func (e Explanation) HTML() []byte {
	var p page
	p.raw(pageHead + pageStyle + "</head>\n<body><main>\n<h1>How this request arrived</h1>\n")
	p.chain(e)
	p.answers(e.Info)
	p.warnings(e.Warnings)
	p.steps("How it was decided", e.Steps, func(s Step) bool { return s.Subject != "header" })
	p.steps("Forwarding headers, and what became of them", e.Steps, func(s Step) bool { return s.Subject == "header" })
	p.raw("</main></body></html>\n")
	return []byte(p.String())
}

// page writes HTML; only raw takes markup.
type page struct{ strings.Builder }

func (p *page) raw(markup string) { p.WriteString(markup) }

func (p *page) text(s string) { p.WriteString(html.EscapeString(s)) }

// element writes <tag class="class">text</tag>, or nothing without a text. The
// tag is markup.
func (p *page) element(tag, class, text string) {
	if text == "" {
		return
	}
	p.raw("<" + tag)
	if class != "" {
		p.raw(` class="` + html.EscapeString(class) + `"`)
	}
	p.raw(">")
	p.text(text)
	p.raw("</" + tag + ">")
}

// tone is how a verdict looks. The word itself always stands beside it.
func tone(verdict string) string {
	switch verdict {
	case "matched", "believed", "kept", "known", "forwarded", "direct":
		return "good"
	case "removed":
		return "gone"
	case "local", "more", "none":
		return "plain"
	}
	return "bad"
}

func (p *page) verdict(word string) { p.element("span", "verdict "+tone(word), word) }

// chain draws the way from the client to the application. Steps begin at the
// application, and what a hop wrote stands behind the hop.
func (p *page) chain(e Explanation) {
	p.raw(`<ol class="chain" aria-label="The request's way">`)
	p.station("client", addrOrUnknown(e.Info), e.Info.Status.String(), "")
	wrote := ""
	for i := len(e.Steps) - 1; i >= 0; i-- {
		switch s := e.Steps[i]; s.Subject {
		case "entry":
			wrote = s.says()
		case "hop":
			addr, _, _ := strings.Cut(s.Value, " in ") // the range stands in the table
			p.station(s.Name, addr, s.Verdict, wrote)
			wrote = ""
		}
	}
	p.station("application", "this process", "known", "")
	p.raw("</ol>\n")
}

func addrOrUnknown(i Info) string {
	switch {
	case i.Client.IsValid():
		return i.Client.String()
	case i.ClientID != "":
		return i.ClientID
	}
	return "unknown"
}

// says is a hop's word about who connected to it, in short.
func (s Step) says() string {
	value := s.Value
	if value == "" {
		value = s.Verdict
	}
	return strings.TrimSpace(s.where() + " says " + value)
}

func (p *page) station(name, value, verdict, wrote string) {
	fmt.Fprintf(p, `<li class="%s">`, tone(verdict))
	p.element("b", "name", name)
	p.element("span", "value", value)
	p.element("span", "wrote", wrote)
	p.verdict(verdict)
	p.raw("</li>")
}

func (p *page) answers(i Info) {
	p.raw("<h2>What is known</h2>\n<dl class=\"answers\">")
	p.answer("Client", addrOrUnknown(i), i.Reason, i.Client.IsValid())
	p.answer("Scheme", i.Scheme.String(), i.SchemeReason, i.Scheme != SchemeUnknown)
	p.answer("Host", orWord(i.Host, "unknown"), i.HostReason, i.HostReason == 0)
	if i.Port != 0 {
		p.answer("Port", fmt.Sprint(i.Port), 0, true)
	}
	p.answer("Prefix", i.Prefix, 0, true)
	hops := fmt.Sprint(i.Hops)
	if i.Complete {
		hops += " (all)"
	}
	p.answer("Trusted hops", hops, 0, true)
	p.raw("</dl>\n")
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// answer is one tile; without a value there is none.
func (p *page) answer(name, value string, why Reason, known bool) {
	if value == "" {
		return
	}
	class := "good"
	if !known {
		class = "bad"
	}
	fmt.Fprintf(p, `<div class="%s">`, class)
	p.element("dt", "", name)
	p.element("dd", "", value)
	p.element("dd", "why", why.String())
	p.raw("</div>")
}

func (p *page) warnings(list []Warning) {
	for _, w := range list {
		p.raw(`<p class="warning" role="note">`)
		p.element("b", "", w.Code)
		p.text(" " + w.Message + ". ")
		p.element("span", "fix", "Fix: "+w.Fix+".")
		p.raw("</p>\n")
	}
}

// steps is a table of those steps that are wanted; without any there is none.
func (p *page) steps(title string, steps []Step, want func(Step) bool) {
	begun := false
	for _, s := range steps {
		if !want(s) {
			continue
		}
		if !begun {
			p.element("h2", "", title)
			p.raw(stepsHead)
			begun = true
		}
		p.step(s)
	}
	if begun {
		p.raw("</tbody></table>\n")
	}
}

const stepsHead = `<table class="steps"><thead><tr><th scope="col">What<th scope="col">Found<th scope="col">Read as<th scope="col">Verdict<th scope="col">Why</tr></thead><tbody>
`

func (p *page) step(s Step) {
	fmt.Fprintf(p, `<tr class="%s">`, tone(s.Verdict))
	p.element("th", "", s.Subject)
	p.cell("code", s.what())
	p.cell("code", s.Value)
	p.raw("<td>")
	p.verdict(s.Verdict)
	p.raw("</td>")
	p.cell("rule", s.Rule)
	p.raw("</tr>\n")
}

// cell writes an empty cell too: the columns must line up.
func (p *page) cell(class, text string) {
	fmt.Fprintf(p, `<td class="%s">`, class)
	p.text(text)
	p.raw("</td>")
}

const pageHead = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>How this request arrived</title>
`
