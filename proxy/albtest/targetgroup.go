package albtest

import (
	"net/http"
	"net/netip"
	"time"
)

// TargetGroup is a set of targets that do the same work, with AWS's settings.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html
type TargetGroup struct {
	// Targets are registered from the start. Others come and go through
	// Server.TargetGroup. Without any, the balancer answers 503.
	Targets []Target

	// Protocol is what the targets speak. Zero: HTTP. The certificate of an
	// HTTPS target is not verified.
	Protocol Protocol

	// ProtocolVersion is the version of HTTP they speak. Zero: HTTP1. With
	// HTTP2 and GRPC, clients need an HTTPS listener, and those who speak
	// HTTP/1.1 get 464.
	ProtocolVersion ProtocolVersion

	// Port is where targets without a port of their own listen. Zero: 80, or
	// 443 with protocol HTTPS.
	Port int

	// HealthCheck says when a target is healthy. Zero: AWS's defaults.
	HealthCheck HealthCheck

	// DeregistrationDelay is how long requests in flight may last after a
	// target was deregistered (deregistration_delay.timeout_seconds), up to
	// 3600 s. Zero: 300 s. NoDelay: they are cut off at once.
	DeregistrationDelay time.Duration

	// SlowStart is how long a target that became healthy gets less than its
	// share (slow_start.duration_seconds), 30 to 900 s. Zero: it does not.
	SlowStart time.Duration

	// Algorithm picks the target (load_balancing.algorithm.type). Zero: RoundRobin.
	Algorithm Algorithm

	// MinimumHealthyTargets is how many targets must be healthy; with fewer,
	// requests go to the unhealthy ones as well
	// (target_group_health.unhealthy_state_routing.minimum_healthy_targets.count).
	// Zero: 1.
	MinimumHealthyTargets int

	// Stragglers is how many requests a target still gets after it was
	// deregistered. AWS documents none; seen in practice are those of several
	// seconds, since the nodes learn of it one after another. Zero: none.
	Stragglers int
}

// NoDelay is a TargetGroup.DeregistrationDelay of 0 s.
const NoDelay time.Duration = -1

// Target is one instance of the service: a Handler, the Addr of something that
// runs already, or Absent. Exactly one of the three is set.
type Target struct {
	// Handler is served by a net/http server of its own, on an emulated
	// address: RemoteAddr of its requests is a node's.
	Handler http.Handler

	// Addr is the host:port where something listens, such as a real nginx. Its
	// peer is this program, from whatever address the operating system gives.
	Addr string

	// Absent is a machine on whose port nobody listens: connections are
	// refused.
	Absent bool

	// IP is the address of a Handler or of an absent machine, what its Host
	// header is in health checks. Zero: one outside Subnets.
	IP netip.Addr

	// Port is where it listens. Zero: TargetGroup.Port.
	Port int

	// Configure changes the server of a Handler before it starts, for example
	// its IdleTimeout. Nil: the server has no time-outs, and logs the handler's
	// own mistakes only.
	Configure func(*http.Server)
}

// Protocol is HTTP or HTTPS.
type Protocol uint8

const (
	// HTTP is without TLS.
	HTTP Protocol = iota
	// HTTPS is with TLS.
	HTTPS
)

// String returns AWS's word for the protocol.
func (p Protocol) String() string { return word(p, "HTTP", "HTTPS") }

// ProtocolVersion is the version of HTTP that the targets of a group speak.
type ProtocolVersion uint8

const (
	// HTTP1 is HTTP/1.1, whatever the clients speak.
	HTTP1 ProtocolVersion = iota
	// HTTP2 is HTTP/2: with prior knowledge on HTTP targets.
	HTTP2
	// GRPC is HTTP/2 and takes POST only.
	GRPC
)

// String returns AWS's word for the version.
func (v ProtocolVersion) String() string { return word(v, "HTTP1", "HTTP2", "GRPC") }

// Algorithm is how a group picks the target of a request.
type Algorithm uint8

const (
	// RoundRobin takes them in turn.
	RoundRobin Algorithm = iota
	// LeastOutstandingRequests takes the one with the fewest requests in
	// flight. It is not permitted together with SlowStart.
	LeastOutstandingRequests
)

// String returns AWS's word for the algorithm.
func (a Algorithm) String() string { return word(a, "round_robin", "least_outstanding_requests") }

// HealthCheck is how the nodes find out whether a target works. Each node asks
// each target on its own.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
type HealthCheck struct {
	// Protocol is what the check speaks, whatever the group does
	// (HealthCheckProtocol). Zero: HTTP.
	Protocol Protocol

	// Port is where it connects to (HealthCheckPort). Zero: traffic-port, the
	// target's own.
	Port int

	// Path may have a query (HealthCheckPath). Empty: "/", and with GRPC
	// "/AWS.ALB/healthcheck".
	Path string

	// Interval is the time from one check to the next, 5 to 300 s
	// (HealthCheckIntervalSeconds). Zero: 30 s.
	Interval time.Duration

	// Timeout is how long one check may take, 2 to 120 s and less than
	// Interval (HealthCheckTimeoutSeconds). Zero: 5 s.
	Timeout time.Duration

	// HealthyThreshold is how many checks in a row must pass before an
	// unhealthy target is healthy, 2 to 10 (HealthyThresholdCount). Zero: 5. A
	// target that was just registered needs one only.
	HealthyThreshold int

	// UnhealthyThreshold is how many checks in a row must fail before a target
	// is unhealthy, 2 to 10 (UnhealthyThresholdCount). Zero: 2.
	UnhealthyThreshold int

	// Matcher is which status codes pass, 200 to 499: "200", "200,202",
	// "200-299". With GRPC, which grpc-status codes, 0 to 99. Empty: "200",
	// and with GRPC "12".
	Matcher string
}
