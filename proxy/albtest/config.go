package albtest

import "net/netip"

// Config is a whole balancer: its listeners, its target groups and where its
// ends appear to be. It is plain data; New copies what it needs, so a Config
// may be changed and used again afterwards.
//
// The zero value has no target group and is refused. With exactly one target
// group and no listeners, Config means what NewServer builds: listener 443
// forwards to the group and listener 80 redirects to it.
type Config struct {
	// Attributes are the balancer's. Zero: AWS's defaults.
	Attributes Attributes

	// Listeners accept the clients. Empty: 443 and 80, as said above; that
	// needs exactly one target group.
	Listeners []Listener

	// TargetGroups are what the rules forward to, by name.
	TargetGroups map[string]TargetGroup

	// ClientAddr is who the clients of Server.Client appear to be, and on
	// loopback also every program that is not of this package, such as curl.
	// Zero: 203.0.113.10, an address kept for documentation (RFC 5737).
	ClientAddr netip.Addr

	// Nodes are the balancer's own addresses, as its targets see them; each
	// node probes each target. Empty: one node in each of Subnets.
	Nodes []netip.Addr

	// InMemory replaces loopback TCP by pairs of net.Conn in memory. No
	// goroutine waits for the operating system then, so that the server runs
	// in a testing/synctest bubble, where a deregistration delay of 300 s
	// takes no time. Targets are handlers, and nothing outside this program
	// reaches the listeners.
	InMemory bool

	// NoWait makes New return before the targets had their first health check.
	// Until a target had one, its state is initial and it gets no request.
	NoWait bool

	// Unknowns decide what AWS leaves undocumented. Zero: the likeliest.
	Unknowns Unknowns
}

// DefaultHost is the name in Server.HTTPURL and Server.HTTPSURL. Every other
// name reaches the balancer as well.
const DefaultHost = "www.example.com"

// Subnets returns the networks that the default nodes are in, for the service
// under test to believe: nothing else connects from there. It is constant, so
// that a handler can be built before the balancer in front of it.
func Subnets() []string { return []string{"10.0.0.0/24", "10.0.1.0/24"} }
