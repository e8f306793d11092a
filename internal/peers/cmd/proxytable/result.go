//go:build linux

package main

import (
	"slices"
	"time"

	"github.com/knownhops/knownhops/internal/peers/proxyload"
)

// An outcome is one run.
type outcome struct {
	proxyload.Result
	cpu   time.Duration // of the proxy's processes, while it was measured
	peak  int64         // bytes
	fault string        // why there is no result
}

// perRequest is CPU time in seconds; 0 if nothing was answered.
func (o outcome) perRequest() float64 {
	if o.Count == 0 {
		return 0
	}
	return o.cpu.Seconds() / float64(o.Count)
}

func (o outcome) rate() float64 {
	if o.Elapsed == 0 {
		return 0
	}
	return float64(o.Count) / o.Elapsed.Seconds()
}

// results are all runs of all rounds.
type results struct {
	contestants []contestant
	absent      []contestant // not installed
	cells       map[cell][]outcome
}

// A cell is one contestant in one case, by their names.
type cell struct{ kind, contestant string }

func (rs *results) add(kind, contestant string, o outcome) {
	if rs.cells == nil {
		rs.cells = map[cell][]outcome{}
	}
	at := cell{kind, contestant}
	rs.cells[at] = append(rs.cells[at], o)
}

// ratio is the median, over the rounds, of the CPU time relative to another contestant in the same round; 0 if they
// were not both measured.
func (rs *results) ratio(kind, contestant, other string) float64 {
	mine, theirs := rs.cells[cell{kind, contestant}], rs.cells[cell{kind, other}]
	var ratios []float64
	for i := range min(len(mine), len(theirs)) {
		a, b := mine[i].perRequest(), theirs[i].perRequest()
		if a > 0 && b > 0 {
			ratios = append(ratios, a/b)
		}
	}
	return median(ratios)
}

// median is the middle one, or the mean of the middle two; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// values takes one figure of each round that answered anything.
func values(outcomes []outcome, figure func(outcome) float64) (list []float64) {
	for _, o := range outcomes {
		if o.Count > 0 {
			list = append(list, figure(o))
		}
	}
	return list
}

// errorsOf counts the wrong answers of all rounds, and tells the first thing that went wrong.
func errorsOf(outcomes []outcome) (n int, first string) {
	for _, o := range outcomes {
		n += o.Errors
		text := o.Error
		if o.fault != "" {
			n++
			text = o.fault
		}
		if first == "" {
			first = text
		}
	}
	return n, first
}
