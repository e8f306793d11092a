package healthcheck

import (
	"fmt"
	"strconv"
)

// A Kind says what a failing check, heartbeat or report does. The zero Kind is
// [Dependency], which cannot take the service out of rotation.
type Kind uint8

const (
	// Dependency is something outside of this process, which other instances
	// use as well. It warns: readiness still answers 200, because taking every
	// instance out at once turns the hiccup of a database into an outage
	// (aws.amazon.com/builders-library/implementing-health-checks).
	Dependency Kind = iota

	// Startup gates until the first success: readiness and startup answer 503
	// until then, and it is never looked at again after that.
	Startup

	// Local is something of this instance alone, such as its disk. Readiness
	// answers 503 while it fails, and before its first result.
	Local

	// Watchdog fails liveness as well as readiness, so that the platform
	// restarts the process. Only a heartbeat may be one: a loop that stands
	// still is the sign of a deadlock, a check that fails is not.
	Watchdog
)

var kindNames = [...]string{Dependency: "dependency", Startup: "startup", Local: "local", Watchdog: "watchdog"}

// String is the kind's name in logs, metrics and pages: "dependency".
func (k Kind) String() string {
	if !k.valid() {
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// MarshalText writes the name.
func (k Kind) MarshalText() ([]byte, error) {
	if !k.valid() {
		return nil, fmt.Errorf("healthcheck: %v is no kind", k)
	}
	return []byte(k.String()), nil
}

// UnmarshalText reads a name that MarshalText wrote.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("healthcheck: %q is no kind; use dependency, startup, local or watchdog", text)
}

func (k Kind) valid() bool { return int(k) < len(kindNames) }
