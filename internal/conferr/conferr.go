// Package conferr holds the one shape in which every package of this module
// reports configuration mistakes: all of them at once, each naming the field,
// the value and the fix.
package conferr

import (
	"fmt"
	"strings"
)

// Error is one configuration mistake.
type Error struct {
	Field  string // where it is, as one would write it in Go: "Hops[1].From[0]"
	Value  string // what stands there; secrets are redacted
	Reason string // what is wrong with it
	Fix    string // what to write instead
}

// Error puts the four parts into one sentence.
func (e Error) Error() string {
	s := e.Field + ": " + e.Reason
	if e.Value != "" {
		s = fmt.Sprintf("%s: %q: %s", e.Field, e.Value, e.Reason)
	}
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Errors is every mistake found in one configuration, in field order.
// The zero value means that there is none.
type Errors []Error

// Add appends one mistake.
func (e *Errors) Add(field, value, reason, fix string) {
	*e = append(*e, Error{Field: field, Value: value, Reason: reason, Fix: fix})
}

// Err returns nil when nothing was added, otherwise e itself.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Error lists the mistakes, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As and errors.Is look at each mistake.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}
