package proxyproto

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/knownhops/knownhops/internal/hostport"
)

// Section 2.1 of the specification: version 1 is one line of text.
const (
	startV1    = "PROXY "
	shortestV1 = len("PROXY UNKNOWN\r\n")
	longestV1  = 107 // with two IPv6 addresses in full and the end of the line
)

// missingV1 is missing for a line that begins with 'P'.
func missingV1(b []byte, limit int) (int, error) {
	if n := min(len(b), len(startV1)); string(b[:n]) != startV1[:n] {
		return 0, noHeader
	}
	limit = min(limit, longestV1)
	switch end := bytes.IndexAny(b, "\r\n"); {
	case end >= 0 && end == len(b)-2 && b[end] == '\r' && b[end+1] == '\n':
		return 0, nil
	case end >= 0 && (end != len(b)-1 || b[end] != '\r'):
		return 0, badLine // an end of line that is none: what follows it may be anything
	case len(b) >= limit:
		return 0, tooLong
	case end >= 0:
		return 1, nil
	}
	n, err := missingFields(b)
	if err != nil {
		return 0, err
	}
	return min(max(n, shortestV1-len(b)), limit-len(b)), nil
}

// missingFields counts what a line without its end lacks at least: a space and
// a byte for each field, and the end of the line.
func missingFields(b []byte) (int, error) {
	rest := b[min(len(b), len(startV1)):]
	switch {
	case begins(rest, "UNKNOWN"):
		return 2, nil
	case !begins(rest, "TCP4 ") && !begins(rest, "TCP6 "):
		return 0, badLine
	}
	spaces := bytes.Count(b, []byte{' '})
	if spaces > 5 {
		return 0, badLine
	}
	n := 2*(5-spaces) + 2
	if b[len(b)-1] == ' ' {
		n++
	}
	return n, nil
}

// begins reports whether b begins with start, as far as either goes.
func begins(b []byte, start string) bool {
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

// parseV1 reads a line that missingV1 found complete.
func parseV1(b []byte) (Header, error) {
	line := string(b[len(startV1) : len(b)-2])
	protocol, rest, more := strings.Cut(line, " ")
	switch {
	case protocol == "UNKNOWN":
		return Header{Version: 1}, nil // whatever follows is to be ignored
	case !more || protocol != "TCP4" && protocol != "TCP6":
		return Header{}, badLine
	}
	source, rest, _ := strings.Cut(rest, " ")
	destination, rest, _ := strings.Cut(rest, " ")
	sourcePort, destinationPort, _ := strings.Cut(rest, " ")
	h := Header{Version: 1, Network: "tcp"}
	var ok1, ok2 bool
	h.Source, ok1 = addrPortV1(protocol, source, sourcePort)
	h.Destination, ok2 = addrPortV1(protocol, destination, destinationPort)
	if !ok1 || !ok2 {
		return Header{}, badLine
	}
	return h, nil
}

// addrPortV1 reads an address of the family that the line announced, and its
// port. Prohibited: zones, brackets and leading zeros. Port 0 is legal here and
// means that none is known.
func addrPortV1(protocol, text, portText string) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || addr.Is4() != (protocol == "TCP4") {
		return netip.AddrPort{}, false
	}
	port, ok := hostport.ParsePort(portText)
	ok = ok && portText[0] != '0' || portText == "0"
	return netip.AddrPortFrom(addr.Unmap(), port), ok
}
