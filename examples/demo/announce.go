package main

import (
	"fmt"
	"io"
	"strings"
)

// announce prints what runs, what the applications were told and what to try.
func (d *demo) announce(w io.Writer) {
	fmt.Fprintf(w, "\nknownhops demo: believe only the hops you know.\n\n%s\n", d.drawing())
	if d.note != "" {
		fmt.Fprintf(w, "Note: %s.\n", d.note)
	}
	fmt.Fprintf(w, "Open %s/ in a browser. Ctrl-C ends the demo.\n", d.ways.Page)
	fmt.Fprintf(w, "%s/deploy ends one of two instances under load.\n\n", d.ways.Page)
	d.announceSites(w)
	fmt.Fprintf(w, "\nTry these. What an answer has in it is marked with > (columns are wider there).\n")
	for i, s := range d.scenes() {
		fmt.Fprintf(w, "\n%2d. %s\n    %s\n%s", i+1, s.Title, s.Curl(), wrap(s.Says, "    "))
		for _, line := range s.Shows {
			fmt.Fprintf(w, "    > %s\n", line)
		}
	}
}

// drawing is the chain, with the address at which each part can be asked.
func (d *demo) drawing() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  you           appear as %s\n", visitor)
	fmt.Fprintf(&b, "  v balancer    %s is listener 443, %s listener 80\n", d.ways.HTTPS, d.ways.HTTP)
	fmt.Fprintf(&b, "  v proxy       %s\n", strings.TrimPrefix(d.ways.Proxy, "http://"))
	fmt.Fprintf(&b, "  v application %s\n", strings.TrimPrefix(d.ways.App, "http://"))
	return b.String()
}

// announceSites says of each site what stands there, what the application was
// told of it and what Lint finds in that.
func (d *demo) announceSites(w io.Writer) {
	for _, s := range d.sites {
		fmt.Fprintf(w, "%-20s %s\n", s.Host, s.About)
		if s.backend == nil {
			continue
		}
		fmt.Fprintf(w, "  hops: %s\n", strings.ReplaceAll(s.backend.String(), "\n", "\n        "))
		for _, f := range s.backend.Lint() {
			fmt.Fprintf(w, "  Lint: %s.\n", f.Message)
		}
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
