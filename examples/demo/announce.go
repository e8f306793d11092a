package main

import (
	"fmt"
	"io"
	"strings"
)

// announce prints what runs, what the application was told and what to try.
func (d *demo) announce(w io.Writer) {
	fmt.Fprintf(w, "\nknownhops demo: believe only the hops you know.\n\n%s\n", d.drawing())
	for _, note := range d.notes {
		fmt.Fprintf(w, "Note: %s.\n", note)
	}
	fmt.Fprintf(w, "Open %s/ in a browser. It warns, because the certificate was made a moment ago;\n%s/ needs none. Ctrl-C ends the demo.\n\n", d.ways.HTTPS, d.ways.HTTP)
	d.announceTopology(w)
	fmt.Fprintf(w, "Try these. What an answer has in it is marked with > (columns are wider there).\n")
	for i, s := range d.scenes() {
		fmt.Fprintf(w, "\n%2d. %s\n    %s\n%s", i+1, s.Title, s.Curl(), wrap(s.Says, "    "))
		for _, line := range s.Shows {
			fmt.Fprintf(w, "    > %s\n", line)
		}
	}
}

// drawing is the way in, with the address that each part can be asked at and
// the one that it connects from.
func (d *demo) drawing() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  you           connect from 127.0.0.1\n")
	fmt.Fprintf(&b, "  v balancer    %s and %s; connects from %s\n", d.ways.HTTPS, d.ways.HTTP, d.network.balancer)
	if d.nginx != nil {
		fmt.Fprintf(&b, "  v nginx       %s; connects from %s\n", d.ways.Nginx, d.network.nginx)
	}
	fmt.Fprintf(&b, "  v application %s\n", d.ways.App)
	return b.String()
}

func (d *demo) announceTopology(w io.Writer) {
	fmt.Fprintf(w, "The application was told, nearest hop first:\n  %s\n", strings.ReplaceAll(d.policy.String(), "\n", "\n  "))
	findings := d.policy.Lint()
	if len(findings) == 0 {
		fmt.Fprint(w, "Lint finds nothing that this topology cannot know.\n\n")
		return
	}
	for _, f := range findings {
		fmt.Fprintf(w, "Lint: %s.\n  Fix: %s.\n\n", f.Message, f.Fix)
	}
}

// wrap breaks a text into lines of 96 letters.
func wrap(text, indent string) string {
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > 96 && line != indent {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
	return b.String()
}
