package albtest

import (
	"fmt"
	"net"
	"strings"
	"time"
)

func (g *TargetGroup) checkGroup(field string, c *Config, errs *ConfigErrors) {
	for i, t := range g.Targets {
		t.check(fmt.Sprintf("%s.Targets[%d]", field, i), c, errs)
	}
	if g.Protocol > HTTPS || g.ProtocolVersion > GRPC || g.Algorithm > LeastOutstandingRequests {
		errs.add(field, nil, "Protocol, ProtocolVersion or Algorithm is none of the constants", "use those")
	}
	if g.Port < 0 || g.Port > 65535 {
		errs.add(field+".Port", g.Port, "not a port", "choose 1 to 65535")
	}
	if g.DeregistrationDelay != NoDelay {
		errs.within(field+".DeregistrationDelay", g.DeregistrationDelay, 0, time.Hour)
	}
	if g.SlowStart != 0 {
		errs.within(field+".SlowStart", g.SlowStart, 30*time.Second, 900*time.Second)
		if g.Algorithm == LeastOutstandingRequests {
			errs.add(field+".SlowStart", g.SlowStart, "least_outstanding_requests has no slow start", "take one of the two out")
		}
	}
	if g.Stragglers < 0 || g.MinimumHealthyTargets < 0 {
		errs.add(field, nil, "Stragglers or MinimumHealthyTargets is negative", "")
	}
	g.HealthCheck.checkSettings(field+".HealthCheck", g.ProtocolVersion, errs)
}

func (h HealthCheck) checkSettings(field string, v ProtocolVersion, errs *ConfigErrors) {
	full := h.withDefaults(v)
	errs.within(field+".Interval", full.Interval, 5*time.Second, 300*time.Second)
	errs.within(field+".Timeout", full.Timeout, 2*time.Second, 120*time.Second)
	if full.Timeout >= full.Interval {
		errs.add(field+".Timeout", full.Timeout, "not less than the interval", "raise Interval or lower Timeout")
	}
	checkThreshold(field+".HealthyThreshold", full.HealthyThreshold, errs)
	checkThreshold(field+".UnhealthyThreshold", full.UnhealthyThreshold, errs)
	if !strings.HasPrefix(full.Path, "/") || strings.ContainsAny(full.Path, " \r\n") {
		errs.add(field+".Path", h.Path, "not a path", "begin with a slash")
	}
	if h.Port < 0 || h.Port > 65535 {
		errs.add(field+".Port", h.Port, "not a port", "choose 1 to 65535; 0 is traffic-port")
	}
	if h.Protocol > HTTPS {
		errs.add(field+".Protocol", int(h.Protocol), "no such protocol", "use HTTP or HTTPS")
	}
	if _, err := full.matcher(v); err != nil {
		errs.add(field+".Matcher", h.Matcher, err.Error(), "")
	}
}

func checkThreshold(field string, n int, errs *ConfigErrors) {
	if n < 2 || n > 10 {
		errs.add(field, n, "out of AWS's range", "choose 2 to 10")
	}
}

func (t *Target) check(field string, c *Config, errs *ConfigErrors) {
	kinds := 0
	for _, set := range []bool{t.Handler != nil, t.Addr != "", t.Absent} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		errs.add(field, nil, fmt.Sprintf("%d of Handler, Addr and Absent are set", kinds), "set exactly one")
	}
	if t.Addr != "" && c.InMemory {
		errs.add(field+".Addr", t.Addr, "the network in memory has no real addresses", "use a Handler, or loopback")
	}
	if _, _, err := net.SplitHostPort(t.Addr); t.Addr != "" && err != nil {
		errs.add(field+".Addr", t.Addr, "not an address", "write it like 127.0.0.1:8080")
	}
	if t.Port < 0 || t.Port > 65535 {
		errs.add(field+".Port", t.Port, "not a port", "choose 1 to 65535; 0 is the group's")
	}
}
