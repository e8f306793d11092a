package proxy

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/knownhops/knownhops/internal/conferr"
	"github.com/knownhops/knownhops/internal/hostport"
)

// HealthCheck finds upstreams that do not work: actively with probes, if Path
// is set, and passively from failed exchanges. Numbers and names are those of
// an ALB target group; zero is the default named at each field.
type HealthCheck struct {
	// Path is asked for with GET, query included ("/healthz"). Empty: no active
	// check, and the five fields that follow must be empty, too. Only active
	// checks can leave a proxy without any upstream (503).
	Path               string
	Host               string        // Host of the probe; empty: the upstream's own
	Interval           time.Duration // from probe to probe: 30 s
	Timeout            time.Duration // of one probe; must be shorter than Interval: 5 s, or half of Interval if that is less
	HealthyThreshold   int           // passes in a row until it is used again: 5; the first probe decides alone, and until the first pass one is enough
	UnhealthyThreshold int           // failures in a row until it is not: 2
	Matcher            string        // statuses that pass: "200" (default), "200,204", "200-299"; redirects are not followed

	// Failures is how many exchanges in a row may fail until an upstream is left
	// out for EjectFor, growing with each repetition up to ten times: 3. Negative:
	// never. The last usable upstream is never left out this way.
	Failures int
	EjectFor time.Duration // 10 s

	// SlowStart is how long an upstream that comes back takes to get its full
	// share: 10 s; negative: at once.
	SlowStart time.Duration
}

// maxEjectFor keeps ten times EjectFor a duration.
const maxEjectFor = 24 * time.Hour

// checkConfig adds the mistakes of c and b to errs and fills the defaults in.
// The defaults of what is switched off stay away, so that the result is a valid
// configuration again.
func checkConfig(errs *conferr.Errors, c *HealthCheck, b Balance) {
	if b > ClientHash {
		errs.Add("Balance", fmt.Sprint(uint8(b)), "no such policy", "use RoundRobin, LeastRequests or ClientHash")
	}
	if c.Path == "" {
		c.checkUnused(errs)
	} else {
		c.checkProbe(errs)
	}
	c.checkPassive(errs)
}

// checkUnused refuses what no probe will ever read.
func (c *HealthCheck) checkUnused(errs *conferr.Errors) {
	for _, f := range []struct {
		field, value string
		set          bool
	}{
		{"Host", c.Host, c.Host != ""},
		{"Interval", c.Interval.String(), c.Interval != 0},
		{"Timeout", c.Timeout.String(), c.Timeout != 0},
		{"HealthyThreshold", fmt.Sprint(c.HealthyThreshold), c.HealthyThreshold != 0},
		{"UnhealthyThreshold", fmt.Sprint(c.UnhealthyThreshold), c.UnhealthyThreshold != 0},
		{"Matcher", c.Matcher, c.Matcher != ""},
	} {
		if f.set {
			errs.Add("Check."+f.field, f.value, "there is no active check without a path", `set Check.Path, like "/healthz", or remove this`)
		}
	}
}

func (c *HealthCheck) checkProbe(errs *conferr.Errors) {
	if reason := badPath(c.Path); reason != "" {
		errs.Add("Check.Path", c.Path, reason, `write a path like "/healthz"`)
	}
	if _, _, ok := hostport.ParseHost(c.Host); c.Host != "" && !ok {
		errs.Add("Check.Host", c.Host, "not a host name", `write a name like "www.example.com"`)
	}
	c.checkTimes(errs)
	threshold(errs, "Check.HealthyThreshold", &c.HealthyThreshold, 5)
	threshold(errs, "Check.UnhealthyThreshold", &c.UnhealthyThreshold, 2)
	if c.Matcher == "" {
		c.Matcher = "200"
	}
	if _, reason := parseMatcher(c.Matcher); reason != "" {
		errs.Add("Check.Matcher", c.Matcher, reason, `write it like "200", "200,204" or "200-299"`)
	}
}

func (c *HealthCheck) checkTimes(errs *conferr.Errors) {
	negative(errs, "Check.Interval", c.Interval)
	negative(errs, "Check.Timeout", c.Timeout)
	if c.Interval == 0 {
		c.Interval = 30 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = min(5*time.Second, c.Interval/2)
	}
	if c.Interval > 0 && c.Timeout >= c.Interval {
		errs.Add("Check.Timeout", c.Timeout.String(), "not shorter than Check.Interval, "+c.Interval.String(), "a probe must be over before the next one")
	}
}

func (c *HealthCheck) checkPassive(errs *conferr.Errors) {
	negative(errs, "Check.EjectFor", c.EjectFor)
	switch {
	case c.Failures < 0 && c.EjectFor > 0:
		errs.Add("Check.EjectFor", c.EjectFor.String(), "with Check.Failures below zero, no upstream is ever left out", "remove one of the two")
	case c.EjectFor > maxEjectFor:
		errs.Add("Check.EjectFor", c.EjectFor.String(), "longer than a day", "remove the upstream instead")
	}
	if c.Failures == 0 {
		c.Failures = 3
	}
	if c.Failures > 0 && c.EjectFor == 0 {
		c.EjectFor = 10 * time.Second
	}
	if c.SlowStart == 0 {
		c.SlowStart = 10 * time.Second
	}
}

func negative(errs *conferr.Errors, field string, d time.Duration) {
	if d < 0 {
		errs.Add(field, d.String(), "negative", "leave it out for the default")
	}
}

func threshold(errs *conferr.Errors, field string, n *int, byDefault int) {
	switch {
	case *n < 0:
		errs.Add(field, fmt.Sprint(*n), "negative", "leave it out for the default")
	case *n == 0:
		*n = byDefault
	}
}

// badPath says what is wrong with the path of a probe, "" if nothing.
func badPath(path string) string {
	switch {
	case path[0] != '/':
		return "does not begin with a slash"
	case strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return "holds a byte that must be percent-encoded"
	case strings.Contains(path, "#"):
		return "a fragment is never sent"
	}
	if _, err := url.ParseRequestURI(path); err != nil {
		return "not a path"
	}
	return ""
}
