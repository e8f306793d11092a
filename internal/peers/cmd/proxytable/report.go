//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/knownhops/knownhops/internal/peers/proxyload"
)

// report is everything that the program prints.
func (rs *results) report(p plan) string {
	var b strings.Builder
	b.WriteString(rs.facts(p))
	for _, t := range rs.tables(p.cases) {
		if p.markdown {
			t.markdown(&b)
		} else {
			t.plain(&b)
		}
	}
	return b.String()
}

const legend = `CPU: user and system time of all of a proxy's processes. × nginx: the median over the rounds of the ratio within a round.
Peak memory: the most that was resident, summed over the processes. ✗: wrong answers or broken connections. The defaults
of ReverseProxy set X-Forwarded-For alone; all others also -Proto and -Host.
`

// facts says where and how the figures came about.
func (rs *results) facts(p plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s/%s, %d cores%s; %d connections over loopback; medians of %d rounds of %v each.\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpuModel(), p.connections, p.rounds, p.span)
	var versions []string
	for _, c := range rs.contestants {
		if c.binary != "" {
			versions = append(versions, c.title+" "+c.installedVersion())
		}
	}
	if len(versions) > 0 {
		fmt.Fprintf(&b, "%s.\n", strings.Join(versions, ", "))
	}
	for _, c := range rs.absent {
		fmt.Fprintf(&b, "%s is left out: it is not installed.\n", c.title)
	}
	return b.String() + legend
}

// cpuModel is what Linux calls the processor, "" where it does not say.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // as good as empty where there is none
	for line := range bytes.Lines(text) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && strings.TrimSpace(string(name)) == "model name" {
			return " (" + strings.TrimSpace(string(value)) + ")"
		}
	}
	return ""
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

func (c contestant) installedVersion() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.find(), c.version).CombinedOutput()
	if err != nil {
		return "of an unknown version"
	}
	return versionNumber.FindString(string(out))
}

// tables returns an overview and one table per case.
func (rs *results) tables(cases []proxyload.Case) []table {
	list := []table{rs.overview(cases)}
	for _, c := range cases {
		list = append(list, rs.details(c))
	}
	return list
}

// overview has one row per contestant and one column per case.
func (rs *results) overview(cases []proxyload.Case) table {
	t := table{title: "CPU seconds per 1 000 requests or messages (× nginx)", head: []string{""}}
	for _, c := range cases {
		t.head = append(t.head, c.Title)
	}
	for _, c := range rs.contestants {
		if c.name == direct {
			continue
		}
		row := []string{c.title}
		for _, kind := range cases {
			text := rs.cost(kind, c)
			if ratio := rs.ratio(kind.Name, c.name, reference); ratio > 0 {
				text += fmt.Sprintf(" (%.2f×)", ratio)
			}
			row = append(row, text+rs.mark(kind, c))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// details has every figure of one case.
func (rs *results) details(kind proxyload.Case) table {
	t := table{title: kind.Title, head: []string{
		"", kind.Unit + "s/s", "p50 ms", "p99 ms", "CPU s per 1 000", "least … most", "× nginx", kind.Unit + "s per CPU s", "peak MiB",
	}}
	for _, c := range rs.contestants {
		outcomes := rs.cells[cell{kind.Name, c.name}]
		n, first := errorsOf(outcomes)
		if n > 0 {
			t.notes = append(t.notes, fmt.Sprintf("✗ %s: %d errors, the first: %s", c.title, n, firstLine(first)))
		}
		rate := median(values(outcomes, outcome.rate))
		p50 := median(values(outcomes, func(o outcome) float64 { return o.P50.Seconds() * 1e3 }))
		p99 := median(values(outcomes, func(o outcome) float64 { return o.P99.Seconds() * 1e3 }))
		row := []string{c.title + rs.mark(kind, c), number("%.0f", rate), number("%.2f", p50), number("%.1f", p99)}
		t.rows = append(t.rows, append(row, rs.costs(kind, c)...))
	}
	return t
}

// costs are the cells that say something of the proxy's processes.
func (rs *results) costs(kind proxyload.Case, c contestant) []string {
	outcomes := rs.cells[cell{kind.Name, c.name}]
	per := values(outcomes, outcome.perRequest)
	peak := median(values(outcomes, func(o outcome) float64 { return float64(o.peak) / (1 << 20) }))
	spread, inverse := none, none
	if middle := median(per); middle > 0 {
		spread = fmt.Sprintf("%.4f … %.4f", slices.Min(per)*1e3, slices.Max(per)*1e3)
		inverse = fmt.Sprintf("%.0f", 1/middle)
	}
	return []string{
		rs.cost(kind, c), spread, number("%.2f", rs.ratio(kind.Name, c.name, reference)), inverse, number("%.1f", peak),
	}
}

// cost is the CPU time of 1 000 requests.
func (rs *results) cost(kind proxyload.Case, c contestant) string {
	return number("%.4f", median(values(rs.cells[cell{kind.Name, c.name}], outcome.perRequest))*1e3)
}

// mark tells a contestant that failed from one that did not.
func (rs *results) mark(kind proxyload.Case, c contestant) string {
	if n, _ := errorsOf(rs.cells[cell{kind.Name, c.name}]); n > 0 {
		return " ✗"
	}
	return ""
}

// none stands where there is no figure.
const none = "–"

func number(format string, x float64) string {
	if x == 0 {
		return none
	}
	return fmt.Sprintf(format, x)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
