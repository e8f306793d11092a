//go:build linux

package rig

import (
	"fmt"
	"strings"
	"time"
)

// Markdown is a table of results, a row for each front, a column for each mode.
func Markdown(results []Result) string {
	var b strings.Builder
	b.WriteString("| in front |")
	for _, mode := range Modes() {
		fmt.Fprintf(&b, " %s |", mode.title())
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(Modes())) + "\n")
	for _, front := range Fronts() {
		if row := cells(results, front.Name); row != "" {
			fmt.Fprintf(&b, "| %s |%s\n", front.Title, row)
		}
	}
	return b.String()
}

// cells are those of one front; "" if it was left out.
func cells(results []Result, front string) string {
	row, any := "", false
	for _, mode := range Modes() {
		cell := " – |"
		for _, r := range results {
			if r.Front.Name == front && r.Mode == mode && r.Restarts > 0 {
				cell, any = " "+r.String()+" |", true
			}
		}
		row += cell
	}
	if !any {
		return ""
	}
	return row
}

// title is what the mode is called by people.
func (m Mode) title() string {
	return map[Mode]string{Drain: "`healthcheck.Serve`", Shutdown: "`Shutdown` at SIGTERM", Exit: "no handling of SIGTERM"}[m]
}

// String is what became of the requests.
func (r Result) String() string {
	what := fmt.Sprintf("%d of %d", r.Lost(), r.Get.Sent+r.Post.Sent)
	if r.Lost() > 0 {
		what = fmt.Sprintf("**%s** (%d GET, %d POST)", what, r.Get.Failed, r.Post.Failed)
	}
	return fmt.Sprintf("%s, %d restarts, %.1f s at most", what, r.Restarts, r.Longest.Round(100*time.Millisecond).Seconds())
}
