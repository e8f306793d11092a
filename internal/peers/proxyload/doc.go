// Package proxyload is the two ends between which a proxy is measured: a backend that answers a few fixed paths, and a
// load of keep-alive connections that asks for them one request after the other on each connection and looks at every
// answer.
//
// The load writes prepared bytes and reads no more of an answer than it must in order to know that it is right, so that
// what is left of the machine is the proxy's.
package proxyload
