package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/internal/conferr"
)

const second = time.Second

func TestHealthCheckDefaults(t *testing.T) {
	for name, row := range map[string]struct{ in, out HealthCheck }{
		"nothing": {
			HealthCheck{},
			HealthCheck{Failures: 3, EjectFor: 10 * second, SlowStart: 10 * second},
		},
		"a path": {
			HealthCheck{Path: "/healthz"},
			HealthCheck{Path: "/healthz", Interval: 30 * second, Timeout: 5 * second, HealthyThreshold: 5, UnhealthyThreshold: 2,
				Matcher: "200", Failures: 3, EjectFor: 10 * second, SlowStart: 10 * second},
		},
		"a short interval": {
			HealthCheck{Path: "/?x=%20", Interval: 4 * second},
			HealthCheck{Path: "/?x=%20", Interval: 4 * second, Timeout: 2 * second, HealthyThreshold: 5, UnhealthyThreshold: 2,
				Matcher: "200", Failures: 3, EjectFor: 10 * second, SlowStart: 10 * second},
		},
		"off": {
			HealthCheck{Failures: -1, SlowStart: -1},
			HealthCheck{Failures: -1, SlowStart: -1},
		},
		"all set": {
			HealthCheck{"/", "[::1]:81", 3, 2, 1, 1, "200-599", 1, 1, 1},
			HealthCheck{"/", "[::1]:81", 3, 2, 1, 1, "200-599", 1, 1, 1},
		},
	} {
		got := row.in
		for range 2 { // what comes out is a valid configuration again
			var errs conferr.Errors
			checkConfig(&errs, &got, ClientHash)
			require.NoError(t, errs.Err(), name)
			assert.Equal(t, row.out, got, name)
		}
	}
}

func TestHealthCheckMistakes(t *testing.T) {
	for _, row := range []struct {
		c    HealthCheck
		want string
	}{
		{HealthCheck{Path: "healthz"}, `Check.Path: "healthz": does not begin with a slash; write a path like "/healthz"`},
		{HealthCheck{Path: "http://app/healthz"}, `Check.Path: "http://app/healthz": does not begin with a slash; write a path like "/healthz"`},
		{HealthCheck{Path: "/a b"}, `Check.Path: "/a b": holds a byte that must be percent-encoded; write a path like "/healthz"`},
		{HealthCheck{Path: "/ä"}, `Check.Path: "/ä": holds a byte that must be percent-encoded; write a path like "/healthz"`},
		{HealthCheck{Path: "/a#b"}, `Check.Path: "/a#b": a fragment is never sent; write a path like "/healthz"`},
		{HealthCheck{Path: "/%zz"}, `Check.Path: "/%zz": not a path; write a path like "/healthz"`},
		{HealthCheck{Path: "/", Host: "a/b"}, `Check.Host: "a/b": not a host name; write a name like "www.example.com"`},
		{HealthCheck{Path: "/", Interval: -1}, `Check.Interval: "-1ns": negative; leave it out for the default`},
		{HealthCheck{Path: "/", Timeout: -1}, `Check.Timeout: "-1ns": negative; leave it out for the default`},
		{HealthCheck{Path: "/", Timeout: 30 * second}, `Check.Timeout: "30s": not shorter than Check.Interval, 30s; a probe must be over before the next one`},
		{HealthCheck{Path: "/", HealthyThreshold: -1}, `Check.HealthyThreshold: "-1": negative; leave it out for the default`},
		{HealthCheck{Path: "/", UnhealthyThreshold: -1}, `Check.UnhealthyThreshold: "-1": negative; leave it out for the default`},
		{HealthCheck{Path: "/", Matcher: "2xx"}, `Check.Matcher: "2xx": not a list of statuses from 200 to 599; write it like "200", "200,204" or "200-299"`},
		{HealthCheck{EjectFor: -1}, `Check.EjectFor: "-1ns": negative; leave it out for the default`},
		{HealthCheck{EjectFor: 25 * time.Hour}, `Check.EjectFor: "25h0m0s": longer than a day; remove the upstream instead`},
		{HealthCheck{Failures: -1, EjectFor: 1}, `Check.EjectFor: "1ns": with Check.Failures below zero, no upstream is ever left out; remove one of the two`},
		{HealthCheck{Host: "a"}, `Check.Host: "a": there is no active check without a path; set Check.Path, like "/healthz", or remove this`},
	} {
		var errs conferr.Errors
		checkConfig(&errs, &row.c, RoundRobin)
		assert.EqualError(t, errs.Err(), row.want)
	}
}

func TestHealthCheckMistakesTogether(t *testing.T) {
	var errs conferr.Errors
	checkConfig(&errs, &HealthCheck{Host: "a", Interval: 1, Timeout: 1, HealthyThreshold: 1, UnhealthyThreshold: 1, Matcher: "x", EjectFor: -1}, ClientHash+1)
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
	}
	assert.Equal(t, []string{"Balance", "Check.Host", "Check.Interval", "Check.Timeout", "Check.HealthyThreshold",
		"Check.UnhealthyThreshold", "Check.Matcher", "Check.EjectFor"}, fields)
}
