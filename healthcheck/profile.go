package healthcheck

import "time"

// Defaults of the zero fields of a Profile.
const (
	defaultMargin     = 15 * time.Second
	defaultDirectIdle = 120 * time.Second
	defaultReadHeader = 10 * time.Second
	defaultStall      = 60 * time.Second
	defaultQuiet      = 5 * time.Second
	defaultWait       = 15 * time.Second
	defaultShutdown   = 8 * time.Second
	defaultThreshold  = 2
	directHeaderBytes = 64 << 10
)

// lastWord is what is left, whatever the wait was, for the balancer to act on the
// failing answer that it has just had.
const lastWord = time.Second

// leastShutdown is what [http.Server.Shutdown] needs where a connection was
// opened in advance and never used: it waits five seconds for such ones, so
// that a shorter deadline always ends in an error.
const leastShutdown = 6 * time.Second

// A Profile says what is in front of a server: how long it keeps connections,
// how it probes, and how long the platform waits between asking a process to
// end and killing it. [NewServer], [Configure], [Lint] and [Serve] derive the
// server's time-outs and the drain from it.
//
// It is plain, comparable data. The zero Profile is a server that its clients
// reach directly, like [Direct], without a kill budget. The presets return
// values to edit: one who changed the idle time-out of a load balancer writes
//
//	p := healthcheck.ALB()
//	p.Idle = 5 * time.Minute
type Profile struct {
	// Name is who is in front, for log lines and findings: "ALB". Empty: "balancer".
	Name string

	// Idle is how long it keeps a connection to this server on which nothing
	// moves. The server keeps them for Margin longer, so that it is never the
	// server that closes a connection into which the balancer is just writing
	// a request: such a request ends as a 502 that no log of the service
	// shows. Zero: nobody in front pools connections; the server's idle
	// time-out is 120 s.
	Idle time.Duration

	// Margin is how much longer than Idle the server keeps connections. Zero: 15 s.
	Margin time.Duration

	// ReadHeader is how long a request's header may take. It runs from the
	// opening of a connection, so it also ends those that a balancer opens in
	// advance. Zero: as long as the server's idle time-out if Idle is set,
	// and 10 s if not.
	ReadHeader time.Duration

	// Stall is how long a client may neither send a byte of a body that a
	// handler is reading nor take anything of an answer before it is cut off:
	// reading the body fails with [os.ErrDeadlineExceeded], or writing the
	// answer does, and the connection is closed afterwards, over HTTP/2 the
	// stream. A client that keeps moving may take as long as it likes, at
	// 64 KiB of an answer in that time, and so may a handler that does neither.
	// What a handler leaves of an HTTP/1 body, of which net/http reads up to
	// 256 KiB, has this time in all. Streams that are silent in both directions
	// for longer, as those of gRPC may be, need a deadline of their own.
	//
	// Such a deadline, set with [http.ResponseController], is in force in place
	// of this one in its direction to the end of the request; the zero time is
	// none. One that is set on what Unwrap returns is in force beside it.
	// Hijacked connections have none. It is [Serve] that looks after all this.
	//
	// Zero: none if Idle is set, since clients then keep the balancer waiting,
	// and 60 s if not. Negative: none.
	Stall time.Duration

	// ProbeInterval is the time between two probes of one prober, such as one
	// of the balancer's nodes. Zero: unknown, or nobody probes.
	ProbeInterval time.Duration

	// SharedAddress says that several probers reach this server from one address:
	// through NAT, or a Kubernetes NodePort that hides where connections come
	// from. They look like one that asks more often, so a drain waits at least
	// as long as each of them needs by ProbeInterval and UnhealthyThreshold.
	SharedAddress bool

	// UnhealthyThreshold is how many failing probes in a row take this server
	// out of rotation. Zero: 2.
	UnhealthyThreshold int

	// KillBudget is how long after SIGTERM the platform sends SIGKILL: ECS
	// stopTimeout, terminationGracePeriodSeconds, TimeoutStopSec. Zero:
	// unknown; nothing is checked against it.
	KillBudget time.Duration

	// MaxHeaderBytes limits the header of a request. Zero: 64 KiB.
	MaxHeaderBytes int

	// MaxResponseHeaderBytes is the longest response header that the balancer
	// takes; it answers 502 in place of a longer one. Zero: no limit is known.
	MaxResponseHeaderBytes int

	// H2C also serves HTTP/2 without TLS, for target groups whose protocol
	// version is HTTP2 or gRPC.
	H2C bool

	// Quiet is how long no request may have come before a drain believes that
	// none will, although connections are open. Zero: 5 s.
	Quiet time.Duration

	// Wait is the longest that a drain waits for the probers and for quiet
	// before it shuts the server down; for a second longer, if the probers had
	// their answers at the very end. Zero: 15 s.
	Wait time.Duration

	// Shutdown is the longest that requests in flight may take after that,
	// before their connections are closed. Less than 6 s is too short for
	// [http.Server.Shutdown], and taken for 6 s. Zero: 8 s.
	Shutdown time.Duration
}

// ALB is AWS's Application Load Balancer: 60 s idle time-out, response headers
// up to 32 K, request headers up to 64 K and what it adds. The target group
// probes every 10 s, as this package recommends; AWS's own default is 30 s,
// and two of those do not fit into the 30 s that ECS waits by default.
//
// Sources:
// docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html,
// docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html,
// docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html,
// docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html (stopTimeout)
func ALB() Profile {
	return Profile{
		Name: "ALB", Idle: 60 * time.Second,
		ProbeInterval: 10 * time.Second, UnhealthyThreshold: 2, KillBudget: 30 * time.Second,
		MaxHeaderBytes: 128 << 10, MaxResponseHeaderBytes: 32 << 10,
		Wait: 20 * time.Second,
	}
}

// NLB is AWS's Network Load Balancer, which passes connections: 350 s idle
// time-out for TCP. New connections keep coming for up to two minutes after a
// target was deregistered, hence the long wait, which Fargate, with at most
// 120 s, does not allow: there the health checks have to be fast.
//
// Sources:
// docs.aws.amazon.com/elasticloadbalancing/latest/network/network-load-balancers.html,
// docs.aws.amazon.com/elasticloadbalancing/latest/network/target-group-health-checks.html
func NLB() Profile {
	return Profile{
		Name: "NLB", Idle: 350 * time.Second,
		ProbeInterval: 10 * time.Second, UnhealthyThreshold: 2, KillBudget: 180 * time.Second,
		MaxHeaderBytes: 128 << 10,
		Wait:           150 * time.Second,
	}
}

// CLB is AWS's Classic Load Balancer, with 60 s idle time-out. It opens
// connections in advance, which a short ReadHeader would end.
//
// Sources:
// docs.aws.amazon.com/elasticloadbalancing/latest/classic/config-idle-timeout.html,
// docs.aws.amazon.com/elasticloadbalancing/latest/classic/elb-healthchecks.html
func CLB() Profile {
	p := ALB()
	p.Name, p.MaxResponseHeaderBytes = "CLB", 0
	return p
}

// GoogleCloud is Google's external Application Load Balancer. It keeps
// connections for 600 s, which cannot be changed, and asks for 620 s here.
//
// Sources:
// docs.cloud.google.com/load-balancing/docs/https/request-distribution,
// docs.cloud.google.com/load-balancing/docs/health-check-concepts
func GoogleCloud() Profile {
	return Profile{
		Name: "Google Cloud", Idle: 600 * time.Second, Margin: 20 * time.Second,
		ProbeInterval: 5 * time.Second, UnhealthyThreshold: 2, KillBudget: 30 * time.Second,
		MaxHeaderBytes: 128 << 10,
	}
}

// Cloudflare keeps connections to an origin for 900 s. It does not probe; the
// monitors of its load balancing do, every 60 s unless set otherwise: set
// ProbeInterval, Wait and KillBudget for those.
//
// Source: developers.cloudflare.com/fundamentals/reference/connection-limits
func Cloudflare() Profile {
	return Profile{
		Name: "Cloudflare", Idle: 900 * time.Second, UnhealthyThreshold: 2,
		KillBudget: 30 * time.Second, MaxHeaderBytes: 128 << 10,
	}
}

// CloudFront keeps connections to an origin for 5 s, and for up to 120 s where
// that was raised: the preset is right for both. It does not probe.
//
// Source:
// docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesOrigin.html
func CloudFront() Profile {
	return Profile{
		Name: "CloudFront", Idle: 120 * time.Second, UnhealthyThreshold: 2,
		KillBudget: 30 * time.Second, MaxHeaderBytes: 128 << 10,
	}
}

// Kubernetes is a pod behind an ingress controller that keeps connections for
// 60 s, as ingress-nginx does. The kubelet probes every 5 s as this package
// recommends (10 s is its default), and gives up after three failures; the
// grace period is 30 s by default, with the time that preStop takes in it.
//
// Source:
// kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes,
// kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/configmap
func Kubernetes() Profile {
	return Profile{
		Name: "Kubernetes", Idle: 60 * time.Second,
		ProbeInterval: 5 * time.Second, UnhealthyThreshold: 3, KillBudget: 30 * time.Second,
		MaxHeaderBytes: 128 << 10,
	}
}

// Direct is no balancer at all: clients connect to this server, so headers
// have 10 s and 64 KiB, idle connections are kept for 120 s, and clients that
// neither send nor take anything are cut off after 60 s.
func Direct() Profile {
	return Profile{
		Name: "direct", UnhealthyThreshold: 2, KillBudget: 30 * time.Second,
		ReadHeader: defaultReadHeader, Stall: defaultStall, MaxHeaderBytes: directHeaderBytes,
	}
}

// serverIdle is the server's idle time-out.
func (p Profile) serverIdle() time.Duration {
	if p.Idle <= 0 {
		return defaultDirectIdle
	}
	return p.Idle + orElse(p.Margin, defaultMargin)
}

// readHeader is the server's time-out for a request's header.
func (p Profile) readHeader() time.Duration {
	switch {
	case p.ReadHeader > 0:
		return p.ReadHeader
	case p.Idle > 0:
		return p.serverIdle()
	default:
		return defaultReadHeader
	}
}

// stall is how long a client may keep a handler waiting. Zero: for ever.
func (p Profile) stall() time.Duration {
	if p.Stall == 0 && p.Idle <= 0 {
		return defaultStall
	}
	return max(p.Stall, 0)
}

// unhealthyThreshold is how many failing probes take this server out.
func (p Profile) unhealthyThreshold() int { return orElse(p.UnhealthyThreshold, defaultThreshold) }

// maxHeaderBytes is the limit of a request's header.
func (p Profile) maxHeaderBytes() int { return orElse(p.MaxHeaderBytes, directHeaderBytes) }

// quiet is how long no request may have come.
func (p Profile) quiet() time.Duration { return orElse(p.Quiet, defaultQuiet) }

// wait is the cap of the wait for probers and quiet.
func (p Profile) wait() time.Duration { return orElse(p.Wait, defaultWait) }

// shutdown is the deadline of the shutdown, never shorter than leastShutdown.
func (p Profile) shutdown() time.Duration {
	return max(orElse(p.Shutdown, defaultShutdown), leastShutdown)
}

// takeOut is how long the probers need to take this server out of rotation: zero
// where nothing is known of them.
func (p Profile) takeOut() time.Duration {
	return p.ProbeInterval * time.Duration(p.unhealthyThreshold())
}

// name is who is in front, in a sentence.
func (p Profile) name() string {
	if p.Name == "" {
		return "balancer"
	}
	return p.Name
}

// orElse returns v if it is positive, and otherwise what stands for zero.
func orElse[N ~int | ~int64](v, otherwise N) N {
	if v > 0 {
		return v
	}
	return otherwise
}
