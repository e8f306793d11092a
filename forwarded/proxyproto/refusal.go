package proxyproto

import "log/slog"

// A refusal is why a trusted sender's connection was closed.
type refusal uint8

const (
	noHeader refusal = iota + 1 // the bytes are no header
	silent                      // not one byte in time
	slow                        // not the whole header in time
	evicted                     // silent for longest when the slots were full
	left                        // gone without a byte
	cut                         // gone in the middle of the header
	tooLong
	badLine
	badVersion
	badCommand
	badFamily
	badLength
	badTLV
	badSSL
	badChecksum
)

// refusals are what an operator reads: a stable word, a sentence and what to do.
var refusals = [...]struct{ word, text, fix string }{
	noHeader: {"no_header", "a trusted sender sent no PROXY header",
		"switch the PROXY protocol on at the balancer, or remove its address from From"},
	silent: {"silent", "a trusted sender sent nothing",
		"switch the PROXY protocol on at the balancer, or remove its address from From"},
	slow: {"slow", "a trusted sender did not finish its PROXY header in time",
		"look for lost packets on the way, or raise Timeout"},
	evicted: {"evicted", "a trusted sender made room for a new one before it had sent its PROXY header",
		"find out who opens so many connections, or raise MaxPending"},
	left: {"left", "a trusted sender came and went without a word",
		"nothing: health checks on the TCP level look like this"},
	cut: {"cut", "a trusted sender left in the middle of its PROXY header",
		"look for what ends connections on the way"},
	tooLong: {"too_long", "a PROXY header is longer than permitted",
		"if the balancer is to send so much, raise MaxHeader"},
	badLine: {"bad_line", "a PROXY header of version 1 is malformed",
		"find out what sent it: balancers do not write such lines"},
	badVersion: {"bad_version", "a PROXY header is of an unknown version",
		"let the balancer send version 1 or 2"},
	badCommand: {"bad_command", "a PROXY header has an unknown command",
		"find out what sent it: there are only LOCAL and PROXY"},
	badFamily: {"bad_family", "a PROXY header has an unknown address family",
		"find out what sent it: there are only IPv4, IPv6 and UNIX, over stream or datagram"},
	badLength: {"bad_length", "a PROXY header is too short for its addresses",
		"find out what sent it: balancers do not write such headers"},
	badTLV: {"bad_tlv", "a PROXY header has an extension that is cut short or said twice",
		"find out what sent it: balancers do not write such headers"},
	badSSL: {"bad_ssl", "the TLS extension of a PROXY header is malformed",
		"find out what sent it: balancers do not write such headers"},
	badChecksum: {"bad_checksum", "a PROXY header's checksum does not match",
		"find out what changes bytes on the way"},
}

// Error is the sentence that the log shows.
func (r refusal) Error() string { return refusals[r].text }

// level keeps the checks of balancers, which connect and leave every few
// seconds, out of ordinary logs.
func (r refusal) level() slog.Level {
	if r == left {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}
