package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A ledger is the file's content.
type ledger struct {
	peers, properties []string             // in the order of the file
	values            map[[2]string]string // by peer and property
	faults            []fault
	setups, requests  int // others than this module's
}

// A fault is one kind of wrong answer.
type fault struct {
	what    string
	answers int    // that have it
	cases   int    // that bring somebody to it
	example string // the case with most of the answers
	most    int    // how many those are
}

// parse reads the lines, whose fields are separated by tabs. The file's head says what they are.
func parse(text string) (*ledger, error) {
	l := &ledger{values: map[[2]string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if err := l.add(strings.Split(line, "\t")); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return l, nil
}

func (l *ledger) add(f []string) (err error) {
	switch {
	case f[0] == "property" && len(f) == 4:
		l.peers, l.properties = with(l.peers, f[1]), with(l.properties, f[2])
		l.values[[2]string{f[1], f[2]}] = f[3]
	case f[0] == "fault" && len(f) == 4:
		one := l.fault(f[1])
		n, err := strconv.Atoi(f[3])
		if n > one.most {
			one.most, one.example = n, f[2]
		}
		one.cases, one.answers = one.cases+1, one.answers+n
		return err
	case f[0] == "asked" && len(f) == 3:
		if l.setups, err = strconv.Atoi(f[1]); err == nil {
			l.requests, err = strconv.Atoi(f[2])
		}
	default:
		return fmt.Errorf("not a line of this ledger")
	}
	return err
}

// fault returns the entry of a fault, a new one if it is the first of its name.
func (l *ledger) fault(what string) *fault {
	i := slices.IndexFunc(l.faults, func(f fault) bool { return f.what == what })
	if i < 0 {
		i, l.faults = len(l.faults), append(l.faults, fault{what: what})
	}
	return &l.faults[i]
}

func with(list []string, one string) []string {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}
