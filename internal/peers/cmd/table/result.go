package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A result is what one benchmark says about one contestant: the least of the rounds.
type result struct {
	bench, row, column string // Middleware, b, gin; for growth the row is b/1000
	cpu, bytes, allocs float64
	wrong              bool
}

// results keeps the order in which the benchmarks first ran.
type results []result

// add reads the output of one round.
func (rs *results) add(output string) error {
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "Benchmark") {
			continue
		}
		r, err := parse(strings.Fields(line))
		if err != nil {
			return fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
		rs.keep(r)
	}
	return nil
}

// parse reads a line: name, number of runs, then pairs of value and unit.
func parse(fields []string) (result, error) {
	path := strings.Split(strings.TrimPrefix(fields[0], "Benchmark"), "/")
	if len(path) < 3 || len(fields)%2 != 0 {
		return result{}, fmt.Errorf("not a result of these benchmarks")
	}
	last := len(path) - 1
	r := result{bench: path[0], row: strings.Join(path[1:last], "/"), column: path[last]}
	for i := 2; i < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return result{}, err
		}
		switch fields[i+1] {
		case "cpu-ns/op":
			r.cpu = value
		case "B/op":
			r.bytes = value
		case "allocs/op":
			r.allocs = value
		case "wrong":
			r.wrong = value != 0
		}
	}
	return r, nil
}

// keep takes the lesser of two rounds. Bytes and allocations hardly differ: a map or a pool that grows once does that.
func (rs *results) keep(r result) {
	if old := rs.find(r.bench, r.row, r.column); old != nil {
		old.cpu, old.bytes, old.allocs = min(old.cpu, r.cpu), min(old.bytes, r.bytes), min(old.allocs, r.allocs)
		return
	}
	*rs = append(*rs, r)
}

func (rs results) find(bench, row, column string) *result {
	for i := range rs {
		if r := &rs[i]; r.bench == bench && r.row == row && r.column == column {
			return r
		}
	}
	return nil
}

// rows and columns return the names within a benchmark, in order.
func (rs results) rows(bench string) []string {
	return rs.names(bench, func(r result) string { return r.row })
}

func (rs results) columns(bench string) []string {
	return rs.names(bench, func(r result) string { return r.column })
}

func (rs results) names(bench string, name func(result) string) (names []string) {
	seen := map[string]bool{}
	for _, r := range rs {
		if n := name(r); r.bench == bench && !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	return names
}
