package albtest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (f Forward) check(field string, l *Listener, c *Config, errs *ConfigErrors) {
	if len(f) == 0 || len(f) > 5 {
		errs.add(field, len(f), "a rule forwards to one to five groups", "")
	}
	for i, g := range f {
		at := fmt.Sprintf("%s[%d]", field, i)
		group, ok := c.TargetGroups[g.Group]
		if !ok {
			errs.add(at+".Group", g.Group, "there is no such target group", fmt.Sprintf("there are %q", sortedKeys(c.TargetGroups)))
		}
		if g.Weight < 0 || g.Weight > 999 {
			errs.add(at+".Weight", g.Weight, "out of AWS's range", "choose 0 to 999")
		}
		if ok && group.ProtocolVersion != HTTP1 && l.TLS == nil {
			errs.add(at+".Group", g.Group, "a group with protocol version "+group.ProtocolVersion.String()+" needs an HTTPS listener", "set Listener.TLS")
		}
	}
}

func (r Redirect) check(field string, l *Listener, _ *Config, errs *ConfigErrors) {
	if !slices.Contains([]string{"", "HTTP", "HTTPS", "#{protocol}"}, r.Protocol) {
		errs.add(field+".Protocol", r.Protocol, "not a protocol", "use HTTP, HTTPS or #{protocol}")
	}
	if r.Protocol == "HTTP" && l.TLS != nil {
		errs.add(field+".Protocol", r.Protocol, "an HTTPS listener cannot redirect to HTTP", "")
	}
	if n, err := strconv.Atoi(r.Port); r.Port != "" && r.Port != "#{port}" && (err != nil || n < 1 || n > 65535) {
		errs.add(field+".Port", r.Port, "not a port", "use 1 to 65535 or #{port}")
	}
	if r.Path != "" && !strings.HasPrefix(r.Path, "/") {
		errs.add(field+".Path", r.Path, "it does not begin with a slash", "")
	}
	if strings.HasPrefix(r.Query, "?") {
		errs.add(field+".Query", r.Query, "the question mark is added anyway", "leave it out")
	}
	if r.StatusCode != 0 && r.StatusCode != http.StatusMovedPermanently && r.StatusCode != http.StatusFound {
		errs.add(field+".StatusCode", r.StatusCode, "not a code that ALB redirects with", "use 301 or 302")
	}
	if or(r.Protocol, "#{protocol}") == "#{protocol}" && or(r.Port, "#{port}") == "#{port}" &&
		or(r.Host, "#{host}") == "#{host}" && or(r.Path, "/#{path}") == "/#{path}" {
		errs.add(field, nil, "it redirects to itself", "change the protocol, the port, the host or the path")
	}
}

func (f FixedResponse) check(field string, _ *Listener, _ *Config, errs *ConfigErrors) {
	if class := f.StatusCode / 100; class != 2 && class != 4 && class != 5 {
		errs.add(field+".StatusCode", f.StatusCode, "not a code of a fixed response", "use 2xx, 4xx or 5xx")
	}
	types := []string{"", "text/plain", "text/css", "text/html", "application/javascript", "application/json"}
	if !slices.Contains(types, f.ContentType) {
		errs.add(field+".ContentType", f.ContentType, "not a type of a fixed response", "use one of "+strings.Join(types[1:], ", "))
	}
	if len(f.MessageBody) > 1024 {
		errs.add(field+".MessageBody", fmt.Sprintf("%d bytes", len(f.MessageBody)), "longer than 1024 bytes", "")
	}
}
