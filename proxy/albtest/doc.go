// Package albtest is an AWS Application Load Balancer in a test, as
// net/http/httptest is a server in a test.
//
// NewServer puts a handler behind it, and the client that it hands out reaches
// the balancer under any host name:
//
//	srv := albtest.NewServer(t, app)
//	resp, err := srv.Client().Get(srv.HTTPSURL + "/")
//	for _, e := range srv.Log() {
//		t.Log(e) // who answered, and why
//	}
//
// Start takes a whole Config: listeners with rules, target groups, attributes
// by AWS's names. New does so for programs. Server.TargetGroup registers and
// deregisters targets, kills them and tells their health; Server.Direct goes past
// the balancer as an attacker may; Server.Fault makes things go wrong.
//
// Audit sends a service what any service behind a balancer has to bear, from
// forged headers to health checks, and says what to change in it.
//
// # What is emulated
//
// The parts of a real balancer that a service can depend on: what becomes of
// each header, the limits and the codes of the balancer's own answers with
// their bytes, desync mitigation, rules, redirects, health checks with their
// states and reasons, fail-open, deregistration, slow start, pooled connections
// to targets, HTTP/2 on both sides, gRPC and WebSockets. It follows AWS's
// documentation and what was seen of real balancers; where neither says
// anything, Unknowns has a switch. Not there: authentication actions, Lambda
// targets, WAF, stickiness, transforms.
//
// It is no model of how to write a proxy. A real balancer passes every header
// that it has no opinion about, X-Forwarded-Host and Forwarded included, and so
// does this one: a service that believes too much is to be caught.
//
// # Addresses
//
// Every end has an address that the other end sees, also on loopback. Clients
// are Config.ClientAddr, or whatever ClientFrom is given; nodes are in Subnets, so
// that a service can believe those and nobody else; targets and Direct are outside.
// Listeners are on ports 80, 443 and so on for the clients of the server. On
// loopback other programs reach them too, at Server.Addr.
//
// # Time
//
// With Config.InMemory the server runs in a testing/synctest bubble, and a
// test of a health check interval or of a deregistration delay takes no time.
package albtest
