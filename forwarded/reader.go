package forwarded

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/knownhops/knownhops/internal/hostport"
)

// A reader reads one request's headers for the walk, and remembers what it saw
// on the way.
type reader struct {
	header http.Header

	more  bool // something stands left of what was consumed
	long  bool // a header that a hop replaces has more entries than it should
	noFor bool // the reason is a For entry that is not there at all

	spoke       bool // a hop spoke for itself: speaker
	speakerPort uint16
	speaker     netip.Addr

	entries forCursor
	entry   entry   // the last one read
	elem    element // the last one read of Forwarded, whose parameters say more than the entry
}

// forCursor remembers how far the current For header was read: hops that use
// the same header continue where the one before stopped.
type forCursor struct {
	header string
	list   list
	count  int // elements read

	noAddress int // an element of this length has been tried: to try again would cost again
}

func (in *reader) lines(rd *reading) []string { return in.header[rd.header] }

// soleAddress is what most requests need of all that follows: a header whose
// only line is one address.
func (in *reader) soleAddress(n *node) (addr netip.Addr, port uint16, ok bool) {
	rd := &n.read[kindFor]
	if !rd.readable() {
		return netip.Addr{}, 0, false
	}
	line := rd.whole(in.lines(rd))
	in.entries.noAddress = 0
	if addr, port, ok = hostport.ParseIPv4(line); ok {
		return addr, port, !addr.IsUnspecified()
	}
	if line == "" || strings.IndexByte(line, ',') >= 0 {
		return netip.Addr{}, 0, false
	}
	if addr, port, ok = parseAddress(line); !ok {
		in.entries.noAddress = len(line)
	}
	return addr, port, ok
}

// readFor reads what hop n wrote about who connected to it. first says that no
// HTTP hop is further in: only then can a hop that wrote nothing at all be
// speaking for itself.
func (in *reader) readFor(n *node, first bool) {
	rd := &n.read[kindFor]
	lines := in.lines(rd)
	switch {
	case first && len(lines) == 0 && len(n.writes) > 0 && !n.wrote(in.header):
		in.entry = entry{reason: ReasonLocal}
	case !rd.readable():
		in.entry = entry{reason: ReasonNotVisible}
	case len(lines) == 0:
		in.entry, in.noFor = entry{reason: ReasonMismatch}, true
	default:
		in.readEntry(n, rd, lines)
	}
}

// wrote reports whether any header is there in which the hop leaves a value.
func (n *node) wrote(h http.Header) bool {
	for _, name := range n.writes {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// readEntry goes on in the header to the hop's position.
func (in *reader) readEntry(n *node, rd *reading, lines []string) {
	c := &in.entries
	if c.header != rd.header {
		in.more = in.leftovers()
		c.header, c.count = rd.header, 0
		c.list.start(rd.header, lines)
	}
	for c.count <= rd.pos {
		before := c.count
		selfOK := !rd.self || c.count == rd.pos && in.entry.reason == 0 && n.self.Has(in.entry.addr)
		c.next(&in.entry, &in.elem)
		switch {
		case c.count == before:
			in.noFor = in.entry.reason == ReasonMismatch
			return
		case c.count > rd.pos && !selfOK:
			in.entry = entry{reason: ReasonMismatch}
			return
		}
	}
	if rd.exact && in.tooMany(c.list) {
		in.entry = entry{reason: ReasonMismatch}
	}
}

// leftovers reports whether any list holds more than what was consumed.
func (in *reader) leftovers() bool {
	return in.more || in.entries.header != "" && in.entries.list.more()
}

// next reads and parses the element to the left. One that is not there, or too
// long, is not counted.
func (c *forCursor) next(e *entry, elem *element) {
	item, reason := c.list.prev()
	if reason != 0 {
		*e = entry{reason: reason}
		return
	}
	c.count++
	if !c.list.quoted {
		parseEntry(item, len(item) != c.noAddress, e)
		return
	}
	var ok bool
	if *elem, ok = parseElement(item); !ok || !elem.hasFor {
		*e = entry{reason: ReasonMalformed}
		return
	}
	parseNode(elem.node, e)
}

// tooMany reports whether anything but empty elements stands left of what was
// read, and remembers it.
func (in *reader) tooMany(rest list) bool {
	if !rest.more() {
		return false
	}
	_, reason := rest.prev()
	in.long = in.long || reason != ReasonMismatch
	return reason != ReasonMismatch
}

// whole returns the header's only line where the hop's word can be all of it.
// It may still be a list: what parses as one value is none.
func (rd *reading) whole(lines []string) string {
	if len(lines) != 1 || !rd.single {
		return ""
	}
	return lines[0]
}

// value reads what a hop wrote of one kind. The Reason is
// ReasonSchemeMissing if there is no such header or parameter.
func (in *reader) value(rd *reading, k kind, lines []string) (string, Reason) {
	if len(lines) == 0 {
		return "", ReasonSchemeMissing
	}
	if rd.header == rfc7239 {
		return in.parameter(rd, k, lines)
	}
	l := newList(rd.header, lines)
	text, reason := "", Reason(0)
	for range rd.pos + 1 {
		if text, reason = l.prev(); reason != 0 {
			return "", reason
		}
	}
	in.more = in.more || l.more()
	if rd.exact && in.tooMany(l) {
		return "", ReasonMismatch
	}
	return text, 0
}

// parameter reads one parameter of the element at the hop's position.
func (in *reader) parameter(rd *reading, k kind, lines []string) (string, Reason) {
	c, elem := &in.entries, &in.elem
	if c.header != rfc7239 || c.count != rd.pos+1 {
		c, elem = &forCursor{header: rfc7239, list: newList(rfc7239, lines)}, &element{}
		for before := 0; c.count <= rd.pos; before++ {
			var e entry
			if c.next(&e, elem); c.count == before {
				return "", e.reason
			}
		}
		in.more = in.more || c.list.more()
	}
	if rd.exact && in.tooMany(c.list) {
		return "", ReasonMismatch
	}
	text, has := elem.host, elem.hasHost
	if k == kindProto {
		text, has = elem.proto, elem.hasProto
	}
	if !has {
		return "", ReasonSchemeMissing
	}
	return text, 0
}
