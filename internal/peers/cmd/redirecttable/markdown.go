package main

import (
	"fmt"
	"slices"
	"strings"
)

// markdown is two tables: properties by peer, and faults without names, the commonest first.
func (l *ledger) markdown() string {
	var b strings.Builder
	heads, rules := strings.Join(l.properties, " | "), strings.Repeat(" --- |", len(l.properties))
	fmt.Fprintf(&b, "|  | %s |\n| --- |%s\n", heads, rules)
	for _, peer := range l.peers {
		fmt.Fprintf(&b, "| %s |", peer)
		for _, property := range l.properties {
			fmt.Fprintf(&b, " %s |", l.values[[2]string{peer, property}])
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n| fault | answers of the %d others | ours | kinds of request | for example |\n", l.setups)
	b.WriteString("| --- | ---: | ---: | ---: | --- |\n")
	faults := slices.Clone(l.faults)
	slices.SortStableFunc(faults, func(a, b fault) int { return b.answers - a.answers })
	for _, f := range faults {
		fmt.Fprintf(&b, "| %s | %d | 0 | %d | %s |\n", f.what, f.answers, f.cases, code(f.example))
	}
	fmt.Fprintf(&b, "\nThe others gave %d answers in all.\n", l.requests)
	return b.String()
}

// code shows what a case is called, which may hold anything, in a cell.
func code(name string) string {
	return "`" + strings.NewReplacer("|", `\|`, "`", "'").Replace(name) + "`"
}
