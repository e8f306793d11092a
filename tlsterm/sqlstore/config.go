package sqlstore

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/knownhops/knownhops/internal/conferr"
)

// What the fields of Config that are zero stand for.
const (
	DefaultTable    = "public.tlsterm"
	DefaultTimeout  = 10 * time.Second
	DefaultLease    = 30 * time.Second
	DefaultPoll     = time.Second
	DefaultMaxValue = 1 << 20
)

// Bounds of what a Config may say.
const (
	shortestLease = time.Second      // below it a slow disk loses leases
	longestLease  = 10 * time.Minute // for so long a killed holder keeps everybody out
	shortestPoll  = 10 * time.Millisecond
	largestValue  = 64 << 20
)

// Config is plain data; New checks all of it and reports every mistake. DB is
// required; the zero value of everything else is a usable default.
type Config struct {
	// DB is the database. The Store never closes it. Its pool should have room
	// for more than one connection: leases are renewed beside other work.
	DB *sql.DB

	// Table is where values are kept, as "schema.table"; locks are kept beside
	// it in a table whose name has "_locks" behind. Both parts are quoted as they
	// stand, so case counts. The schema must exist. A name without schema is
	// refused: which table it means depends on who connects. Zero: "public.tlsterm".
	Table string

	// NoCreate is for a service that may not create tables: it never tries to.
	// Have [Schema] executed by somebody who may.
	NoCreate bool

	// Keys seal what is written. The first one seals; every one opens what it
	// has sealed, so that keys can be exchanged: add the new one behind the old
	// one everywhere, then put it first everywhere, call Reseal, drop the old
	// one. Empty: values are kept in clear, and sealed ones cannot be read.
	Keys []Key

	// DangerouslyAcceptPlain opens values that are not sealed although there are
	// Keys. It is for the time between adding the first key and Reseal. The
	// attack: whoever can write to the table plants a private key of their own.
	DangerouslyAcceptPlain bool

	// MaxValue is the length in bytes up to which values are stored and loaded.
	// Zero: 1 MiB, a hundred times what certmagic stores. At most 64 MiB.
	MaxValue int

	// Timeout is how long one call may work on the database, with all the
	// attempts that a lost connection or a restart of the server takes. Waiting
	// for a lock that somebody holds does not count. Zero: 10 s.
	Timeout time.Duration

	// Lease is how long a holder that no longer renews keeps others from its
	// lock. Zero: 30 s. From 1 s to 10 min; processes that share a table may
	// differ.
	Lease time.Duration

	// Poll is how often, give or take a half, it is tried again to get a lock
	// that somebody holds. Zero: 1 s. At least 10 ms.
	Poll time.Duration

	// Holder is how this process is called in the table of locks, for people
	// who look there. Zero: host name and process id.
	Holder string

	// Logger gets what certmagic's interface cannot report: leases that are not
	// renewed or lost, and errors of Exists. Never a value. Nil: slog.Default.
	Logger *slog.Logger
}

// ConfigErrors is every mistake of a Config, in field order; the error of New
// and of Schema is one.
type ConfigErrors = conferr.Errors

// ConfigError is one mistake: where it is, what stands there, what is wrong
// and what to write instead.
type ConfigError = conferr.Error

// compile checks cfg, which it completes with the defaults.
func (cfg *Config) compile() (table, sealer, error) {
	var errs ConfigErrors
	if cfg.DB == nil {
		errs.Add("DB", "", "there is no database", "pass what sql.Open returned")
	}
	t := parseTable(cfg.Table, &errs)
	s := compileKeys(cfg.Keys, &errs)
	s.acceptPlain = cfg.DangerouslyAcceptPlain || len(cfg.Keys) == 0
	if cfg.DangerouslyAcceptPlain && len(cfg.Keys) == 0 {
		errs.Add("DangerouslyAcceptPlain", "true", "without Keys nothing is sealed", "add a key, or leave it out")
	}
	within(&errs, "MaxValue", &cfg.MaxValue, DefaultMaxValue, 1, largestValue, strconv.Itoa)
	within(&errs, "Timeout", &cfg.Timeout, DefaultTimeout, time.Millisecond, time.Hour, time.Duration.String)
	within(&errs, "Lease", &cfg.Lease, DefaultLease, shortestLease, longestLease, time.Duration.String)
	within(&errs, "Poll", &cfg.Poll, DefaultPoll, shortestPoll, time.Minute, time.Duration.String)
	cfg.nameHolder(&errs)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return t, s, errs.Err()
}

func (cfg *Config) nameHolder(errs *ConfigErrors) {
	if cfg.Holder == "" {
		host, _ := os.Hostname() // "" is as good a name as any
		cfg.Holder = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	if why := badText(cfg.Holder); why != "" {
		errs.Add("Holder", cfg.Holder, why, "use a short name, or leave it out")
	}
}

// within replaces zero by the default and refuses what is out of bounds.
func within[N int | time.Duration](errs *ConfigErrors, field string, v *N, zero, least, most N, text func(N) string) {
	if *v == 0 {
		*v = zero
	}
	if *v < least || *v > most {
		errs.Add(field, text(*v), "out of bounds", fmt.Sprintf("use %s to %s, or leave it zero for %s", text(least), text(most), text(zero)))
	}
}
