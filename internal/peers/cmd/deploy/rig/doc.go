// Package rig restarts two instances of a service, each a process of its own, behind a real balancer and under load,
// and counts the requests that fail. Program deploy and the tests of module peers use it.
//
// A deploy is one on the machine itself: SIGTERM, and nobody tells the balancer. It learns from its own health checks,
// or not at all. Everything listens on 127.0.0.1 only, and nothing is left when Run returns.
package rig
