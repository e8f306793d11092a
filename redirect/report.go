package redirect

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
)

// A Report is what Probe saw. Without a Problem, visitors end up at https of
// the canonical host, and this process knows that it is https.
type Report struct {
	Steps   []Step
	Problem string // "": none
	Fix     string // what to change, in one sentence
}

// OK reports whether a request was sent and there is no problem.
func (r Report) OK() bool { return len(r.Steps) > 0 && r.Problem == "" }

// String is the way of the requests, a line each, and the verdict.
func (r Report) String() string {
	var b strings.Builder
	for _, s := range r.Steps {
		fmt.Fprintln(&b, s)
	}
	if r.OK() {
		b.WriteString("ok")
		return b.String()
	}
	fmt.Fprintf(&b, "problem: %s", cmp.Or(r.Problem, "nothing was asked"))
	if r.Fix != "" {
		fmt.Fprintf(&b, "\nfix: %s", r.Fix)
	}
	return b.String()
}

// A Step is one request of Probe and its answer.
type Step struct {
	URL      string
	Status   int            // 0: there was no answer
	Location string         // of a redirect
	Err      error          // why there was no answer
	Arrived  bool           // at this Enforcer; if not, somebody in front answered, or another process
	Info     forwarded.Info // of a request that arrived
	Decision Decision       // about it
}

// String is the step in one line.
func (s Step) String() string {
	line := fmt.Sprintf("%s -> %d", s.URL, s.Status)
	switch {
	case s.Err != nil:
		return fmt.Sprintf("%s -> %v", s.URL, s.Err)
	case s.Location != "":
		line += " " + shown(redacted(s.Location))
	}
	if !s.Arrived {
		return line + " (not by this process)"
	}
	return fmt.Sprintf("%s (arrived as %s through %d hops: %s)", line, s.Info.Scheme, s.Info.Hops, s.Decision.Reason)
}

// problem says what is wrong with a step, if anything; cause is the fix for
// https that arrived as http.
func (s *Step) problem(u *url.URL, cause string) (problem, fix string) {
	https := u.Scheme == "https"
	switch {
	case s.Err != nil:
		return s.silence()
	case !s.Arrived && s.Location != "":
		return "", "" // a redirect by a balancer in front is as good
	case !s.Arrived:
		return fmt.Sprintf("%s was answered with %d, and not by this process", s.URL, s.Status),
			"if several processes serve this host, ask again or ask one; otherwise a proxy in front answers: see its log"
	case https && s.Info.Scheme == forwarded.HTTP && s.Decision.Action == Redirect:
		return s.URL + " arrived as http: visitors would be redirected for ever", cause
	case https && s.Info.Scheme == forwarded.HTTP:
		return fmt.Sprintf("%s arrived as http: %s", s.URL, s.Decision.Reason), cause
	case https && s.Info.Scheme == forwarded.SchemeUnknown, s.Decision.Action == Refuse, s.Decision.Reason == ReasonNoProof:
		return fmt.Sprintf("%s arrived, but: %s %s", s.URL, s.Decision.Reason, s.Info.SchemeReason), s.Decision.Fix
	case !https && s.Info.Scheme == forwarded.HTTPS:
		return s.URL + " arrived as https: http is not redirected", "a proxy writes https whatever the client used: have it write its own scheme"
	case !https && s.Decision.Reason == ReasonUnknownScheme:
		return s.URL + " arrived, and nobody knows the scheme: http is not redirected", s.Decision.Fix
	case s.Decision.Action == Pass && s.Decision.Reason != ReasonPassedHTTPS:
		return fmt.Sprintf("%s is served as it is (%s): http is not redirected", s.URL, s.Decision.Reason), "ask for another path, or leave this one out of Exempt"
	}
	return "", ""
}

// redacted leaves out what may be a password.
func redacted(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "(no URL)"
	}
	return u.Redacted()
}

// silence is about a request that nobody answered.
func (s *Step) silence() (problem, fix string) {
	problem = fmt.Sprintf("%s was not answered: %v", s.URL, s.Err)
	if invalid := new(tls.CertificateVerificationError); errors.As(s.Err, &invalid) {
		return problem, "whoever ends TLS needs a valid certificate for this host"
	}
	return problem, "see that the name leads to the balancer or to this process, and that somebody listens there"
}
