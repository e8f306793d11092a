package albtest

import (
	"crypto/tls"
	"net/netip"
)

// setting is how a balancer of the audit is set up.
type setting uint8

const (
	usual    setting = iota // AWS's defaults; both listeners forward
	port8080                // the target listens on another port than the clients use
	preservingXFF
	removingXFF
	clientPort
	appendingToLast
	keepingAndAdding
	preservingHost
)

// auditClient is who the clients of an audit are, unless a row says otherwise.
var auditClient = netip.MustParseAddr("203.0.113.10")

// config is the balancer's. It has one node, so that the answers of a service
// that takes its peer for the client can be compared.
func (s setting) config(a *audit) Config {
	c := Config{
		InMemory: true,
		Nodes:    []netip.Addr{netip.MustParsePrefix(Subnets()[0]).Addr().Next()},
		Listeners: []Listener{
			{Port: 443, TLS: &TLS{}, Default: ForwardTo(DefaultGroup)},
			{Port: 80, Default: ForwardTo(DefaultGroup)},
		},
	}
	group := TargetGroup{
		Targets:     []Target{{Handler: a.app, IP: netip.MustParseAddr(firstMachine)}},
		HealthCheck: HealthCheck{Path: a.spec.HealthPath},
	}
	switch s {
	case port8080:
		group.Port = 8080
	case preservingXFF:
		c.Attributes.XFFHeaderProcessing = Preserve
	case removingXFF:
		c.Attributes.XFFHeaderProcessing = Remove
	case clientPort:
		c.Attributes.XFFClientPort = true
	case appendingToLast:
		c.Unknowns.SeveralXFF = AppendToLast
	case keepingAndAdding:
		c.Unknowns.SeveralXFF = KeepAndAdd
	case preservingHost:
		c.Attributes.PreserveHostHeader = true
	}
	c.TargetGroups = map[string]TargetGroup{DefaultGroup: group}
	return c
}

// server starts the balancer with a setting, once. A target that fails its
// health checks is asked nevertheless, since there is no other.
func (a *audit) server(s setting) (*Server, error) {
	if started := a.servers[s]; started != nil {
		return started, nil
	}
	started, err := New(s.config(a))
	if err == nil {
		a.servers[s], a.sessions[s] = started, tls.NewLRUClientSessionCache(1)
	}
	return started, err
}
