package albtest

import (
	"net/netip"
	"strconv"
	"time"
)

// Entry is the record of one request, as AWS's access log has it, and what the
// access log leaves out: what was sent, what arrived, and why. Health checks
// have none.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
type Entry struct {
	Time     time.Time     // when the request began to arrive
	Duration time.Duration // until the last byte of the answer

	Type     string         // http, https, h2, grpcs, ws or wss
	Client   netip.AddrPort // who connected
	Listener int            // the port that it connected to
	Node     netip.Addr     // the node that took it

	Sent string // the head of the request as the client sent it; of HTTP/2, as HTTP/1.1 would write it
	Got  string // the head of the request as the target got it; empty if none did

	ELBStatusCode    Status // what the client was told
	TargetStatusCode Status // what the target said; NoStatus, printed "-": it never answered

	AnsweredBy Answerer // who made the answer
	Why        string   // why the answer is what it is, in one sentence

	Rule        int    // priority of the rule that matched; 0: the default action
	Action      string // forward, redirect, fixed-response; empty: the balancer's own checks answered before the rules
	RedirectURL string // where a redirect points to
	Group       string // the group that the rule forwards to
	Target      string // ip:port of the target picked; empty: none was

	ErrorReason    string // a short fixed word for errors of the balancer's own: "ConnectionRefused"
	TraceID        string // X-Amzn-Trace-Id as the target got it
	Classification string // Compliant, Acceptable, Ambiguous or Severe
	Classified     string // why, by AWS's word: "BothTeClPresent"; empty if compliant
}

// String prints the entry on one line.
func (e Entry) String() string {
	target := e.Target
	if target == "" {
		target = "-"
	}
	return e.Type + " " + e.Client.String() + " " + target +
		" elb_status_code=" + e.ELBStatusCode.String() +
		" target_status_code=" + e.TargetStatusCode.String() +
		" answered by " + string(e.AnsweredBy) + ": " + e.Why
}

// Status is the code of an answer.
type Status int

// NoStatus is the code where there was no answer.
const NoStatus Status = 0

// String returns the code, or "-" for NoStatus.
func (s Status) String() string {
	if s == NoStatus {
		return "-"
	}
	return strconv.Itoa(int(s))
}

// Answerer is who made an answer.
type Answerer string

const (
	// ByBalancer says that the balancer answered itself: a redirect, a fixed
	// response, or an error such as 502.
	ByBalancer Answerer = "balancer"
	// ByTarget says that the answer is the target's.
	ByTarget Answerer = "target"
	// ByNobody says that the client got no answer, since it had left (460).
	ByNobody Answerer = "nobody"
)
