package albtest

import (
	"fmt"
	"net/netip"
	"strings"
)

func (r *Rule) check(field string, l *Listener, c *Config, errs *ConfigErrors) {
	values, stars := 0, 0
	for i, condition := range r.Conditions {
		at := fmt.Sprintf("%s.Conditions[%d]", field, i)
		if condition == nil {
			errs.add(at, nil, "there is none", "take it out")
			continue
		}
		condition.check(at, errs)
		values += len(condition.words())
		for _, value := range condition.words() {
			stars += strings.Count(value, "*") + strings.Count(value, "?")
		}
	}
	if len(r.Conditions) == 0 {
		errs.add(field+".Conditions", nil, "a rule without conditions is the default action", "set Listener.Default instead")
	}
	if values > 5 || stars > 5 {
		errs.add(field+".Conditions", fmt.Sprintf("%d values, %d wildcards", values, stars), "a rule has five values and five wildcards at most", "make two rules of it")
	}
	if r.Action == nil {
		errs.add(field+".Action", nil, "there is none", "set ForwardTo, a Redirect or a FixedResponse")
		return
	}
	r.Action.check(field+".Action", l, c, errs)
}

// checkValues refuses conditions with nothing in them, and values that are too
// long.
func checkValues(field string, values []string, errs *ConfigErrors) {
	if len(values) == 0 {
		errs.add(field, nil, "a condition without values", "add one, or take the condition out")
	}
	for _, value := range values {
		if value == "" || len(value) > 128 {
			errs.add(field, value, "a value has 1 to 128 characters", "")
		}
	}
}

func (c HostHeader) check(field string, errs *ConfigErrors) {
	checkValues(field, c, errs)
	for _, value := range c {
		if _, port := splitPort(value); port != "" || !strings.Contains(value, ".") {
			errs.add(field, value, "not a host as AWS takes it", "write a name with a dot and without a port")
		}
	}
}

func (c PathPattern) check(field string, errs *ConfigErrors) { checkValues(field, c, errs) }

func (c HTTPHeader) check(field string, errs *ConfigErrors) {
	checkValues(field+".Values", c.Values, errs)
	if !isToken(c.Name) || len(c.Name) > 40 || strings.EqualFold(c.Name, "Host") {
		errs.add(field+".Name", c.Name, "not a header for a rule", "use a name of at most 40 characters; Host has HostHeader")
	}
}

func (c RequestMethod) check(field string, errs *ConfigErrors) {
	checkValues(field, c, errs)
	for _, value := range c {
		if !isToken(value) || len(value) > 40 {
			errs.add(field, value, "not a method", "it has no wildcards")
		}
	}
}

func (c QueryString) check(field string, errs *ConfigErrors) {
	if len(c) == 0 {
		errs.add(field, nil, "a condition without values", "add one, or take the condition out")
	}
	for i, pair := range c {
		if pair.Value == "" {
			errs.add(fmt.Sprintf("%s[%d].Value", field, i), nil, "it is required", `use "*" for any`)
		}
	}
}

func (c SourceIP) check(field string, errs *ConfigErrors) {
	checkValues(field, c, errs)
	for _, value := range c {
		if _, err := netip.ParsePrefix(value); err != nil {
			errs.add(field, value, "not a network", "write it like 192.0.2.0/24")
		}
	}
}
