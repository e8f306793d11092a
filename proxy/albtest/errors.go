package albtest

import (
	"fmt"
	"strings"
)

// ConfigError is one mistake in a Config.
type ConfigError struct {
	Field  string // where it is, as one would write it in Go: "Listeners[0].Port"
	Value  string // what stands there
	Reason string // what is wrong with it
	Fix    string // what to write instead
}

// Error puts the four parts into one sentence.
func (e ConfigError) Error() string {
	s := e.Field + ": "
	if e.Value != "" {
		s += fmt.Sprintf("%q: ", e.Value)
	}
	s += e.Reason
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// ConfigErrors is every mistake in a Config, in field order. It is the type of
// the error that New returns for one.
type ConfigErrors []ConfigError

// Error lists the mistakes, one a line.
func (e ConfigErrors) Error() string {
	lines := make([]string, 0, len(e))
	for _, one := range e {
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As and errors.Is look at each mistake.
func (e ConfigErrors) Unwrap() []error {
	list := make([]error, 0, len(e))
	for _, one := range e {
		list = append(list, one)
	}
	return list
}

func (e *ConfigErrors) add(field string, value any, reason, fix string) {
	one := ConfigError{Field: field, Reason: reason, Fix: fix}
	if value != nil {
		one.Value = fmt.Sprint(value)
	}
	*e = append(*e, one)
}
