// Package forwardedtest is a conformance kit for code that reads forwarding
// headers: a collection of requests, each with the topology it came through and
// the only answer that is right for it, and [Run], which puts them to an
// implementation.
//
// The vectors are plain text files under testdata, so that an implementation in
// another language can read them too. testdata/README.md describes the format,
// the decision table that the rules cite and the grammar of the hops.
//
// # Running the vectors
//
// A [Resolver] turns one [Vector] into the answer of the implementation under
// test. It builds a request from the vector, configures the hops, and reports
// what came out:
//
//	func TestConformance(t *testing.T) {
//		forwardedtest.Run(t, func(v forwardedtest.Vector) (forwardedtest.Want, error) {
//			hops, err := forwarded.ParseHops(v.Hops)
//			…
//		})
//	}
//
// Every vector is a subtest named "file/vector", so that -run can pick one. An
// implementation that cannot express some of them (no presets, say) ranges over
// [Vectors] instead and leaves those out.
//
// # The file format
//
// A file is ASCII text. Lines that begin with # are comments; a blank line ends
// a vector. All others are "key: value":
//
//	vector: client-port
//	rule: An address may carry a port (value grammar; ALB's client port option).
//	hops: trusted=127.0.0.1
//	remote: 127.0.0.1:5555
//	tls: yes
//	host: www.example.com
//	header: X-Forwarded-For: 203.0.113.7:4711
//	want-client: 203.0.113.7
//	want-host: www.example.com
//	want-reason: forwarded
//	want-hops: 1
//
// The keys vector, rule, remote and want-reason must be there; header may come
// more than once and its order counts; every other key comes at most once. A
// missing want-client, want-scheme or want-host means that it is unknown, a
// missing want-port or want-hops means 0.
//
// In the values of remote, host and header these escapes are understood:
//
//	\\  \"  \{          the character itself
//	\t                  a tab
//	\xHH                the byte HH
//	{repeat N "text"}   the text, N times; the text may hold escapes
//
// # What is not here
//
// A vector says what a plain net/http request can say. Peers on a unix socket,
// PROXY headers, path prefixes and client certificates are left to the tests of
// the implementation itself.
package forwardedtest
