package proxyproto

import (
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/knownhops/knownhops/internal/conferr"
	"github.com/knownhops/knownhops/internal/hostport"
)

// ConfigErrors is every mistake found in one Config, in field order; Listen's
// error is one.
type ConfigErrors = conferr.Errors

// ConfigError is one mistake: field, value, reason and fix.
type ConfigError = conferr.Error

// Config says who may send PROXY headers and how long they may take. The zero
// Config is refused: nobody is believed who was not named.
type Config struct {
	// From is who may send a header, and must: the addresses or CIDRs that the
	// balancer connects from, or "unix", as in forwarded.Hop. Name the same here
	// and there. "any" needs DangerouslyAnyPeer.
	From []string

	// DangerouslyAnyPeer takes a header from everybody, as it must be where an
	// AWS Network Load Balancer preserves client addresses: there the sender's
	// address is the client's. The attack: whoever reaches the port past the
	// balancer is whoever it claims to be. Only a security group that lets
	// nobody but the balancer in prevents it; better switch off
	// preserve_client_ip.enabled and name the balancer's subnets in From.
	DangerouslyAnyPeer bool

	// Timeout is how long a whole header may take, from when the connection is
	// accepted. Zero: 3 s.
	Timeout time.Duration

	// MaxHeader is the longest header in bytes, from its first to its last.
	// Zero: 2048. At least 52, which is version 2 with two IPv6 addresses, and
	// at most 65551. A header of version 1 is never longer than 107.
	MaxHeader int

	// MaxPending is how many connections may wait at once for their header, or
	// to be accepted after it. Zero: 1024.
	MaxPending int

	// Logger gets a line for each connection that was closed here, at most one
	// a minute for each reason and network. Nil: slog.Default.
	Logger *slog.Logger
}

const (
	defaultTimeout    = 3 * time.Second
	defaultMaxHeader  = 2048
	defaultMaxPending = 1024

	minMaxHeader = fixedV2 + 2*16 + 2*2
	maxMaxHeader = fixedV2 + 1<<16 - 1
)

// compile returns who is trusted, and cfg with its defaults filled in.
func compile(cfg Config) (hostport.Sources, Config, error) {
	var errs ConfigErrors
	from := compileFrom(&cfg, &errs)
	if cfg.Timeout < 0 {
		errs.Add("Timeout", cfg.Timeout.String(), "no header arrives before its connection", "leave it at zero for 3 s")
	}
	if cfg.MaxHeader != 0 && (cfg.MaxHeader < minMaxHeader || cfg.MaxHeader > maxMaxHeader) {
		errs.Add("MaxHeader", strconv.Itoa(cfg.MaxHeader), "ordinary headers are longer, or none is that long", "leave it at zero for 2048, or write 52 to 65551")
	}
	if cfg.MaxPending < 0 {
		errs.Add("MaxPending", strconv.Itoa(cfg.MaxPending), "no connection could be accepted", "leave it at zero for 1024")
	}
	if err := errs.Err(); err != nil {
		return hostport.Sources{}, Config{}, err
	}
	setDefault(&cfg.Timeout, defaultTimeout)
	setDefault(&cfg.MaxHeader, defaultMaxHeader)
	setDefault(&cfg.MaxPending, defaultMaxPending)
	return from, cfg, nil
}

func setDefault[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

// compileFrom keeps "any" from slipping in as one string among others: for a
// hop it is one claim among several, here it is the whole of the trust.
func compileFrom(cfg *Config, errs *ConfigErrors) hostport.Sources {
	if !cfg.DangerouslyAnyPeer {
		from := hostport.ParseFrom("From", cfg.From, errs)
		if i := slices.Index(cfg.From, hostport.Any); i >= 0 {
			errs.Add("From["+strconv.Itoa(i)+"]", hostport.Any, "everybody could say who the client is",
				"name the balancer's subnets, or set DangerouslyAnyPeer behind a security group")
		}
		return from
	}
	for i, text := range cfg.From {
		if text != hostport.Any {
			errs.Add("From["+strconv.Itoa(i)+"]", text, "DangerouslyAnyPeer trusts everybody, so the list would decide nothing",
				"remove one of the two")
		}
	}
	var none ConfigErrors
	return hostport.ParseFrom("From", []string{hostport.Any}, &none)
}
