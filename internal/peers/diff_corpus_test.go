//go:build linux

package peers

import "strings"

// Everybody in the differential tests trusts these networks, and every request comes from 127.0.0.1. Peers take them
// as one flat set; this module is given one hop with all of them for each element that they cover.
var diffTrust = []string{"127.0.0.1/32", "::1/128", "10.0.0.0/8", "fd00::/8"}

const (
	diffPeerAddr = "127.0.0.1:5555" // where requests come from
	diffHost     = "orig.example"   // their Host
	diffNone     = "none"           // nobody, or nothing, was found
)

// The headers under test.
const (
	xff     = "X-Forwarded-For"
	xfp     = "X-Forwarded-Proto"
	xfh     = "X-Forwarded-Host"
	rfc7239 = "Forwarded"
)

// A diffCase is one header as an application receives it, and what this module must answer.
type diffCase struct {
	header string
	lines  []string // in the order of arrival
	hops   int      // how many hops are declared, each with all of diffTrust
	want   string   // our answer: address, scheme, host, or (Forwarded) address and scheme
	reason string   // why it is not known; empty: it is

	// Why a peer may answer something else. An input on which everybody must agree has none, except for the peers
	// that believe the leftmost entry of anybody.
	why      string
	leftmost string // for those peers, where it differs from why
}

// input is the case in one line, as the ledger writes it.
func (c diffCase) input() string {
	text := strings.ReplaceAll(strings.Join(c.lines, " ⏎ "), "\t", `\t`)
	if text == "" {
		return "(empty)"
	}
	return text
}

const leftmostWins = "the peer takes the leftmost entry, which the client wrote"

// agreement holds the inputs on which all walkers answer the same. They are well-formed chains.
var agreement = []diffCase{
	{header: xff, lines: []string{"203.0.113.7"}, hops: 1, want: "203.0.113.7"},
	{header: xff, lines: []string{"1.2.3.4, 203.0.113.7"}, hops: 1, want: "203.0.113.7", leftmost: leftmostWins},
	{header: xff, lines: []string{"1.2.3.4", "203.0.113.7"}, hops: 1, want: "203.0.113.7", leftmost: leftmostWins},
	{header: xff, lines: []string{"203.0.113.7, 10.0.0.5"}, hops: 2, want: "203.0.113.7"},
	{header: xff, lines: []string{"203.0.113.7 , 10.0.0.5"}, hops: 2, want: "203.0.113.7",
		leftmost: "the peer does not trim the blank before the comma"},
	{header: xff, lines: []string{"203.0.113.7", "10.0.0.5"}, hops: 2, want: "203.0.113.7"},
	{header: xff, lines: []string{"203.0.113.7, 10.0.0.5", "10.0.0.6"}, hops: 3, want: "203.0.113.7"},
	{header: xff, lines: []string{"1.2.3.4, 203.0.113.7, 10.0.0.5, fd00::5"}, hops: 3, want: "203.0.113.7",
		leftmost: leftmostWins},
	{header: xff, lines: []string{"2001:db8::7"}, hops: 1, want: "2001:db8::7"},
	{header: xff, lines: []string{"2001:db8::7:4711"}, hops: 1, want: "2001:db8::7:4711"},
	{header: xff, lines: []string{"2001:db8::7, fd00::5"}, hops: 2, want: "2001:db8::7"},
}

const (
	boundedHops  = "one hop is declared, so its entry is the client: what that client typed is never read"
	notAnAddress = "the entry that a declared hop wrote is not an address, and nothing to the left of it is believed"
	portsAllowed = "an address with a port is an address"
	oneValue     = "a hop that sets the header leaves exactly one value"
	notAHost     = "the value is not a host name, so the request's own Host counts"
	wellFormed   = "an element that a declared hop wrote must be well-formed"
)

// disagreement holds the inputs on which peers answer differently, from us or from each other.
var disagreement = []diffCase{
	{header: xff, lines: []string{"6.6.6.6, 10.9.9.9"}, hops: 1, want: "10.9.9.9", why: boundedHops},
	{header: xff, lines: []string{"10.0.0.9, 10.0.0.5"}, hops: 2, want: "10.0.0.9",
		why: "the hops are used up, so the next entry is the client although peers trust its network"},
	{header: xff, lines: []string{"10.0.0.9, 10.0.0.5"}, hops: 3, want: diffNone, reason: "mismatch",
		why: "three hops are declared and only two wrote: a hop is never the client"},
	{header: xff, lines: []string{""}, hops: 1, want: diffNone, reason: "mismatch",
		why: "the hop named nobody, and a hop is never the client"},
	{header: xff, lines: []string{"garbage"}, hops: 1, want: diffNone, reason: "malformed", why: notAnAddress},
	{header: xff, lines: []string{"1.2.3.4, garbage"}, hops: 1, want: diffNone, reason: "malformed", why: notAnAddress},
	{header: xff, lines: []string{"1.2.3.4, garbage, 10.0.0.5"}, hops: 2, want: diffNone, reason: "malformed",
		why: notAnAddress},
	{header: xff, lines: []string{"1.2.3.4", "garbage", "10.0.0.5"}, hops: 2, want: diffNone, reason: "malformed",
		why: notAnAddress},
	{header: xff, lines: []string{"203.0.113.7:4711"}, hops: 1, want: "203.0.113.7", why: portsAllowed},
	{header: xff, lines: []string{"[2001:db8::7]:4711"}, hops: 1, want: "2001:db8::7", why: portsAllowed},
	{header: xff, lines: []string{"[2001:db8::7]"}, hops: 1, want: "2001:db8::7",
		why: "an address in brackets is an address"},
	{header: xff, lines: []string{"fe80::1%eth0"}, hops: 1, want: "fe80::1",
		why: "a zone means something only on the machine that wrote it, so it is dropped"},
	{header: xff, lines: []string{"::ffff:203.0.113.7"}, hops: 1, want: "203.0.113.7",
		why: "a mapped address is handed out as the IPv4 address it stands for"},
	{header: xff, lines: []string{"1.2.3.4, ::ffff:10.0.0.5"}, hops: 2, want: "1.2.3.4",
		why: "a mapped address is the IPv4 address it stands for, and that is declared"},
	{header: xff, lines: []string{"1.2.3.4, unknown"}, hops: 1, want: diffNone, reason: "obfuscated",
		why: "the hop says that it does not know the client, and nothing to the left of it is believed"},
	{header: xff, lines: []string{"1.2.3.4, , 10.0.0.5"}, hops: 2, want: "1.2.3.4",
		why: "a few empty items are legal and mean nothing", leftmost: leftmostWins},
	{header: xff, lines: []string{",203.0.113.7,"}, hops: 1, want: "203.0.113.7",
		why: "a few empty items are legal and mean nothing"},
	{header: xff, lines: []string{"203.0.113.7,10.0.0.5,"}, hops: 2, want: "203.0.113.7",
		why: "a few empty items are legal and mean nothing", leftmost: "the peer splits at comma and blank only"},
	{header: xff, lines: []string{"203.0.113.007"}, hops: 1, want: diffNone, reason: "malformed",
		why: "leading zeros are ambiguous: some programs read them as octal"},
	{header: xff, lines: []string{`"203.0.113.7"`}, hops: 1, want: diffNone, reason: "malformed",
		why: "this header knows no quotes"},
	{header: xff, lines: []string{"203.0.113.7\t,\t10.0.0.5"}, hops: 2, want: "203.0.113.7",
		why: "a tab is optional whitespace as much as a blank is"},
	{header: xff, lines: []string{"203.0.113.7 10.0.0.5"}, hops: 1, want: diffNone, reason: "malformed",
		why: "a blank separates nothing"},
	{header: xff, lines: []string{"0.0.0.0"}, hops: 1, want: diffNone, reason: "malformed",
		why: "the unspecified address is nobody's"},
	{header: xff, lines: []string{"203.0.113.7:99999"}, hops: 1, want: diffNone, reason: "malformed",
		why: "there is no such port"},
	{header: xff, lines: []string{"1.2.3.4, fd00::5%eth0"}, hops: 2, want: "1.2.3.4",
		why: "a zone is dropped before the address is compared with a range"},
	{header: xff, lines: []string{"1.2.3.4, 10.0.0.5:8080"}, hops: 2, want: "1.2.3.4", why: portsAllowed},

	{header: rfc7239, lines: []string{"for=192.0.2.60;proto=http;by=203.0.113.43"}, hops: 1, want: "192.0.2.60 http"},
	{header: rfc7239, lines: []string{`for="[2001:db8:cafe::17]:4711"`}, hops: 1, want: "2001:db8:cafe::17 none",
		leftmost: "the peer keeps the brackets and the port"},
	{header: rfc7239, lines: []string{"for=192.0.2.43, for=198.51.100.17"}, hops: 1, want: "198.51.100.17 none",
		leftmost: leftmostWins},
	{header: rfc7239, lines: []string{`for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown`}, hops: 1,
		want: "unknown none", reason: "obfuscated", leftmost: leftmostWins},
	{header: rfc7239, lines: []string{"for=_hidden, for=_SEVKISEK"}, hops: 1, want: "_SEVKISEK none", reason: "obfuscated",
		leftmost: leftmostWins},
	{header: rfc7239, lines: []string{`for="192.0.2.43:47011"`}, hops: 1, want: "192.0.2.43 none",
		leftmost: "the peer keeps the port"},
	{header: rfc7239, lines: []string{"for=192.0.2.43:47011"}, hops: 1, want: diffNone, reason: "malformed",
		why: wellFormed},
	{header: rfc7239, lines: []string{"for=[2001:db8::1]"}, hops: 1, want: diffNone, reason: "malformed", why: wellFormed},
	{header: rfc7239, lines: []string{`for="192.0.2.43;proto=https"`}, hops: 1, want: diffNone, reason: "malformed",
		why: "the quoted value is not an address"},
	{header: rfc7239, lines: []string{`for="192.0.2.43, for=198.51.100.1"`}, hops: 1, want: diffNone, reason: "malformed",
		why: "the quoted value is not an address"},
	{header: rfc7239, lines: []string{`for="192.0.2.4\3"`}, hops: 1, want: "192.0.2.43 none",
		leftmost: "the peer keeps the backslash"},
	{header: rfc7239, lines: []string{"for=192.0.2.43;for=198.51.100.17"}, hops: 1, want: diffNone, reason: "malformed",
		why: "a parameter may be there once in an element"},
	{header: rfc7239, lines: []string{"for=192.0.2.43; proto=https"}, hops: 1, want: "192.0.2.43 https"},
	{header: rfc7239, lines: []string{"for = 192.0.2.43"}, hops: 1, want: diffNone, reason: "malformed", why: wellFormed},
	{header: rfc7239, lines: []string{"for=192.0.2.43;;proto=https"}, hops: 1, want: "192.0.2.43 https",
		why: "the grammar allows empty parameters"},
	{header: rfc7239, lines: []string{"for=192.0.2.43,,for=198.51.100.17"}, hops: 1, want: "198.51.100.17 none",
		why: "a few empty elements are legal and mean nothing", leftmost: leftmostWins},
	{header: rfc7239, lines: []string{"proto=https;for=192.0.2.43;ext=1"}, hops: 1, want: "192.0.2.43 https"},
	{header: rfc7239, lines: []string{"FOR=192.0.2.43;PROTO=HTTPS"}, hops: 1, want: "192.0.2.43 https"},
	{header: rfc7239, lines: []string{`for="192.0.2.43`}, hops: 1, want: diffNone, reason: "malformed", why: wellFormed},
	{header: rfc7239, lines: []string{`for="192.0.2.43"x`}, hops: 1, want: diffNone, reason: "malformed", why: wellFormed},
	{header: rfc7239, lines: []string{"for=192.0.2.43;proto=https, for=10.0.0.5;proto=http"}, hops: 2,
		want: "192.0.2.43 https"},
	{header: rfc7239, lines: []string{"for=6.6.6.6;proto=https, for=203.0.113.7;proto=http"}, hops: 1,
		want: "203.0.113.7 http", leftmost: leftmostWins},
	{header: rfc7239, lines: []string{`for="[::ffff:192.0.2.43]"`}, hops: 1, want: "192.0.2.43 none",
		leftmost: "the peer keeps the brackets and the mapped form"},
	{header: rfc7239, lines: []string{"proto=https"}, hops: 1, want: diffNone, reason: "malformed",
		why: "an element without for is a hop that named nobody"},
	{header: rfc7239, lines: []string{"for=1.2.3.4, proto=https"}, hops: 1, want: diffNone, reason: "malformed",
		why: "an element without for is a hop that named nobody"},
	{header: rfc7239, lines: []string{"for=192.0.2.43;proto=https;proto=http"}, hops: 1, want: diffNone,
		reason: "malformed", why: "a parameter may be there once in an element"},
	{header: rfc7239, lines: []string{`for="1.2.3.4, for=203.0.113.7`}, hops: 1, want: "203.0.113.7 none",
		why: "nothing to the left, an open quote included, changes what the declared hop wrote"},
	{header: rfc7239, lines: []string{`for="1.2.3.4`, "for=203.0.113.7"}, hops: 1, want: "203.0.113.7 none",
		why: "a quoted string never spans lines"},

	{header: xfp, lines: []string{"https"}, hops: 1, want: "https"},
	{header: xfp, lines: []string{"HTTPS"}, hops: 1, want: "https", why: "schemes compare without regard to case"},
	{header: xfp, lines: []string{"http, https"}, hops: 1, want: diffNone, reason: "mismatch", why: oneValue},
	{header: xfp, lines: []string{"https, http"}, hops: 1, want: diffNone, reason: "mismatch", why: oneValue},
	{header: xfp, lines: []string{"https,https"}, hops: 1, want: diffNone, reason: "mismatch", why: oneValue},
	{header: xfp, lines: []string{"http", "https"}, hops: 1, want: diffNone, reason: "mismatch", why: oneValue},
	{header: xfp, lines: []string{"https", "http"}, hops: 1, want: diffNone, reason: "mismatch", why: oneValue},
	{header: xfp, lines: []string{"javascript"}, hops: 1, want: diffNone, reason: "bad_proto",
		why: "only http and https are schemes here"},
	{header: xfp, lines: []string{""}, hops: 1, want: diffNone, reason: "mismatch",
		why: "the hop did not say, and unknown is not http"},
	{header: xfp, lines: []string{"wss"}, hops: 1, want: "https", why: "a WebSocket over TLS came over https"},
	{header: xfp, lines: []string{"ws"}, hops: 1, want: "http", why: "a WebSocket without TLS came over http"},
	{header: xfp, lines: []string{"on"}, hops: 1, want: diffNone, reason: "bad_proto",
		why: "only http and https are schemes here"},
	{header: xfp, lines: []string{"https;x"}, hops: 1, want: diffNone, reason: "bad_proto",
		why: "only http and https are schemes here"},

	{header: xfh, lines: []string{"a.example"}, hops: 1, want: "a.example"},
	{header: xfh, lines: []string{"a.example, b.example"}, hops: 1, want: diffHost, reason: "bad_host", why: oneValue},
	{header: xfh, lines: []string{"a.example", "b.example"}, hops: 1, want: diffHost, reason: "bad_host", why: oneValue},
	{header: xfh, lines: []string{"a.example:8443"}, hops: 1, want: "a.example", why: "the port is not part of the name"},
	{header: xfh, lines: []string{"evil.example/path"}, hops: 1, want: diffHost, reason: "bad_host", why: notAHost},
	{header: xfh, lines: []string{"user@evil.example"}, hops: 1, want: diffHost, reason: "bad_host", why: notAHost},
	{header: xfh, lines: []string{""}, hops: 1, want: diffHost, reason: "bad_host"},
	{header: xfh, lines: []string{"a b"}, hops: 1, want: diffHost, reason: "bad_host", why: notAHost},
	{header: xfh, lines: []string{"a.example:99999"}, hops: 1, want: diffHost, reason: "bad_host", why: notAHost},
	{header: xfh, lines: []string{`a.example\@b`}, hops: 1, want: diffHost, reason: "bad_host", why: notAHost},
	{header: xfh, lines: []string{"A.Example."}, hops: 1, want: "a.example",
		why: "names are lower case and carry no dot at the end"},
	{header: xfh, lines: []string{"a..example"}, hops: 1, want: diffHost, reason: "bad_host", why: notAHost},
	{header: xfh, lines: []string{":8443"}, hops: 1, want: diffHost, reason: "bad_host", why: notAHost},
}

// diffCases is the whole corpus, in the order of the ledger.
func diffCases() []diffCase {
	return append(append([]diffCase(nil), agreement...), disagreement...)
}
