package proxy

import (
	"fmt"
	"net/http"
	"time"

	"github.com/knownhops/knownhops/internal/conferr"
)

// check fills the defaults in and returns the upstreams, or every mistake.
func (c *Config) check() ([]*upstream, error) {
	var errs conferr.Errors
	ups := parseUpstreams(&errs, c.Upstreams)
	c.Headers.check(&errs)
	checkConfig(&errs, &c.Check, c.Balance)
	c.Retry.check(&errs)
	c.Retry.fill()
	c.Timeouts.fill()
	c.Limits.check(&errs)
	c.Limits.fill()
	orDefault(&c.Errors.RetryAfter, 5*time.Second)
	c.checkTransport(&errs, ups)
	return ups, errs.Err()
}

// checkTransport finds upstreams that somebody else's transport cannot reach.
func (c *Config) checkTransport(errs *conferr.Errors, ups []*upstream) {
	if c.Transport == nil {
		c.Transport = NewTransport(TransportConfig{Timeouts: c.Timeouts, Limits: c.Limits})
	}
	if _, ours := c.Transport.(*transport); ours {
		return
	}
	for _, up := range ups {
		if up.scheme == "h2c" || up.network == "unix" {
			errs.Add("Transport", fmt.Sprintf("%T", c.Transport), "is not this package's, so it cannot be told to reach "+up.name,
				"give it a plain http upstream and let it dial as it must, or use NewTransport")
		}
	}
}

func (h *Headers) check(errs *conferr.Errors) {
	lists := map[string]bool{"Headers.For": true, "Headers.Forwarded": true}
	for _, f := range []struct {
		field string
		mode  Mode
	}{
		{"Headers.For", h.For}, {"Headers.Proto", h.Proto}, {"Headers.Host", h.Host}, {"Headers.Port", h.Port}, {"Headers.Prefix", h.Prefix},
		{"Headers.Forwarded", h.Forwarded}, {"Headers.RealIP", h.RealIP},
	} {
		switch {
		case f.mode > Remove:
			errs.Add(f.field, fmt.Sprint(uint8(f.mode)), "is no mode", "use Auto, Set, Append, Preserve or Remove")
		case f.mode == Append && !lists[f.field]:
			errs.Add(f.field, "Append", "this header has one value, and a list in it is read differently by everybody", "use Set")
		}
	}
	if h.Via != "" && h.Via != "-" && !isToken(h.Via) {
		errs.Add("Headers.Via", h.Via, "is no pseudonym (RFC 9110 §7.6.3)", `use letters, digits and "-", like "edge-1"`)
	}
	if h.Via == "" {
		h.Via = pseudonym()
	}
	for i, name := range h.Keep {
		field := fmt.Sprintf("Headers.Keep[%d]", i)
		switch {
		case !isToken(name):
			errs.Add(field, name, "is no header name", `write it as "X-Forwarded-User"`)
		case notInTrailer[http.CanonicalHeaderKey(name)]:
			errs.Add(field, name, "is not of the forwarding family, so it is passed on or removed by other rules", "leave it out")
		}
	}
	h.Keep = canonicalNames(h.Keep)
}

func canonicalNames(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = http.CanonicalHeaderKey(name)
	}
	return out
}

func (r *Retry) check(errs *conferr.Errors) {
	if r.Attempts < 0 || r.Attempts > 10 {
		errs.Add("Retry.Attempts", fmt.Sprint(r.Attempts), "is not between 1 and 10", "use 1 for none, 2 for one retry")
	}
	if !(r.Budget >= 0 && r.Budget <= 1) {
		errs.Add("Retry.Budget", fmt.Sprint(r.Budget), "is not between 0 and 1", "use 0.2 for one retry in five requests")
	}
	if r.Burst < 0 {
		errs.Add("Retry.Burst", fmt.Sprint(r.Burst), "is negative", "use Attempts: 1 for no retries")
	}
	if r.MaxBody < -1 || r.MaxBody > 16<<20 {
		errs.Add("Retry.MaxBody", fmt.Sprint(r.MaxBody), "is more than 16 MiB, or negative", "use -1 to keep no body")
	}
}

func (l *Limits) check(errs *conferr.Errors) {
	if l.ResponseHeader > 0 && l.ResponseHeader < 256 {
		errs.Add("Limits.ResponseHeader", fmt.Sprint(l.ResponseHeader), "is less than any answer needs", "use at least 256 bytes, or 0 for the default")
	}
	if l.IdleConns < 0 {
		errs.Add("Limits.IdleConns", fmt.Sprint(l.IdleConns), "is negative", "use 1 for as few as possible")
	}
	if l.InFlight < 0 {
		errs.Add("Limits.InFlight", fmt.Sprint(l.InFlight), "is negative", "use 0 for no limit")
	}
}
