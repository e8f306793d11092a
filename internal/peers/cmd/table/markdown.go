package main

import (
	"fmt"
	"runtime"
	"strings"
)

// benches are the tables to print, and whom the others are compared with in each.
var benches = []struct{ name, title, ours string }{
	{"Middleware", "Found, handed on with the request and read by the next handler", "knownhops.Wrap"},
	{"Resolve", "The answer alone", "knownhops.Resolve"},
	{"Growth", "The whole way, with 10, 1000 and 10000 trusted networks", "knownhops.Wrap"},
}

const legend = `Cells: CPU nanoseconds / bytes / allocations per request, and in brackets the multiple of ours. ✗: the answer is not the
client's address (where nobody can know: not "unknown"). Rows "_alone" are a router that does none of the work, to be
subtracted from the row above.
`

// markdown writes one table per benchmark: contestants down, cases across.
func (rs results) markdown(rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s/%s, least of %d rounds.\n%s", runtime.Version(), runtime.GOOS, runtime.GOARCH, rounds, legend)
	for _, bench := range benches {
		rows := rs.rows(bench.name)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n|  | %s |\n|---|%s\n", bench.title, strings.Join(rows, " | "), strings.Repeat("---:|", len(rows)))
		for _, column := range rs.columns(bench.name) {
			fmt.Fprintf(&b, "| %s |", column)
			for _, row := range rows {
				fmt.Fprintf(&b, " %s |", cell(rs.find(bench.name, row, column), rs.find(bench.name, row, bench.ours)))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// cell is one figure; empty where the filter left it out.
func cell(r, ours *result) string {
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("%s / %s / %.0f", short(r.cpu), short(r.bytes), r.allocs)
	if ours != nil && ours != r && ours.cpu > 0 {
		text += fmt.Sprintf(" (%s×)", ratio(r.cpu/ours.cpu))
	}
	if r.wrong {
		text += " ✗"
	}
	return text
}

func ratio(x float64) string {
	if x >= 10 {
		return short(x)
	}
	return fmt.Sprintf("%.2f", x)
}

// short writes a figure with k and M for thousands and millions.
func short(x float64) string {
	switch {
	case x >= 10e6:
		return fmt.Sprintf("%.0fM", x/1e6)
	case x >= 10e3:
		return fmt.Sprintf("%.0fk", x/1e3)
	default:
		return fmt.Sprintf("%.0f", x)
	}
}
