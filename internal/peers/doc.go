// Package peers holds no code: its tests run this module's packages against programs that it does not contain.
//
// Real nginx, HAProxy, Apache httpd and Caddy stand in front of a server that uses package forwarded, alone and two in
// a row, while a client forges whatever those proxies are known to pass on. Nothing here asks what a proxy ought to do:
// the address, scheme and host that the client really used are known to the test, and what the server believes must be
// that or nothing. Other tests and benchmarks compare the answers and the cost of package forwarded with those of the
// libraries and servers that solve the same problem.
//
// It is a module of its own so that the dependencies of these tests reach nobody who uses the library. A peer that is
// not installed is left out, and the test says which; with PEERS=required in the environment it fails instead. The
// tests with real proxies need Linux, where every address of 127.0.0.0/8 can be used without any set-up.
package peers
