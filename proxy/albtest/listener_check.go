package albtest

import (
	"fmt"
	"strings"
)

func (l *Listener) check(field string, c *Config, errs *ConfigErrors) {
	if l.Port < 1 || l.Port > 65535 {
		errs.add(field+".Port", l.Port, "not a port", "choose 1 to 65535")
	}
	if l.TLS != nil {
		l.TLS.check(field+".TLS", errs)
	}
	priorities := make(map[int]bool)
	for i, r := range l.Rules {
		at := fmt.Sprintf("%s.Rules[%d]", field, i)
		if r.Priority < 1 || r.Priority > 50000 || priorities[r.Priority] {
			errs.add(at+".Priority", r.Priority, "not a priority of its own", "choose 1 to 50000, each once")
		}
		priorities[r.Priority] = true
		r.check(at, l, c, errs)
	}
	if l.Default == nil {
		errs.add(field+".Default", nil, "there is no default action", "set ForwardTo, a Redirect or a FixedResponse")
	} else {
		l.Default.check(field+".Default", l, c, errs)
	}
	l.Attributes.check(field+".Attributes", errs)
}

func (a *ListenerAttributes) check(field string, errs *ConfigErrors) {
	for _, name := range sortedKeys(a.ResponseHeaders) {
		if !isToken(name) || strings.ContainsAny(a.ResponseHeaders[name], "\r\n\x00") {
			errs.add(field+".ResponseHeaders", name, "not a header", "use a name and one line")
		}
	}
	for _, name := range sortedKeys(a.RenameHeaders) {
		renamed := strings.HasPrefix(strings.ToLower(name), "x-amzn-mtls-clientcert") || strings.HasPrefix(strings.ToLower(name), "x-amzn-tls-")
		if !renamed || !isToken(a.RenameHeaders[name]) {
			errs.add(field+".RenameHeaders", name, "AWS renames X-Amzn-Mtls-Clientcert… and X-Amzn-Tls-… only, and to a header name", "take the others out")
		}
	}
}

func (t *TLS) check(field string, errs *ConfigErrors) {
	switch {
	case t.MutualAuthentication > Verify:
		errs.add(field+".MutualAuthentication", int(t.MutualAuthentication), "no such mode", "use Off, Passthrough or Verify")
	case t.MutualAuthentication == Verify && t.TrustStore == nil:
		errs.add(field+".TrustStore", nil, "Verify has nobody to trust", "set the authorities of the clients' certificates")
	case t.MutualAuthentication != Verify && t.TrustStore != nil:
		errs.add(field+".TrustStore", nil, "nothing is verified", "set MutualAuthentication to Verify, or take it out")
	}
}
