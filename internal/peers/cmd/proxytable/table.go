//go:build linux

package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// A table has a title, column heads and rows, all text.
type table struct {
	title string
	head  []string
	rows  [][]string
	notes []string
}

func (t table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n| %s |\n|---|%s\n", t.title, strings.Join(t.head, " | "), strings.Repeat("---:|", len(t.head)-1))
	for _, row := range t.rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	for _, note := range t.notes {
		fmt.Fprintf(b, "\n%s\n", note)
	}
}

func (t table) plain(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s\n", t.title)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(w, strings.ReplaceAll(strings.Join(row, "\t"), "`", ""))
	}
	_ = w.Flush() // a strings.Builder takes everything
	for _, note := range t.notes {
		fmt.Fprintln(b, note)
	}
}
