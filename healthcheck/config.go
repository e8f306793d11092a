package healthcheck

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/knownhops/knownhops/internal/conferr"
)

// Defaults of the fields of Config and Check that are zero.
const (
	defaultEvery     = 10 * time.Second
	defaultTimeout   = 2 * time.Second
	defaultFailures  = 3
	defaultSuccesses = 2
)

// Config is plain data; [New] checks all of it and reports every mistake. The
// zero Config is that of the zero [Health]: no checks, the default paths.
type Config struct {
	Checks []Check // run in the background by Run; names are unique
	Paths  Paths   // where probes are answered; zero: /healthz, /readyz, /livez and /startupz

	// Every is the time between two runs of a check, give or take a tenth, so
	// that the instances of a fleet do not ask in step. Zero: 10 s.
	Every time.Duration

	// Timeout is how long a run may take. It is reported as a failure then, also
	// if the check ignores its context. Zero: 2 s.
	Timeout time.Duration

	// OnTransition is called for each change of status, one at a time and in
	// order. It may use the Health. It must not block: later changes wait for
	// it, the answers to probes do not. Nil: nothing is called.
	OnTransition func(Transition)

	// Logger gets changes of status, never probes. The text of a check's error
	// is logged at level Debug only. Nil: slog.Default.
	Logger *slog.Logger
}

// A Check is a function that says whether something works.
type Check struct {
	// Name is how it is called in logs, metrics and pages: 1 to 64 printable
	// ASCII characters without colon, quotes and backslash.
	Name string

	// Func returns nil if all is well. At most one call of it runs at a time,
	// its context ends at the Timeout, and a panic in it is a failure.
	Func func(context.Context) error

	// Kind says what a failure does. Zero: Dependency, which only warns.
	Kind Kind

	// Gate lets a Dependency fail readiness for at most this long after it
	// began to fail; then it fails open and warns. Runs of such a check begin at
	// a random point of Every, so that a fleet does not leave in one second.
	// Zero: it only warns. Other kinds have none.
	Gate time.Duration

	Every, Timeout time.Duration // zero: those of the Config

	// Failures is how many runs in a row must fail before the check counts as
	// failing, and Successes how many must pass before it counts as passing
	// again. The first result that passes counts at once. Zero: 3 and 2.
	Failures, Successes int
}

// ConfigErrors is every mistake of a Config, in field order.
type ConfigErrors = conferr.Errors

// ConfigError is one mistake: where it is, what stands there, what is wrong
// and what to write instead.
type ConfigError = conferr.Error

func (cfg *Config) validate() error {
	var errs ConfigErrors
	seen := make(map[string]int)
	for i := range cfg.Checks {
		cfg.Checks[i].validate(fmt.Sprintf("Checks[%d].", i), &errs)
		if first, dup := seen[cfg.Checks[i].Name]; dup && cfg.Checks[i].Name != "" {
			errs.Add(fmt.Sprintf("Checks[%d].Name", i), cfg.Checks[i].Name, fmt.Sprintf("Checks[%d] has the same name", first), "give each check a name of its own")
		} else {
			seen[cfg.Checks[i].Name] = i
		}
	}
	cfg.Paths.validate(&errs)
	notNegative(&errs, "Every", cfg.Every)
	notNegative(&errs, "Timeout", cfg.Timeout)
	return errs.Err()
}

func (c *Check) validate(field string, errs *ConfigErrors) {
	if why := badName(c.Name); why != "" {
		errs.Add(field+"Name", c.Name, why, `write one like "database"`)
	}
	if c.Func == nil {
		errs.Add(field+"Func", "", "there is nothing to run", "set Func, or push results with Report")
	}
	switch {
	case !c.Kind.valid():
		errs.Add(field+"Kind", c.Kind.String(), "not a kind", "use Dependency, Startup or Local")
	case c.Kind == Watchdog:
		errs.Add(field+"Kind", c.Kind.String(), "a check that fails must not restart the process", "use Heartbeat for a watchdog, or the kind Local")
	}
	notNegative(errs, field+"Gate", c.Gate)
	if c.Gate > 0 && c.Kind != Dependency {
		errs.Add(field+"Gate", c.Gate.String(), "only a Dependency has a gate", "leave it zero: the other kinds fail readiness by themselves")
	}
	notNegative(errs, field+"Every", c.Every)
	notNegative(errs, field+"Timeout", c.Timeout)
	notNegative(errs, field+"Failures", c.Failures)
	notNegative(errs, field+"Successes", c.Successes)
}

func notNegative[N ~int | ~int64](errs *ConfigErrors, field string, v N) {
	if v < 0 {
		errs.Add(field, fmt.Sprint(v), "negative", "leave it zero for the default")
	}
}

// maxName is the length that names are kept to, so that logs, metrics and
// pages stay readable.
const maxName = 64

// badName says what is wrong with a name, if anything. The colon would split a
// name of draft-inadarei-api-health-check-06 in two.
func badName(name string) string {
	switch {
	case name == "":
		return "no name"
	case len(name) > maxName:
		return "longer than 64 bytes"
	case strings.ContainsFunc(name, badInName):
		return "only printable ASCII without colon, quotes and backslash is a name"
	}
	return ""
}

func badInName(r rune) bool {
	return r < ' ' || r > '~' || r == ':' || r == '"' || r == '\'' || r == '\\'
}

// cleanName makes a name out of what came while the service runs, when it is
// too late to refuse it.
func cleanName(name string) string {
	if badName(name) == "" {
		return name
	}
	clean := strings.Map(func(r rune) rune {
		if badInName(r) {
			return '_'
		}
		return r
	}, clip(name, maxName))
	if clean == "" {
		return "unnamed"
	}
	return clean
}

// clip returns at most n bytes of s.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
